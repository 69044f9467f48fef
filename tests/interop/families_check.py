#!/usr/bin/env python3
"""Check every family on tiny random models made here: logits against transformers, every GGUF type against `gguf` and llama.cpp. Slow.

usage: families_check.py --teeny build/bin/teeny [--only REGEX] [--threads N]
Needs all of requirements-slow.txt. The models have real shapes of their families in small (grouped heads, head_dim of its own,
rope scaling, biases, tied and untied heads) and the shipped model's vocabulary.
"""
import argparse, importlib.metadata, json, logging, pathlib, shutil, subprocess, sys, warnings
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import numpy as np
import torch, transformers
from gguf import GGUFReader
from gguf.quants import dequantize
from check_gguf import TYPES
from checks import MODEL, Suite, compare, hugging_face_name, need

WIDE = dict(vocab_size=4096, hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=2, max_position_embeddings=1024, bos_token_id=4093,
            eos_token_id=4095, pad_token_id=4093)
LLAMA3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=256)
FAMILIES = {
    "qwen2": lambda: transformers.Qwen2Config(**WIDE, tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=1e6)),
    "qwen2 untied, odd width": lambda: transformers.Qwen2Config(**WIDE | dict(hidden_size=224, num_attention_heads=7, num_key_value_heads=1), tie_word_embeddings=False),
    "llama": lambda: transformers.LlamaConfig(**WIDE, tie_word_embeddings=False),
    "llama 3 rope": lambda: transformers.LlamaConfig(**WIDE, tie_word_embeddings=True, rope_parameters=LLAMA3),
    "llama with biases": lambda: transformers.LlamaConfig(**WIDE, attention_bias=True, mlp_bias=True, tie_word_embeddings=False),
    "mistral": lambda: transformers.MistralConfig(**WIDE, head_dim=64, sliding_window=None, tie_word_embeddings=False),
    "qwen3": lambda: transformers.Qwen3Config(**WIDE, head_dim=64, tie_word_embeddings=True),
}
# llama.cpp rounds activations to int8 for quantized types; teeny does not.
LOGPROB_BARS = {"F32": .01, "F16": .01}
LLAMA = """
import json, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.warmup, params.check_tensors = sys.argv[1], 1024, 1, False, True
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server, out = xllamacpp.Server(params), []
for ids in json.load(sys.stdin):
    answer = server.handle_completions({"prompt": ids, "n_predict": 1, "max_tokens": 1, "temperature": 0, "cache_prompt": False, "logprobs": 3})
    content = (answer["choices"][0].get("logprobs") or {}).get("content")  # none when the first token ends the text
    out.append([[t["id"], t["logprob"]] for t in content[0]["top_logprobs"]] if content else [])
print(json.dumps(out))
"""


def make(folder, config):
    """Random weights, spread so that attention and gates matter (the usual 0.02 leaves a model almost linear), biases and norms too."""
    torch.manual_seed(len(config.model_type))
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_(1 + .2 * torch.randn_like(weight))
            else:
                weight.copy_(torch.randn_like(weight) * (.1 if weight.ndim == 1 else 1.5 / weight.shape[-1] ** .5))
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MODEL / name, folder / name)
    return model


def prompts():
    rng, lengths = np.random.default_rng(3), (1, 2, 7, 33, 150, 300)
    return [rng.integers(0, 4000, n).tolist() for n in lengths]


def teeny_logits(program, model, windows, vocab, last=False):
    command = [str(program), str(model), *(["--last"] if last else [])]
    done = subprocess.run(command, input="\n".join(" ".join(map(str, w)) for w in windows).encode(), capture_output=True)
    need(done.returncode == 0, f"logits: exit code {done.returncode}: {done.stderr.decode()[-400:]}")
    return np.frombuffer(done.stdout, np.float32).reshape(-1, vocab)


def check_logits(program, folder, model):
    windows = prompts()
    mine = teeny_logits(program, folder, windows, model.config.vocab_size)
    with torch.no_grad():
        theirs = np.concatenate([model(torch.tensor([w])).logits[0].numpy() for w in windows])
    worst = float(np.abs(mine - theirs).max())
    figure = f"{mine.shape[0]} positions, largest logit {np.abs(theirs).max():.2f}, largest difference {worst:.2g}"
    need(worst <= 1e-4, figure)
    return figure


def check_types(suite, folder):
    values = tensors = 0
    for kind in TYPES:
        path = suite.quantize("family.gguf", "--method", "gguf", "--type", kind, model=folder)
        reader = GGUFReader(path)
        peer = {}
        for tensor in reader.tensors:
            if tensor.name == "rope_freqs.weight":
                continue
            data = dequantize(tensor.data, tensor.tensor_type)
            peer[hugging_face_name(tensor.name)] = unpermuted(reader, tensor.name, data)
        values += compare(suite.decoded(path), peer)
        tensors += len(peer)
        suite.remove(path)
    return f"{len(TYPES)} types, {tensors} tensors, {values} values equal"


def unpermuted(reader, name, data):
    """llama.cpp stores q and k of arch llama with each head's halves interleaved."""
    part = name.split(".")[2] if name.startswith("blk.") else ""
    if reader.fields["general.architecture"].contents() != "llama" or part not in ("attn_q", "attn_k"):
        return data
    heads = reader.fields["llama.attention.head_count" + ("_kv" if part == "attn_k" else "")].contents()
    return data.reshape(heads, -1, 2, *data.shape[1:]).swapaxes(1, 2).reshape(data.shape)


def check_llama(suite, program, folder, kinds):
    """Top three log-probabilities after a prompt, teeny against llama.cpp on the same file."""
    said = []
    windows = [w for w in prompts() if len(w) > 1] * 4 if folder != MODEL else shipped_prompts()
    for kind in kinds:
        path = suite.quantize("llama.gguf", "--method", "gguf", "--type", kind, model=folder)
        done = subprocess.run([sys.executable, "-c", LLAMA, str(path)], input=json.dumps(windows[:20]), capture_output=True, text=True)
        need(done.returncode == 0, f"{kind}: llama.cpp does not load or run it: {done.stderr.strip()[-300:]}")
        theirs = json.loads(done.stdout.strip().splitlines()[-1])
        mine = torch.from_numpy(teeny_logits(program, path, windows[:20], 4096, last=True).copy()).log_softmax(-1).numpy()
        gaps = [abs(mine[i][token] - logprob) for i, top in enumerate(theirs) for token, logprob in top]
        need(len(gaps) >= 30, f"{kind}: llama.cpp gave only {len(gaps)} log-probabilities")
        mean, bar = sum(gaps) / len(gaps), LOGPROB_BARS.get(kind, .06)
        said.append(f"{kind} {mean:.4f}")
        need(mean <= bar or folder != MODEL and kind not in LOGPROB_BARS, f"{', '.join(said)}: mean difference of {len(gaps)} log-probabilities {mean:.4f}, at most {bar}")
        suite.remove(path)
    return "mean difference of the top 3 log-probabilities: " + ", ".join(said)


def shipped_prompts():
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
    problems = [json.loads(line) for line in open(MODEL / "humaneval-teeny-python.jsonl", encoding="utf-8")]
    return [tokenizer(p["prompt"])["input_ids"] for p in problems[:20]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teeny", type=pathlib.Path, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    teeny = args.teeny.resolve()
    suite, program = Suite(teeny, args.threads, args.only), teeny.parents[1] / "tests/logits"
    print(", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("transformers", "torch", "gguf", "xllamacpp")))
    for name, config in FAMILIES.items():
        folder = suite.folder / name.replace(" ", "-").replace(",", "")
        model = make(folder, config())
        suite.check(f"logits {name}", lambda: check_logits(program, folder, model))
        if name != "llama with biases":  # llama.cpp's Llama has no biases
            suite.check(f"gguf types {name}", lambda: check_types(suite, folder))
            suite.check(f"llama.cpp {name}", lambda: check_llama(suite, program, folder, TYPES if name != "llama 3 rope" else ("F32", "Q8_0", "Q4_K_M")))
        shutil.rmtree(folder)
    suite.check("llama.cpp shipped model", lambda: check_llama(suite, program, MODEL, TYPES))
    return suite.finish()


if __name__ == "__main__":
    sys.exit(main())
