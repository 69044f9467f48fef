"""The type of every tensor of a named GGUF mix, planned from config.json alone, against llama.cpp's rules written down a second time."""
import json
from checks import DATA, need

DEFAULTS = {"Q8_0": "Q8_0", "Q6_K": "Q6_K", "Q5_K_M": "Q5_K", "Q5_K_S": "Q5_K", "Q4_K_M": "Q4_K", "Q4_K_S": "Q4_K", "Q4_0": "Q4_0", "Q4_1": "Q4_1", "Q5_0": "Q5_0", "Q5_1": "Q5_1",
            "IQ4_NL": "IQ4_NL", "IQ4_XS": "IQ4_XS", "Q3_K_L": "Q3_K", "Q3_K_M": "Q3_K", "Q3_K_S": "Q3_K", "Q2_K": "Q2_K"}
NARROW = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "IQ4_XS": "IQ4_NL"}  # rows that are no multiple of 256
SIZES = {"qwen2.5-7b": 4.68e9, "qwen2.5-14b": 8.98e9}  # published Q4_K_M files
ROLES = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output", "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}


def more_bits(i, n):
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2


def wanted(mix, role, i, config):
    """llama-quant.cpp, llama_tensor_get_type_impl, without importance and without experts."""
    default, n = DEFAULTS[mix], config["num_hidden_layers"]
    grouped = config["num_attention_heads"] // config["num_key_value_heads"]
    if role == "attn_v":
        kind = default
        if mix == "Q2_K":
            kind = "Q4_K" if grouped >= 4 else "Q3_K"
        elif mix == "Q3_K_M":
            kind = "Q5_K" if i < 2 else "Q4_K"
        elif mix == "Q3_K_L":
            kind = "Q5_K"
        elif mix in ("Q4_K_M", "Q5_K_M") and more_bits(i, n):
            kind = "Q6_K"
        elif mix == "Q4_K_S" and i < 4:
            kind = "Q5_K"
        elif mix in ("IQ4_NL", "IQ4_XS") and grouped >= 4:
            kind = "Q5_K"
        return "Q5_K" if n == 80 and kind in ("Q3_K", "Q4_K") else kind  # the 70B rule
    if role == "attn_output":
        return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(mix, default)
    if role == "ffn_down":
        if mix == "Q2_K":
            return "Q3_K"
        if mix == "Q3_K_M":
            return "Q5_K" if i < n // 16 else "Q4_K"
        if mix == "Q3_K_L":
            return "Q5_K"
        if mix in ("Q4_K_M", "Q5_K_M") and more_bits(i, n):
            return "Q6_K"
        if mix in ("Q4_K_S", "IQ4_NL", "IQ4_XS") and i < n // 8:
            return "Q5_K"
    return default


def fitting(kind, columns):
    if kind in NARROW and columns % 256:
        kind = NARROW[kind]
    return "F16" if columns % 32 else kind


def expected(mix, name, columns, config):
    if name == "lm_head" or name == "model.embed_tokens" and config["tie_word_embeddings"]:
        default = DEFAULTS[mix]
        block = 256 if "_K" in default or default == "IQ4_XS" else 32
        return "Q8_0" if default == "Q8_0" or columns % block else fitting("Q6_K", columns)
    if name == "model.embed_tokens":
        return fitting(DEFAULTS[mix], columns)
    _, _, layer, _, part = name.split(".")
    return fitting(wanted(mix, ROLES[part], int(layer), config), columns)


def check_model(suite, path):
    config, folder = json.loads(path.read_text()), suite.folder / path.stem
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = 0
    for mix in DEFAULTS:
        record = suite.folder / "plan.json"
        suite.run("quantize", "--model", folder, "--method", "gguf", "--type", mix, "--dry-run", "--json", record)
        plan = json.loads(record.read_text())
        for row in plan["quantize"]["tensors"]:
            if len(row["shape"]) < 2:
                continue
            kind, want = row["encoding"].upper(), expected(mix, row["name"], row["shape"][1], config)
            need(kind == want, f"{mix} {row['name']} {row['shape']}: planned {kind}, llama.cpp takes {want}")
            tensors += 1
        if mix == "Q4_K_M" and path.stem in SIZES:
            need(abs(plan["model"]["bytes"] / SIZES[path.stem] - 1) < .005, f"Q4_K_M has {plan['model']['bytes']} bytes, published files {SIZES[path.stem]:.3g}")
    return f"{len(DEFAULTS)} mixes, {tensors} tensors as llama.cpp's rules say"


def add(suite, quick):
    for path in sorted((DATA / "configs").glob("*.json")):
        if not quick or "7b" in path.stem or "70b" in path.stem:
            suite.check(f"type mixes {path.stem}", lambda: check_model(suite, path))
