"""GGUF files of every type against the `gguf` package: decoded values, container, vocabulary."""
import json
import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from checks import MODEL, compare, hugging_face_name, need, relative_error

# type -> general.file_type of llama.cpp, largest mean relative error of a right encoding (about 1.3 times what was measured)
TYPES = {"F32": (0, 0), "F16": (1, 1e-6), "BF16": (32, 0), "Q8_0": (7, .008), "Q6_K": (18, .025), "Q5_K_M": (17, .05), "Q5_K_S": (16, .05), "Q4_K_M": (15, .09),
         "Q4_K_S": (14, .1), "Q4_0": (2, .13), "Q4_1": (3, .11), "Q5_0": (8, .07), "Q5_1": (9, .06), "IQ4_NL": (25, .11), "IQ4_XS": (30, .11),
         "Q3_K_L": (13, .2), "Q3_K_M": (12, .2), "Q3_K_S": (11, .22), "Q2_K": (10, .35)}
QUICK = ("Q8_0", "Q6_K", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K", "F16")


def field(reader, name):
    need(name in reader.fields, f"key {name} is missing")
    return reader.fields[name].contents()


def check_keys(reader, file_type):
    config = json.loads((MODEL / "config.json").read_text())
    expected = {"general.architecture": "qwen2", "general.file_type": file_type, "general.quantization_version": 2, "qwen2.block_count": config["num_hidden_layers"],
                "qwen2.embedding_length": config["hidden_size"], "qwen2.feed_forward_length": config["intermediate_size"],
                "qwen2.attention.head_count": config["num_attention_heads"], "qwen2.attention.head_count_kv": config["num_key_value_heads"],
                "qwen2.rope.freq_base": config["rope_parameters"]["rope_theta"], "qwen2.attention.layer_norm_rms_epsilon": float(np.float32(config["rms_norm_eps"])),
                "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.eos_token_id": config["eos_token_id"], "tokenizer.ggml.add_bos_token": False}
    for name, value in expected.items():
        need(field(reader, name) == value, f"{name} is {field(reader, name)!r}, expected {value!r}")


def check_vocabulary(reader):
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text())
    ids = dict(tokenizer["model"]["vocab"]) | {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    tokens, kinds = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.token_type")
    wrong = [t for t, i in ids.items() if tokens[i] != t]
    need(not wrong and len(tokens) == len(kinds), f"vocabulary differs: {wrong[:5]}")
    special = {t["id"] for t in tokenizer["added_tokens"] if t["special"]}
    need({i for i, k in enumerate(kinds) if k == 3} == special, "control tokens are not the special tokens")
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    need(field(reader, "tokenizer.ggml.merges") == merges, "merges differ")


def check_type(suite, kind):
    file_type, bar = TYPES[kind]
    path = suite.quantize(f"{kind}.gguf", "--method", "gguf", "--type", kind)
    reader = GGUFReader(path)
    check_keys(reader, file_type)
    check_vocabulary(reader)
    peer = {hugging_face_name(t.name): dequantize(t.data, t.tensor_type) for t in reader.tensors}
    end = max(int(t.data_offset) + (int(t.n_bytes) + 31) // 32 * 32 for t in reader.tensors)
    need(end == path.stat().st_size, f"file of {path.stat().st_size} bytes, last tensor padded ends at {end}")
    values = compare(suite.decoded(path), peer)
    error = relative_error(peer, suite.original())
    need(error <= bar, f"mean relative error {error:.4f} of the weights, at most {bar} expected")
    kinds = {}
    for tensor in reader.tensors:
        kinds[tensor.tensor_type.name] = kinds.get(tensor.tensor_type.name, 0) + 1
    suite.remove(path)
    return f"{values} values equal, relative error {error:.4f}, {path.name}: " + ", ".join(f"{n} {k}" for k, n in sorted(kinds.items()))


def add(suite, quick):
    for kind in QUICK if quick else TYPES:
        suite.check(f"gguf {kind}", lambda: check_type(suite, kind))
