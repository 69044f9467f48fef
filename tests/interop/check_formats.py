"""GPTQ, AWQ, LLM.int8 and 16-bit directories against the readers of readers.py."""
import hashlib, json, re, shutil
import numpy as np
from checks import CALIBRATION, MODEL, check_folder, compare, config_of, need, relative_error
from readers import awq_weight, bitsandbytes_codes, bitsandbytes_weight, compressed_int_weight, compressed_weight, gptq_weight, linears, read_tensors

LINEARS = 8 * 7  # blocks, projections
RTN_ERROR = {2: .75, 3: .35, 4: .17, 8: .01}  # of groups of 128, asymmetric or symmetric; channels get 1.4 times that


def unquantized(tensors, dtypes, suffixes, allowed):
    """What is not part of a quantized linear; nothing of it may be packed."""
    rest = {n: t for n, t in tensors.items() if not n.endswith(suffixes)}
    wrong = [n for n in rest if dtypes[n] not in allowed]
    need(not wrong, f"dtypes of {wrong[:3]}: {[dtypes[n] for n in wrong[:3]]}")
    return rest


def expect(tensors, dtypes, name, dtype, shape):
    need(name in tensors, f"{name} is missing")
    need(dtypes[name] == dtype and tensors[name].shape == shape, f"{name}: {dtypes[name]} {tensors[name].shape}, expected {dtype} {shape}")


def fields(found, expected):
    wrong = {k: found.get(k) for k, v in expected.items() if k not in found or found[k] != v}
    need(not wrong, f"quantization_config: {wrong}, expected {({k: expected[k] for k in wrong})}")


def read_gptq(suite, out, bits, group, expected):
    config = check_folder(out, ["quantize_config.json"])
    settings = config["quantization_config"]
    need(json.loads((out / "quantize_config.json").read_text()) == settings, "quantize_config.json and config.json differ")
    fields(settings, {"quant_method": "gptq", "bits": bits, "group_size": group, "lm_head": False, "pack_dtype": "int32", **expected})
    need(settings["format"] == settings["checkpoint_format"], "format and checkpoint_format differ")
    need(config.get("dtype", config.get("torch_dtype")) == "float16", f"dtype of config.json is {config.get('dtype')}")
    tensors, dtypes = read_tensors(out)
    names = linears(tensors, ".qweight")
    need(len(names) == LINEARS, f"{len(names)} quantized linears")
    plain = unquantized(tensors, dtypes, (".qweight", ".qzeros", ".scales", ".g_idx"), ("F16",))
    for name in names:
        n, k = suite.original()[name + ".weight"].shape
        groups = 1 if group < 0 else k // group
        expect(tensors, dtypes, name + ".qweight", "I32", (k * bits // 32, n))
        expect(tensors, dtypes, name + ".qzeros", "I32", (groups, n * bits // 32))
        expect(tensors, dtypes, name + ".scales", "F16", (groups, n))
        expect(tensors, dtypes, name + ".g_idx", "I32", (k,))
        need(name + ".weight" not in tensors, f"{name}.weight is still there")
        if not expected["desc_act"]:
            need(np.array_equal(tensors[name + ".g_idx"], np.arange(k) // (k // groups)), f"{name}.g_idx is not sequential")
        if expected["sym"]:
            word = {2: 0x55555555, 4: 0x77777777, 8: 0x7F7F7F7F}.get(bits)
            if settings["format"] == "gptq" and word:
                need((tensors[name + ".qzeros"].view(np.uint32) == word).all(), f"{name}.qzeros of symmetric v1 are not {word:#x}")
    offset = 1 if settings["format"] == "gptq" else 0
    return plain | {n + ".weight": gptq_weight(tensors, n, bits, offset) for n in names}


def check_gptq(suite, method, bits, sym, group, *flags, layout="gptq"):
    arguments = ["--method", method, "--bits", bits, "--sym" if sym else "--asym", "--format", layout, *flags]
    arguments += ["--granularity", "channel"] if group < 0 else ["--group", group]
    out = suite.quantize("gptq", *arguments, *(CALIBRATION if method == "gptq" else ()))
    expected = {"sym": sym, "desc_act": "--desc-act" in flags, "format": layout.replace("-", "_")}
    peer = read_gptq(suite, out, bits, group, expected)
    values = compare(suite.decoded(out), peer)
    error = relative_error(peer, suite.original())
    bar = RTN_ERROR[bits] * (1.4 if group < 0 else 1) * (1.5 if method == "gptq" else 1)
    need(error <= bar, f"mean relative error {error:.4f} of the weights, at most {bar:.3f} expected")
    suite.remove(out)
    return f"{values} values equal, relative error {error:.4f}"


def check_gptq_mixed(suite, *arguments):
    """A checkpoint for a target: GPTQModel's `dynamic` rules (the first that matches counts) say what differs from the whole."""
    out = suite.quantize("gptq", "--method", "rtn", "--format", "gptq", *arguments, *CALIBRATION)
    settings = config_of(out)["quantization_config"]
    tensors, _ = read_tensors(out)
    peer, kinds = {}, set()
    for name in linears(tensors, ".qweight"):
        rule = next((rule for pattern, rule in settings["dynamic"].items() if pattern.startswith("+:") and re.match(pattern[2:], name)), settings)
        n, k = suite.original()[name + ".weight"].shape
        need(tensors[name + ".qweight"].shape == (k * rule["bits"] // 32, n), f"{name} is not of {rule['bits']} bits")
        need(tensors[name + ".scales"].shape[0] == k // rule["group_size"], f"{name} has not groups of {rule['group_size']}")
        kinds.add((rule["bits"], rule["group_size"], rule["sym"]))
        peer[name + ".weight"] = gptq_weight(tensors, name, rule["bits"], 1)
    need(len(kinds) > 1, f"all weights are alike: {kinds}")
    mine = suite.decoded(out)
    for name, weight in peer.items():
        need(np.array_equal(mine[name], weight), f"{name} differs from what its codes decode to")
    suite.remove(out)
    return f"{len(peer)} weights of {len(kinds)} kinds equal"


def check_awq(suite, method, group, *flags):
    out = suite.quantize("awq", "--method", method, "--bits", 4, "--format", "awq", *flags, *(["--granularity", "channel"] if group < 0 else ["--group", group]),
                         *(CALIBRATION if method == "awq" else ()))
    extra = ["quantize_config.json"] if (out / "quantize_config.json").exists() else []
    config = check_folder(out, extra)
    fields(config["quantization_config"], {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm"})
    need(config.get("dtype") == "float16", f"dtype of config.json is {config.get('dtype')}")
    tensors, dtypes = read_tensors(out)
    names = linears(tensors, ".qweight")
    need(len(names) == LINEARS, f"{len(names)} quantized linears")
    plain = unquantized(tensors, dtypes, (".qweight", ".qzeros", ".scales"), ("F16",))
    for name in names:
        n, k = suite.original()[name + ".weight"].shape
        groups = 1 if group < 0 else k // group
        expect(tensors, dtypes, name + ".qweight", "I32", (k, n // 8))
        expect(tensors, dtypes, name + ".qzeros", "I32", (groups, n // 8))
        expect(tensors, dtypes, name + ".scales", "F16", (groups, n))
    values = compare(suite.decoded(out), plain | {n + ".weight": awq_weight(tensors, n) for n in names})
    suite.remove(out)
    return f"{values} values equal"


def check_int8(suite):
    out = suite.quantize("int8", "--method", "int8")
    config = check_folder(out)
    fields(config["quantization_config"], {"quant_method": "bitsandbytes", "load_in_8bit": True, "load_in_4bit": False, "llm_int8_threshold": 6.0,
                                           "llm_int8_has_fp16_weight": False, "llm_int8_skip_modules": None})
    tensors, dtypes = read_tensors(out)
    names = linears(tensors, ".SCB")
    need(len(names) == LINEARS, f"{len(names)} quantized linears")
    plain = unquantized(tensors, dtypes, (".SCB", ".weight_format", *(n + ".weight" for n in names)), ("F16", "BF16"))
    halfway = other = 0
    for name in names:
        n, k = suite.original()[name + ".weight"].shape
        expect(tensors, dtypes, name + ".weight", "I8", (n, k))
        expect(tensors, dtypes, name + ".SCB", "F32", (n,))
        expect(tensors, dtypes, name + ".weight_format", "U8", ())
        need(int(tensors[name + ".weight_format"]) == 0, "weight_format is not 0 (row)")
        codes, absmax, ties = bitsandbytes_codes(suite.original()[name + ".weight"])
        need(np.array_equal(absmax, tensors[name + ".SCB"]), f"{name}.SCB is not the row maximum of the fp16 weight")
        difference = np.abs(codes.astype(int) - tensors[name + ".weight"])
        need((difference <= ties).all(), f"{name}.weight: {(difference > ties).sum()} codes are not bitsandbytes'")
        halfway, other = halfway + int(ties.sum()), other + int(difference.sum())
    values = compare(suite.decoded(out), plain | {n + ".weight": bitsandbytes_weight(tensors, n) for n in names})
    suite.remove(out)
    return f"{values} values equal, row maxima and codes as bitsandbytes', but {other} of {halfway} that lie exactly halfway between two codes"


def check_compressed(suite, bits, sym, group, *flags):
    """The package itself is a peer of compressed_check.py; here a reader of our own, without torch."""
    w8a8 = "--act-bits" in flags
    out = suite.quantize("ct", "--method", "int8" if w8a8 else "rtn", "--bits", bits, "--sym" if sym else "--asym", "--format", "compressed-tensors",
                         *(["--granularity", "channel"] if group < 0 else ["--group", group]), *flags)
    config = check_folder(out)
    settings = config["quantization_config"]
    fields(settings, {"quant_method": "compressed-tensors", "format": "int-quantized" if w8a8 else "pack-quantized", "quantization_status": "compressed", "ignore": ["lm_head"]})
    weights = settings["config_groups"]["group_0"]["weights"]
    fields(weights, {"num_bits": bits, "type": "int", "symmetric": sym, "strategy": "channel" if group < 0 else "group", "group_size": None if group < 0 else group, "dynamic": False})
    need((settings["config_groups"]["group_0"]["input_activations"] is not None) == w8a8, "input_activations")
    tensors, dtypes = read_tensors(out)
    names = linears(tensors, ".weight_scale")
    need(len(names) == LINEARS, f"{len(names)} quantized linears")
    suffixes = (".weight_packed", ".weight_scale", ".weight_zero_point", ".weight_shape", *(n + ".weight" for n in names))
    plain = unquantized(tensors, dtypes, suffixes, ("BF16",))
    need(any(n.endswith(".weight_zero_point") for n in tensors) != sym, "zero points")
    read = (lambda n: compressed_int_weight(tensors, n)) if w8a8 else (lambda n: compressed_weight(tensors, n, bits))
    values = compare(suite.decoded(out), plain | {n + ".weight": read(n) for n in names})
    suite.remove(out)
    return f"{values} values equal"


def check_16bit(suite, method):
    out = suite.quantize(method, "--method", method)
    config = check_folder(out)
    need(config.get("dtype") == {"fp16": "float16", "bf16": "bfloat16"}[method], f"dtype of config.json is {config.get('dtype')}")
    need("quantization_config" not in config, "a 16-bit model has a quantization_config")
    tensors, dtypes = read_tensors(out)
    need(set(dtypes.values()) == {"F16" if method == "fp16" else "BF16"}, f"dtypes {set(dtypes.values())}")
    cast = (lambda t: t.astype(np.float16).astype(np.float32)) if method == "fp16" else (lambda t: t)  # the source is bfloat16
    compare({n: t.astype(np.float32) for n, t in tensors.items()}, {n: cast(t) for n, t in suite.original().items()})
    values = compare(suite.decoded(out), {n: t.astype(np.float32) for n, t in tensors.items()})
    suite.remove(out)
    return f"{values} values equal to the source's cast"


def awkward_model(suite):
    """The shipped model with groups that are all positive, all negative, all zero, or hold an outlier; and where they are."""
    folder = suite.folder / "awkward"
    shutil.copytree(MODEL, folder, ignore=shutil.ignore_patterns("make", "*.jsonl"))
    data = bytearray((folder / "model.safetensors").read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    names = [n for n in header if n.endswith("_proj.weight")]
    for name in names:
        begin, end = header[name]["data_offsets"]
        weight = np.frombuffer(data, "<u2", (end - begin) // 2, start + begin).reshape(header[name]["shape"]).copy()
        weight[0, :128] &= 0x7FFF
        weight[1, :128] |= 0x8000
        weight[2, :128] = 0
        weight[3, 5] += 6 << 7  # 64 times as large
        data[start + begin:start + end] = weight.tobytes()
    (folder / "model.safetensors").write_bytes(data)
    return folder, names


def check_awkward(suite, *arguments, levels):
    """Values of a group may be off by half a step of its range, which includes 0, and by the rounding of the scale to fp16."""
    model, names = awkward_model(suite)
    source = read_tensors(model)[0]
    try:
        decoded = suite.decoded(suite.quantize("quantized", *arguments, model=model))
    finally:
        suite.remove(model)
    worst = 0
    for name in names:
        for row in range(4):
            w, q = source[name][row, :128], decoded[name][row, :128]
            span = 2 * np.abs(w).max() if "--sym" in arguments else max(w.max(), 0) - min(w.min(), 0)
            if span == 0:
                need(not q.any(), f"{name}[{row}]: a group of zeros decodes to {np.abs(q).max()}")
                continue
            worst = max(worst, float(np.abs(w - q).max() / (span / levels)))
    need(worst <= .6, f"largest error {worst:.3f} steps")
    return f"groups of one sign, of zeros and with outliers: largest error {worst:.3f} steps"


def check_stale(suite):
    """Loaders take shards and indexes that they find: --force must leave none of an earlier, sharded model."""
    out = suite.quantize("stale", "--method", "rtn", "--bits", 4)
    (out / "model.safetensors.index.json").write_text('{"metadata": {}, "weight_map": {"lm_head.weight": "model-00001-of-00001.safetensors"}}')
    shutil.copy(out / "model.safetensors", out / "model-00001-of-00001.safetensors")
    suite.quantize("stale", "--method", "fp16")
    check_folder(out)
    suite.remove(out)
    return "an index, a shard and quantize_config.json of an earlier run are gone"


def check_deterministic(suite, *arguments):
    sums = []
    for threads in ("1", "2", "1"):
        out = suite.quantize(f"threads-{threads}", *arguments, threads=threads)
        sums.append(hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest())
        suite.remove(out)
    need(len(set(sums)) == 1, f"sha256 of model.safetensors with --threads 1, 2, 1: {[s[:12] for s in sums]}")
    return f"--threads 1, 2 and 1 again write the same bytes, sha256 {sums[0][:16]}"


def add(suite, quick):
    def gptq(method, bits, sym, group, *flags, layout="gptq"):
        name = f"{layout} {method} {bits} bits {'sym' if sym else 'asym'} {'channel' if group < 0 else f'group {group}'}" + "".join(" " + f for f in flags)
        suite.check(name, lambda: check_gptq(suite, method, bits, sym, group, *flags, layout=layout))
    for method in ("rtn", "gptq"):
        for bits in (4,) if quick else (2, 3, 4, 8):
            for sym in (True, False):
                for group in (128,) if quick else (128, -1):
                    gptq(method, bits, sym, group)
    suite.check("gptq for a target", lambda: check_gptq_mixed(suite, "--target-bpw", 6))
    gptq("gptq", 4, True, 128, "--desc-act")
    gptq("rtn", 4, False, 128, layout="gptq-v2")
    if not quick:
        gptq("gptq", 3, True, 128, "--desc-act")
        gptq("rtn", 3, False, 128, layout="gptq-v2")
        gptq("gptq", 4, True, 32)
        gptq("rtn", 4, True, 64)
    for method, group in (("rtn", 128), ("awq", 128)) if quick else (("rtn", 128), ("awq", 128), ("awq", 64), ("rtn", 32), ("rtn", -1), ("awq", -1)):
        suite.check(f"awq gemm {method} 4 bits {'channel' if group < 0 else f'group {group}'}", lambda: check_awq(suite, method, group))
    for layout, bits, flag in (("gptq", 4, "--asym"), ("gptq", 4, "--sym"), ("gptq-v2", 4, "--asym"), ("awq", 4, "--asym"), ("gptq", 3, "--asym")):
        # One level fewer than codes: v1 cannot store a zero point of 0, symmetric codes lose the lowest.
        suite.check(f"awkward groups {layout} {bits} bits {flag}", lambda: check_awkward(suite, "--method", "rtn", "--bits", bits, "--format", layout, flag, levels=2 ** bits - 2))
    for bits, sym, group in ((4, True, 128), (4, False, 128)) if quick else ((4, True, 128), (4, False, 128), (4, False, -1), (8, True, 128), (8, False, 32), (8, True, -1)):
        suite.check(f"compressed-tensors {bits} bits {'sym' if sym else 'asym'} {'channel' if group < 0 else f'group {group}'}", lambda: check_compressed(suite, bits, sym, group))
    suite.check("compressed-tensors w8a8", lambda: check_compressed(suite, 8, True, -1, "--act-bits", "8"))
    suite.check("bitsandbytes int8", lambda: check_int8(suite))
    for method in ("fp16", "bf16"):
        suite.check(f"safetensors {method}", lambda: check_16bit(suite, method))
    suite.check("no stale files", lambda: check_stale(suite))
    suite.check("deterministic gptq", lambda: check_deterministic(suite, "--method", "gptq", "--bits", 4, *CALIBRATION))
    suite.check("deterministic awq", lambda: check_deterministic(suite, "--method", "awq", "--bits", 4, *CALIBRATION))
