#!/usr/bin/env python3
"""Writes a Qwen2-shaped checkpoint of random bf16 weights with the shipped model's tokenizer, for memory and speed tests.

usage: make_random_model.py OUT [--hidden 2048 --layers 16 --heads 16 --kv-heads 8 --ffn 8192 --vocab 32000 --shard-gb 2 --untied]
Qwen2.5-14B: --hidden 5120 --layers 48 --heads 40 --kv-heads 8 --ffn 13824 --vocab 152064 --untied (29.5 GB)
"""
import argparse, json, multiprocessing, os, pathlib, shutil, struct, numpy as np
ap = argparse.ArgumentParser()
ap.add_argument("out")
for name, value in dict(hidden=2048, layers=16, heads=16, kv_heads=8, ffn=8192, vocab=32000).items(): ap.add_argument("--" + name.replace("_", "-"), type=int, default=value)
ap.add_argument("--shard-gb", type=float, default=2)
ap.add_argument("--untied", action="store_true", help="an output head of its own")
a = ap.parse_args()
out = pathlib.Path(a.out); out.mkdir(parents=True)
demo = pathlib.Path(__file__).resolve().parent.parent / "configs/models/teeny-demo-7m"
D = a.hidden // a.heads
config = json.load(open(demo / "config.json"))
config.update(hidden_size=a.hidden, intermediate_size=a.ffn, num_hidden_layers=a.layers, num_attention_heads=a.heads, num_key_value_heads=a.kv_heads, vocab_size=a.vocab, tie_word_embeddings=not a.untied,
              layer_types=["full_attention"] * a.layers)
json.dump(config, open(out / "config.json", "w"), indent=2)
for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json", "calibration.txt"): shutil.copy(demo / name, out / name)
tensors = [("model.embed_tokens.weight", (a.vocab, a.hidden)), ("model.norm.weight", (a.hidden,))] + [("lm_head.weight", (a.vocab, a.hidden))] * a.untied
for i in range(a.layers):
    p = f"model.layers.{i}."
    kv = a.kv_heads * D
    tensors += [(p + "input_layernorm.weight", (a.hidden,)), (p + "post_attention_layernorm.weight", (a.hidden,)),
                (p + "self_attn.q_proj.weight", (a.hidden, a.hidden)), (p + "self_attn.q_proj.bias", (a.hidden,)), (p + "self_attn.k_proj.weight", (kv, a.hidden)),
                (p + "self_attn.k_proj.bias", (kv,)), (p + "self_attn.v_proj.weight", (kv, a.hidden)), (p + "self_attn.v_proj.bias", (kv,)),
                (p + "self_attn.o_proj.weight", (a.hidden, a.hidden)), (p + "mlp.gate_proj.weight", (a.ffn, a.hidden)), (p + "mlp.up_proj.weight", (a.ffn, a.hidden)),
                (p + "mlp.down_proj.weight", (a.hidden, a.ffn))]
size = lambda s: 2 * int(np.prod(s))
shards, used = [[]], 0
for t in tensors:
    if used and used + size(t[1]) > a.shard_gb * 1e9: shards.append([]); used = 0
    shards[-1].append(t); used += size(t[1])
def shard_name(n): return f"model-{n + 1:05}-of-{len(shards):05}.safetensors"


def write_shard(n):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for t, shape in shards[n]: header[t] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size(shape)]}; at += size(shape)
    head = json.dumps(header).encode(); head += b" " * (-len(head) % 8)
    rng = np.random.default_rng(n + 1)
    x = rng.standard_normal(POOL + PIECE, np.float32) * np.float32(0.02)
    pool = (x.view(np.uint32) >> 16).astype(np.uint16)  # drawn once a shard; every piece starts somewhere else in it
    ones = np.full(a.hidden, 0x3F80, np.uint16)
    with open(out / shard_name(n), "wb", buffering=0) as f:
        f.write(struct.pack("<Q", len(head)) + head)
        for t, shape in shards[n]:
            count = int(np.prod(shape))
            if "norm" in t: f.write(ones[:count].tobytes()); continue
            for begin in range(0, count, PIECE):
                start = int(rng.integers(POOL))
                data = memoryview(pool[start:start + min(PIECE, count - begin)]).cast("B")
                while len(data): data = data[f.write(data):]


POOL, PIECE = 1 << 24, 1 << 22
index = {t: shard_name(n) for n, shard in enumerate(shards) for t, _ in shard}
with multiprocessing.get_context("fork").Pool(min(len(shards), os.cpu_count())) as workers: workers.map(write_shard, range(len(shards)))
json.dump({"metadata": {"total_size": sum(size(s) for _, s in tensors)}, "weight_map": index}, open(out / "model.safetensors.index.json", "w"))
print(sum(int(np.prod(s)) for _, s in tensors) / 1e6, "M parameters")
