#!/usr/bin/env python3
"""Writes a Qwen2-shaped model of random packed weights at the disk's speed, for timing: nothing in it means anything.
Weights have mean 0 and no two rows are alike, and 4-bit codes are what rounding bell-shaped weights gives: the power that products take, and so
a GPU's clock, depends on the bits. --codes uniform: every 4-bit code equally often, the most a product can be asked for.

usage: make_random_packed.py OUT --format w4|int8|q4_k_m|f16 [--size 14b|7b | --hidden .. --layers .. --heads .. --kv-heads .. --ffn .. --vocab ..]
       q4_k_m needs --header FILE.gguf: any GGUF of the shipped model (teeny convert), whose tokenizer is taken over.
"""
import argparse, json, pathlib, shutil, struct, numpy as np
SIZES = {"14b": dict(hidden=5120, layers=48, heads=40, kv_heads=8, ffn=13824, vocab=152064), "7b": dict(hidden=3584, layers=28, heads=28, kv_heads=4, ffn=18944, vocab=152064)}
ap = argparse.ArgumentParser()
ap.add_argument("out"); ap.add_argument("--format", required=True); ap.add_argument("--size", default="14b"); ap.add_argument("--header"); ap.add_argument("--codes", choices=("bell", "uniform"), default="bell")
for name in SIZES["14b"]: ap.add_argument("--" + name.replace("_", "-"), type=int)
a = ap.parse_args()
s = {k: getattr(a, k) or v for k, v in SIZES[a.size].items()}
H, L, V, F, D = s["hidden"], s["layers"], s["vocab"], s["ffn"], s["hidden"] // s["heads"]
KV = s["kv_heads"] * D
demo = pathlib.Path(__file__).resolve().parent.parent / "configs/models/teeny-demo-7m"
rng = np.random.default_rng(1)
noise = rng.integers(0, 256, (64 << 20) + 4096, dtype=np.uint8)
halves = (rng.standard_normal(32 << 20).astype(np.float32) * np.float32(0.02)).astype(np.float16).view(np.uint8)
small = (0.002 + 0.001 * rng.random(1 << 20)).astype(np.float16).view(np.uint8)
ones = np.ones(1 << 16, np.float32)
def codes4(count):  # bytes of two 4-bit codes
    if a.codes == "uniform": return rng.integers(0, 256, count, dtype=np.uint8)
    codes = np.clip(np.rint(rng.standard_normal(2 * count, np.float32) * np.float32(2.4) + 8), 0, 15).astype(np.uint8)
    return codes[::2] | codes[1::2] << 4
def stream(f, source, count):
    while count > 0:
        n = min(count, source.size - 4096); f.write(source[:n].tobytes()); count -= n
def blocks(kind):  # 16 MB or so of GGML blocks, whose values have mean 0
    n = (16 << 20) // {"Q4_K": 144, "Q6_K": 210}[kind]
    if kind == "Q4_K":
        row = codes4(n * 144).reshape(n, 144)
        row[:, 0:4] = np.array([1e-4, 8e-4], np.float16).view(np.uint8)  # d; dmin: the minimum is 8 times the scale
        sc = rng.integers(20, 64, (n, 8), dtype=np.uint8)
        row[:, 4:8] = row[:, 8:12] = sc[:, :4] | (sc[:, 4:] >> 4) << 6
        row[:, 12:16] = sc[:, 4:] & 15 | (sc[:, 4:] & 15) << 4
    else:
        row = rng.integers(0, 256, (n, 210), dtype=np.uint8)
        row[:, 192:208] = rng.integers(20, 120, (n, 16), dtype=np.uint8)
        row[:, 208:210] = np.array([1e-5], np.float16).view(np.uint8)
    return row.reshape(-1)
linears = [("self_attn.q_proj", "attn_q", H, H), ("self_attn.k_proj", "attn_k", KV, H), ("self_attn.v_proj", "attn_v", KV, H), ("self_attn.o_proj", "attn_output", H, H),
           ("mlp.gate_proj", "ffn_gate", F, H), ("mlp.up_proj", "ffn_up", F, H), ("mlp.down_proj", "ffn_down", H, F)]

def safetensors():
    packed4 = codes4((32 << 20) + 4096)
    out = pathlib.Path(a.out); out.mkdir(parents=True)
    config = json.load(open(demo / "config.json"))
    config.update(hidden_size=H, intermediate_size=F, num_hidden_layers=L, num_attention_heads=s["heads"], num_key_value_heads=s["kv_heads"], vocab_size=V, tie_word_embeddings=False,
                  layer_types=["full_attention"] * L, max_position_embeddings=32768)
    if a.format == "w4":
        config["quantization_config"] = {"quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"], "quantization_status": "compressed", "config_groups": {"group_0": {
            "targets": ["Linear"], "input_activations": None, "output_activations": None, "format": "pack-quantized",
            "weights": {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 128, "dynamic": False, "actorder": None}}}}
    if a.format == "int8":
        config["quantization_config"] = {"quant_method": "compressed-tensors", "format": "int-quantized", "ignore": ["lm_head"], "quantization_status": "compressed", "config_groups": {"group_0": {
            "targets": ["Linear"], "input_activations": None, "output_activations": None, "format": "int-quantized",
            "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False}}}}
    json.dump(config, open(out / "config.json", "w"), indent=2)
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"): shutil.copy(demo / name, out / name)
    tensors = [("model.embed_tokens.weight", "F16", (V, H), halves), ("lm_head.weight", "F16", (V, H), halves), ("model.norm.weight", "F32", (H,), ones.view(np.uint8))]
    for i in range(L):
        p = f"model.layers.{i}."
        tensors += [(p + n + ".weight", "F32", (H,), ones.view(np.uint8)) for n in ("input_layernorm", "post_attention_layernorm")]
        for module, _, N, K in linears:
            if a.format == "w4": tensors += [(p + module + ".weight_packed", "I32", (N, K // 8), packed4), (p + module + ".weight_scale", "F16", (N, K // 128), small), (p + module + ".weight_shape", "I64", (2,), np.array([N, K], np.int64).view(np.uint8))]
            elif a.format == "int8": tensors += [(p + module + ".weight", "I8", (N, K), noise), (p + module + ".weight_scale", "F16", (N, 1), small)]
            else: tensors.append((p + module + ".weight", "F16", (N, K), halves))
            if module.split(".")[1] in ("q_proj", "k_proj", "v_proj"): tensors.append((p + module + ".bias", "F16", (N,), halves))
    width = {"F16": 2, "F32": 4, "I32": 4, "I64": 8, "I8": 1}
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, shape, _ in tensors:
        n = width[dtype] * int(np.prod(shape)); header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + n]}; at += n
    head = json.dumps(header).encode(); head += b" " * (-len(head) % 8)
    with open(out / "model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        for name, dtype, shape, source in tensors:
            n = width[dtype] * int(np.prod(shape))
            if n <= source.size and source.size <= 64: f.write(source.tobytes())
            else: stream(f, source, n)

def gguf():
    data = open(a.header, "rb").read()
    at = 24
    count = struct.unpack_from("<Q", data, 16)[0]
    fixed = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    def text(at): n = struct.unpack_from("<Q", data, at)[0]; return data[at + 8:at + 8 + n], at + 8 + n
    def skip(kind, at):
        if kind in fixed: return at + fixed[kind]
        if kind == 8: return text(at)[1]
        inner, n = struct.unpack_from("<IQ", data, at); at += 12
        for _ in range(n): at = skip(inner, at)
        return at
    new = {"block_count": L, "embedding_length": H, "feed_forward_length": F, "attention.head_count": s["heads"], "attention.head_count_kv": s["kv_heads"], "context_length": 32768, "vocab_size": V}
    kv = []
    for _ in range(count):
        key, at = text(at); kind = struct.unpack_from("<I", data, at)[0]; begin = at + 4; at = skip(kind, begin); value = data[begin:at]
        name = key.decode()
        for suffix, number in new.items():
            if name == "qwen2." + suffix: value = struct.pack("<I", number) if kind in (4, 5) else struct.pack("<Q", number)
        if name in ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.scores"):
            inner, n = struct.unpack_from("<IQ", value); extra = b""
            for i in range(n, V): extra += {8: lambda: struct.pack("<Q", len(f"<extra_{i}>")) + f"<extra_{i}>".encode(), 5: lambda: struct.pack("<i", 1), 6: lambda: struct.pack("<f", 0)}[inner]()
            value = struct.pack("<IQ", inner, V) + value[12:] + extra
        if name in ("qwen2.attention.key_length", "qwen2.attention.value_length", "qwen2.rope.dimension_count"): value = struct.pack("<I", D)
        kv.append(struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value)
    use_more = lambda i: i < L // 8 or i >= 7 * L // 8 or (i - L // 8) % 3 == 2
    tensors = [("token_embd.weight", (V, H), "Q4_K"), ("output.weight", (V, H), "Q6_K"), ("output_norm.weight", (H,), "F32")]
    for i in range(L):
        tensors += [(f"blk.{i}.attn_norm.weight", (H,), "F32"), (f"blk.{i}.ffn_norm.weight", (H,), "F32")]
        for _, name, N, K in linears:
            tensors.append((f"blk.{i}.{name}.weight", (N, K), "Q6_K" if name in ("attn_v", "ffn_down") and use_more(i) else "Q4_K"))
            if name in ("attn_q", "attn_k", "attn_v"): tensors.append((f"blk.{i}.{name}.bias", (N,), "F32"))
    pieces = {"Q4_K": blocks("Q4_K"), "Q6_K": blocks("Q6_K")}
    kinds = {"F32": 0, "Q4_K": 12, "Q6_K": 14}
    size = lambda shape, kind: int(np.prod(shape)) * 4 if kind == "F32" else int(np.prod(shape)) // 256 * {"Q4_K": 144, "Q6_K": 210}[kind]
    infos, offset = b"", 0
    for name, shape, kind in tensors:
        infos += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", d) for d in reversed(shape)) + struct.pack("<IQ", kinds[kind], offset)
        offset += (size(shape, kind) + 31) // 32 * 32
    with open(a.out, "wb") as f:
        f.write(data[:8] + struct.pack("<QQ", len(tensors), len(kv)) + b"".join(kv) + infos); f.write(b"\0" * (-f.tell() % 32))
        for name, shape, kind in tensors:
            if kind == "F32": stream(f, (ones if "norm" in name else ones * 0).view(np.uint8), size(shape, kind))
            else:
                left = size(shape, kind)
                while left > 0: n = min(left, pieces[kind].size); f.write(pieces[kind][:n].tobytes()); left -= n
            f.write(b"\0" * (-f.tell() % 32))

gguf() if a.format == "q4_k_m" else safetensors()
