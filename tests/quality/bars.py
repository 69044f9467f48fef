#!/usr/bin/env python3
"""Measures how much quality quantization costs on the shipped model, against bars, and fails when one is missed.

usage: bars.py --teeny build/bin/teeny [--seeds 5] [--results FILE] [outliers sparsity self int8 gptq awq gguf ...]
Needs numpy. KLD in nats against the f32 original, protocol windows, ctx 512, eval.txt; calibrated ones with --seq-len 512 and
seeds 0, 1 ...: the median counts. Slow: a minute or two a figure on two cores.
"""
import argparse, json, pathlib, shutil, statistics, struct, subprocess, sys, tempfile
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "configs/models/teeny-demo-7m"
NORMS = {"input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj")}
# GGUF mixes: llama-quantize's KLD without and with importance on this model.
MIXES = {"Q8_0": (.000054, .000054), "Q6_K": (.000470, .000405), "Q5_K_M": (.001094, .000990), "Q5_K_S": (.001400, .001287), "Q5_1": (.001690, .001236), "Q5_0": (.002347, .001590),
         "Q4_K_M": (.003804, .003772), "Q4_K_S": (.004619, .004005), "Q4_1": (.006528, .004962), "Q4_0": (.008142, .005971), "IQ4_NL": (.005290, .005716), "IQ4_XS": (.005239, .005725),
         "Q3_K_L": (.012194, .011893), "Q3_K_M": (.013750, .013776), "Q3_K_S": (.032345, .027595), "Q2_K": (.103235, .075149)}


def read_model(folder):
    """All tensors of a BF16 or F32 checkpoint, as f32."""
    data = (folder / "model.safetensors").read_bytes()
    size = struct.unpack_from("<Q", data)[0]
    out = {}
    for name, info in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + at for at in info["data_offsets"])
        if info["dtype"] == "BF16":
            values = (np.frombuffer(data[begin:end], np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            assert info["dtype"] == "F32", info
            values = np.frombuffer(data[begin:end], np.float32)
        out[name] = values.reshape(info["shape"]).copy()
    return out


def write_model(folder, tensors):
    """The shipped model's files with other weights, in f32."""
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("make", "model.safetensors"))
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = "float32"
    (folder / "config.json").write_text(json.dumps(config))
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            f.write(values.astype("<f4").tobytes())


def with_outliers(tensors, channels=4, factor=50):
    """The same function with a few channels of every norm made large, and the columns that read them small."""
    out = {name: values.copy() for name, values in tensors.items()}
    rng = np.random.default_rng(3)
    for name in tensors:
        parts = name.split(".")
        if len(parts) < 5 or parts[3] not in NORMS:
            continue
        chosen = rng.choice(tensors[name].shape[0], channels, replace=False)
        out[name][chosen] *= factor
        for reader in NORMS[parts[3]]:
            out[".".join(parts[:3] + [reader, "weight"])][:, chosen] /= factor
    return out


def pruned_by_magnitude(tensors, pattern):
    """The smallest weights of every linear of a block set to 0: "2:4", or a share of each row."""
    out = {}
    for name, values in tensors.items():
        out[name] = values
        if not name.endswith("_proj.weight"):
            continue
        if ":" in pattern:
            zeros, of = map(int, pattern.split(":"))
            groups = values.reshape(-1, of)
            mask = np.argsort(np.argsort(np.abs(groups), 1, "stable"), 1) < zeros
            out[name] = np.where(mask, 0, groups).reshape(values.shape)
        else:
            mask = np.argsort(np.argsort(np.abs(values), 1, "stable"), 1) < int(float(pattern) * values.shape[1])
            out[name] = np.where(mask, 0, values)
    return out


class Bars:
    def __init__(self, teeny, seeds, results):
        self.teeny, self.seeds, self.results, self.missed = teeny, seeds, results, 0
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="teeny-bars-"))

    def run(self, *args):
        p = subprocess.run([self.teeny, *map(str, args), "--quiet", "--json", "-"], cwd=self.folder, capture_output=True, text=True)
        if p.returncode:
            sys.exit(f"{' '.join(map(str, args))}: {p.stderr}")
        return json.loads(p.stdout)

    def kld(self, *quantize, model=DEMO, reference=DEMO, evaluate=()):
        out = self.folder / ("out.gguf" if "gguf" in quantize else "out")
        self.run("quantize", "--model", model, "--seq-len", 512, "--force", "--out", out, *quantize)
        record = self.run("eval", "--model", out, "--reference", reference, "--text", DEMO / "eval.txt", "--tasks", "kld", *evaluate)
        return next(task["value"] for task in record["eval"]["tasks"] if task["name"] == "kld")

    def figure(self, name, values, bar=None, above=False, slack=1.0):
        """A line with the median of the values; `above`: the bar is a floor."""
        median = statistics.median(values)
        met = bar is None or (median >= bar if above else median <= bar * slack)
        self.missed += not met
        each = " (" + " ".join(f"{v:.3g}" for v in values) + ")" if len(values) > 1 else ""
        line = f"{name}: {median:.4g}{each}" + ("" if bar is None else f"; bar {'>=' if above else '<='} {bar:g}, {'met' if met else 'MISSED'}")
        print(line, flush=True)
        if self.results:
            with open(self.results, "a") as f:
                f.write(line + "\n")
        return median

    def median(self, name, *quantize, bar=None, slack=1.0, model=DEMO, reference=DEMO):
        return self.figure(name, [self.kld(*quantize, "--seed", s, model=model, reference=reference) for s in range(self.seeds)], bar, False, slack)

    def gptq(self):
        for bits, bar, slack in ((8, .000021, 1.03), (4, .00625 * .8, 1.03), (3, .0408 * .8, 1.1), (2, 1.101 * .8, 1.1)):
            self.median(f"gptq {bits} bits", "--method", "gptq", "--bits", bits, bar=bar, slack=slack)

    def awq(self):
        self.median("awq 4 bits, asymmetric", "--method", "awq", bar=.00838 * .8, slack=1.03)
        self.median("awq 4 bits, symmetric", "--method", "awq", "--sym", bar=.01158 * .8, slack=1.03)

    def own_text(self):
        for bits in (4, 3):
            given = self.median(f"gptq {bits} bits, calibration.txt", "--method", "gptq", "--bits", bits)
            self.median(f"gptq {bits} bits, self", "--method", "gptq", "--bits", bits, "--calibration", "self", bar=1.1 * given)

    def int8(self):
        self.figure("int8, weights only", [self.kld("--method", "int8")], 7e-5)
        self.figure("int8, as bitsandbytes runs it", [self.kld("--method", "int8", evaluate=("--act-bits", 8))], 2e-4)
        self.median("w8a8 dynamic", "--method", "int8", "--act-bits", 8, bar=.0006)

    def outliers(self):
        model = self.folder / "with-outliers"
        write_model(model, with_outliers(read_model(DEMO)))
        self.figure("the model with outliers itself", [self.run("eval", "--model", model, "--reference", DEMO, "--text", DEMO / "eval.txt", "--tasks", "kld")["eval"]["tasks"][0]["value"]], 1e-6)
        w8a8 = ("--method", "int8", "--act-bits", 8)
        self.figure("outliers, w8a8 plain", [self.kld(*w8a8, "--smooth", 0, model=model, reference=model)], .01, above=True)
        self.median("outliers, w8a8 smoothed", *w8a8, bar=.0008, model=model, reference=model)
        self.figure("outliers, LLM.int8", [self.kld("--method", "int8", model=model, reference=model, evaluate=("--act-bits", 8))])

    def sparsity(self):
        tensors = read_model(DEMO)
        for pattern in ("2:4", "0.5"):
            model = self.folder / f"pruned-{pattern.replace(':', '-')}"
            write_model(model, pruned_by_magnitude(tensors, pattern))
            peer = self.figure(f"sparsity {pattern}: magnitude, then rtn 4 bits", [self.kld("--method", "rtn", model=model)])
            self.median(f"sparsity {pattern}: gptq 4 bits", "--method", "gptq", "--sparsity", pattern, bar=peer)

    def gguf(self, importance):
        for mix, (plain, weighted) in MIXES.items():
            self.figure(f"{mix}", [self.kld("--method", "gguf", "--type", mix)], plain, slack=1.001)
            if importance:
                self.figure(f"{mix} with importance", [self.kld("--method", "gguf", "--type", mix, "--importance", importance)], weighted, slack=1.001)

    def compensated(self):
        for mix, bar in (("Q4_K_M", .8 * .003772), ("Q3_K_M", .8 * .01375), ("Q2_K", .8 * .075149)):
            self.median(f"gptq into {mix}", "--method", "gptq", "--format", "gguf", "--type", mix, bar=bar)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ("outliers", "sparsity", "self", "int8", "gptq", "awq", "gguf", "compensated")
    parser.add_argument("bars", nargs="*", help=f"of {', '.join(names)} [default: all]")
    parser.add_argument("--teeny", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=5, help="calibration orders, 0 and up")
    parser.add_argument("--importance", type=pathlib.Path, help="llama-imatrix's file of calibration.txt for the mixes")
    parser.add_argument("--results", type=pathlib.Path, help="append the lines to this file too")
    args = parser.parse_args()
    bars = Bars(args.teeny.resolve(), args.seeds, args.results and args.results.resolve())
    importance = args.importance and args.importance.resolve()
    try:
        for name in args.bars or names:
            if name not in names:
                parser.error(f"{name}: not one of {', '.join(names)}")
            bars.gguf(importance) if name == "gguf" else {"self": bars.own_text}.get(name, getattr(bars, name, None))()
    finally:
        shutil.rmtree(bars.folder, ignore_errors=True)
    return 1 if bars.missed else 0


if __name__ == "__main__":
    sys.exit(main())
