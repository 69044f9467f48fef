#!/usr/bin/env python3
"""Check compressed-tensors, AWQ packing and bitsandbytes' 4-bit weights against the packages that define them. Slow.

usage: compressed_check.py --teeny build/bin/teeny [--only REGEX] [--threads N]
Needs all of requirements-slow.txt; AutoAWQ's packing is checked when the package autoawq is there (its files are read, it is not imported).
"""
import argparse, importlib.metadata, importlib.util, json, logging, pathlib, shutil, sys, warnings
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import numpy as np
import torch, transformers
from safetensors.torch import load_file, save_file
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams
from checks import CALIBRATION, MODEL, Skipped, Suite, compare, config_of, need
from readers import linears
from transformers_check import load, peer_losses, same, teeny_losses

INT4, INT8 = {"num_bits": 4, "type": "int"}, {"num_bits": 8, "type": "int"}


def parts(tensors, name):
    return {key[len(name) + 1:]: value for key, value in tensors.items() if key.startswith(name + ".") and not key.endswith(".bias")}


def decompress(state, scheme, layout, dtype=torch.float32):
    """The package's own decode. Its arithmetic runs in the scale's type: float32 shows every bit, the file's type what loaders get."""
    state = {key: value.to(dtype) if key == "weight_scale" and dtype else value for key, value in state.items()}
    return BaseCompressor.get_value_from_registry(layout).decompress(state, scheme)["weight"]


def check_written(suite, *arguments):
    out = suite.quantize("ct", *arguments)
    settings = config_of(out)["quantization_config"]
    config = QuantizationConfig.model_validate(settings)
    groups = config.config_groups
    tensors, decoded = load_file(out / "model.safetensors"), suite.decoded(out)
    names = linears(tensors, ".weight_scale")
    need(len(names) == 56 and settings["ignore"] == ["lm_head"], f"{len(names)} quantized linears, ignored {settings['ignore']}")
    values = 0
    for name in names:
        scheme = next((group for group in groups.values() if name in group.targets), groups["group_0"])
        state, mine = parts(tensors, name), torch.from_numpy(decoded[name + ".weight"])
        exact = decompress(state, scheme, config.format)
        need(torch.equal(exact, mine), f"{name}: {(exact != mine).sum()} of {mine.numel()} values differ from the package's")
        rounded = decompress(state, scheme, config.format, None)
        need(torch.equal(rounded, mine.to(rounded.dtype)), f"{name}: differs in {rounded.dtype}")
        values += mine.numel()
        # What the package packs from these values is what teeny wrote.
        again = dict(state, weight=exact, weight_scale=state["weight_scale"].float())
        if "weight_zero_point" in state:
            from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
            bits = scheme.weights.num_bits
            again["weight_zero_point"] = unpack_from_int32(state["weight_zero_point"], bits, (exact.shape[0], state["weight_scale"].shape[1]), packed_dim=0)
        for key, value in BaseCompressor.get_value_from_registry(config.format).compress(again, scheme).items():
            if key not in ("weight_scale",):
                need(key in state and torch.equal(value, state[key]), f"{name}.{key}: the package packs other bytes")
    suite.remove(out)
    return f"{values} values of {len(groups)} groups equal in float32 and in the file's type, bytes as the package packs them"


def package_model(suite, groups, ignore=("lm_head",)):
    """The shipped model quantized by the package: groups of (predicate, weights, activations, layout, targets)."""
    folder = suite.folder / "package"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(MODEL, folder, ignore=shutil.ignore_patterns("make", "*.jsonl", "*.txt", "model.safetensors"))
    source, out, expected, config_groups = load_file(MODEL / "model.safetensors"), {}, {}, {}
    schemes = [QuantizationScheme(targets=targets, weights=QuantizationArgs(**weights), input_activations=activations and QuantizationArgs(**activations), format=layout)
               for _, weights, activations, layout, targets in groups]
    for name, weight in source.items():
        module = name.removesuffix(".weight")
        at = next((i for i, group in enumerate(groups) if module.endswith("_proj") and module not in ignore and group[0](module)), None)
        if at is None:
            out[name] = weight
            continue
        args, layout = schemes[at].weights, groups[at][3]
        blocks = weight.float()
        if args.strategy == "group":
            blocks = blocks.unflatten(1, (-1, args.group_size))
        dims = tuple(range(blocks.ndim)) if args.strategy == "tensor" else (blocks.ndim - 1,)
        scale, zero = calculate_qparams(blocks.amin(dims), blocks.amax(dims), args)
        if args.strategy == "channel":
            scale, zero = scale.unsqueeze(1), zero.unsqueeze(1)
        state = {"weight": weight, "weight_scale": scale.to(weight.dtype), "weight_zero_point": zero}
        state = BaseCompressor.get_value_from_registry(layout).compress(state, schemes[at])
        expected[name] = decompress(state, schemes[at], layout).numpy()
        out.update({f"{module}.{key}": value.contiguous() for key, value in state.items()})
    config = QuantizationConfig(config_groups={f"group_{i}": s for i, s in enumerate(schemes)}, format=groups[0][3] if len(groups) == 1 else "mixed-precision",
                                quantization_status="compressed", ignore=list(ignore))
    save_file(out, folder / "model.safetensors", {"format": "pt"})
    model_config = json.loads((folder / "config.json").read_text())
    model_config["quantization_config"] = json.loads(config.model_dump_json())
    (folder / "config.json").write_text(json.dumps(model_config))
    return folder, expected, {n: t.float().numpy() for n, t in source.items() if n not in expected}


def check_read(suite, groups, ignore=("lm_head",)):
    folder, quantized, rest = package_model(suite, groups, ignore)
    values = compare(suite.decoded(folder), quantized | rest)
    return f"{len(quantized)} linears of the package's making, {values} values equal"


def check_runs(suite, *arguments, per_window):
    out = suite.quantize("ct", *arguments)
    model = load(out)
    figure = same(teeny_losses(suite, out), peer_losses(model, transformers.AutoTokenizer.from_pretrained(out)), 1e-3, per_window)
    suite.remove(out)
    return figure


def check_bitsandbytes(suite, kind, double):
    import bitsandbytes
    config = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=double, bnb_4bit_compute_dtype=torch.float32)
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL, quantization_config=config, device_map="cpu", dtype=torch.bfloat16)
    out = suite.folder / "bnb4"
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MODEL / name, out / name)
    decoded, n = suite.decoded(out), 0
    for name, module in model.named_modules():
        if not isinstance(module, bitsandbytes.nn.Linear4bit):
            continue
        state = module.weight.quant_state
        state.dtype = torch.float32  # else the values are rounded to bfloat16 afterwards
        peer = bitsandbytes.functional.dequantize_4bit(module.weight.data, state).numpy()
        mine = decoded[name + ".weight"]
        bad = peer != mine
        need(not bad.any(), f"{name}: {bad.sum()} of {bad.size} values differ, by at most {np.abs(peer - mine).max():.3g} where the largest is {np.abs(peer).max():.3g}")
        n += 1
    need(n == 56, f"{n} linears of class Linear4bit")
    return f"{n} linears equal dequantize_4bit's float32"


def awq_packing():
    found = importlib.util.find_spec("awq")
    if found is None:
        raise Skipped("the package autoawq is not installed")
    spec = importlib.util.spec_from_file_location("awq_packing", pathlib.Path(found.origin).parent / "utils/packing_utils.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_autoawq(suite, *arguments):
    packing = awq_packing()
    out = suite.quantize("awq", *arguments)
    group = config_of(out)["quantization_config"]["group_size"]
    tensors, decoded = load_file(out / "model.safetensors"), suite.decoded(out)
    for name in linears(tensors, ".qweight"):
        state = parts(tensors, name)
        peer = packing.dequantize_gemm(state["qweight"], state["qzeros"], state["scales"].float(), 4, group).T
        need(torch.equal(peer.float(), torch.from_numpy(decoded[name + ".weight"])), f"{name}: differs from AutoAWQ's dequantize_gemm")
    return "every linear equals AutoAWQ's dequantize_gemm"


def check_chain(suite, *formats):
    first = suite.quantize("chain-0", "--method", "gptq", "--bits", 4, *CALIBRATION)
    before = first
    for i, name in enumerate(formats):
        now = suite.folder / f"chain-{i + 1}"
        suite.run("convert", "--model", before, "--format", name, "--out", now, "--force")
        before = now
    a, b = load_file(first / "model.safetensors"), load_file(before / "model.safetensors")
    need(set(a) == set(b) and all(torch.equal(a[n], b[n]) for n in a), "the tensors are not the ones that it began with")
    return " -> ".join(("gptq",) + formats) + f": {len(a)} tensors with equal bytes"


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
    suite = Suite(args.teeny.resolve(), args.threads, args.only)
    print(", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("compressed-tensors", "transformers", "torch", "bitsandbytes")))
    ct = ("--format", "compressed-tensors")
    for bits in (4, 8):
        for flag in ("--sym", "--asym"):
            for grain in (("--group", 128), ("--group", 32), ("--granularity", "channel")):
                suite.check(f"written W{bits}A16 {flag[2:]} {grain[0][2:]} {grain[1]}", lambda: check_written(suite, "--method", "rtn", "--bits", bits, flag, *grain, *ct))
    suite.check("written by gptq", lambda: check_written(suite, "--method", "gptq", "--bits", 4, *ct, *CALIBRATION))
    suite.check("written for a target", lambda: check_written(suite, "--method", "gptq", "--target-bpw", 9, "--candidates", "4,8", *ct, *CALIBRATION))
    suite.check("written by awq, 8 bits", lambda: check_written(suite, "--method", "awq", "--bits", 8, *CALIBRATION))
    suite.check("written W8A8", lambda: check_written(suite, "--method", "int8", "--act-bits", 8))
    token = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    every = lambda module: True
    for bits, extra in ((4, {"strategy": "group", "group_size": 64}), (4, {"strategy": "channel", "symmetric": False}), (8, {"strategy": "group", "group_size": 128, "symmetric": False}),
                        (4, {"strategy": "tensor"}), (3, {"strategy": "group", "group_size": 128}), (6, {"strategy": "channel"})):
        suite.check(f"read W{bits}A16 {extra}", lambda: check_read(suite, [(every, {"num_bits": bits, "type": "int", **extra}, None, "pack-quantized", ["Linear"])]))
    suite.check("read W8A8", lambda: check_read(suite, [(every, {**INT8, "strategy": "channel"}, token, "int-quantized", ["Linear"])]))
    suite.check("read several groups", lambda: check_read(suite, [
        (lambda m: m.endswith("down_proj"), {**INT8, "strategy": "channel"}, None, "pack-quantized", ["re:.*down_proj$"]),
        (lambda m: m == "model.layers.2.mlp.up_proj", {**INT4, "strategy": "group", "group_size": 32, "actorder": "weight"}, None, "pack-quantized", ["model.layers.2.mlp.up_proj"]),
        (every, {**INT8, "strategy": "channel"}, token, "int-quantized", ["Linear"])], ("lm_head", "model.layers.1.self_attn.q_proj")))
    suite.check("transformers runs W4A16", lambda: check_runs(suite, "--method", "rtn", "--bits", 4, *ct, per_window=5e-3))
    # Symmetric: this transformers does not load 4-bit zero points, also not in files that the package itself packed.
    suite.check("transformers runs a mix for a target", lambda: check_runs(suite, "--method", "rtn", "--sym", "--target-bpw", 7, "--candidates", "4,8", *ct, *CALIBRATION, per_window=5e-3))
    suite.check("transformers runs W8A8", lambda: check_runs(suite, "--method", "int8", "--act-bits", 8, per_window=5e-3))
    for kind in ("nf4", "fp4"):
        for double in (False, True):
            suite.check(f"bitsandbytes {kind}{' double' if double else ''}", lambda: check_bitsandbytes(suite, kind, double))
    suite.check("autoawq packing", lambda: check_autoawq(suite, "--method", "rtn", "--bits", 4, "--format", "awq", "--asym"))
    suite.check("chain", lambda: check_chain(suite, "compressed-tensors", "gptq-v2", "awq", "compressed-tensors", "gptq"))
    return suite.finish()


if __name__ == "__main__":
    sys.exit(main())
