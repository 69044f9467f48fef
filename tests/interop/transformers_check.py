#!/usr/bin/env python3
"""Check teeny's models in transformers: perplexity of 20 windows, per-window losses, GGUF and bitsandbytes loading. Slow.

usage: transformers_check.py --teeny build/bin/teeny [--only REGEX] [--threads N]
Needs all of requirements.txt. Both sides compute in float32, so that only the weights and the arithmetic's order count.
"""
import argparse, importlib.metadata, json, logging, math, pathlib, sys, warnings
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import numpy as np
import torch, transformers
from checks import CALIBRATION, MODEL, Skipped, Suite, need
from readers import bitsandbytes_codes, bitsandbytes_weight, linears, read_tensors

WINDOWS, CONTEXT = 20, 512
RELATIVE, PER_WINDOW = 1e-4, 1e-3  # of perplexity; of a window's mean loss, in nats a token


def teeny_losses(suite, model):
    record = suite.folder / "record.json"
    suite.run("eval", "--model", model, "--device", "cpu", "--tasks", "ppl", "--ctx", CONTEXT, "--limit", WINDOWS, "--text", MODEL / "eval.txt", "--json", record)
    task = json.loads(record.read_text())["eval"]["tasks"][0]
    losses = [item["value"] if isinstance(item, dict) else item for item in task["per_item"]]
    return task["value"], losses


def peer_losses(model, tokenizer):
    ids = torch.tensor(tokenizer((MODEL / "eval.txt").read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"])
    losses = []
    with torch.no_grad():
        for window in ids[:WINDOWS * CONTEXT].view(WINDOWS, CONTEXT):
            logits = model(window[None]).logits[0, :-1].float()
            losses.append(torch.nn.functional.cross_entropy(logits, window[1:]).item())
    return math.exp(sum(losses) / len(losses)), losses


def load(path, **more):
    return transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, **more).eval()


def same(mine, theirs, relative=RELATIVE, per_window=PER_WINDOW):
    worst = max(abs(a - b) for a, b in zip(mine[1], theirs[1], strict=True))
    figure = f"perplexity teeny {mine[0]:.6f}, transformers {theirs[0]:.6f}, a window's loss differs by at most {worst:.2g} nats"
    need(abs(mine[0] / theirs[0] - 1) <= relative and worst <= per_window, figure)
    return figure


def check_directory(suite, path):
    return same(teeny_losses(suite, path), peer_losses(load(path), transformers.AutoTokenizer.from_pretrained(path)))


def check_decoded(suite, *arguments):
    """teeny measures its own encoding; transformers the same weights after teeny's convert."""
    packed, plain = suite.quantize("packed", *arguments), suite.folder / "plain"
    suite.run("convert", "--model", packed, "--format", "safetensors", "--dtype", "f32", "--out", plain, "--force")
    return same(teeny_losses(suite, packed), peer_losses(load(plain), transformers.AutoTokenizer.from_pretrained(plain)))


def check_gguf(suite, kind):
    path = suite.quantize(f"{kind}.gguf", "--method", "gguf", "--type", kind)
    tokenizer = transformers.AutoTokenizer.from_pretrained(suite.folder, gguf_file=path.name)
    theirs = peer_losses(load(suite.folder, gguf_file=path.name), transformers.AutoTokenizer.from_pretrained(MODEL))
    text = (MODEL / "eval.txt").read_text(encoding="utf-8")[:20000]
    mine = transformers.AutoTokenizer.from_pretrained(MODEL)(text)["input_ids"]
    need(tokenizer(text)["input_ids"] == mine, "the tokenizer read from the GGUF file gives other ids")
    return same(teeny_losses(suite, path), theirs) + "; ids from the file's vocabulary equal"


def check_bitsandbytes_decode(suite):
    import bitsandbytes
    out = suite.quantize("int8", "--method", "int8")
    tensors, _ = read_tensors(out)
    decoded, halfway = suite.decoded(out), 0
    for name in linears(tensors, ".SCB"):
        codes, absmax = torch.from_numpy(tensors[name + ".weight"]), torch.from_numpy(tensors[name + ".SCB"])
        peer = bitsandbytes.functional.int8_vectorwise_dequant(codes, absmax).numpy()
        need(np.array_equal(peer, bitsandbytes_weight(tensors, name)), f"{name}: readers.py differs from bitsandbytes")
        need(np.array_equal(peer, decoded[name + ".weight"]), f"{name}: teeny's decode differs from bitsandbytes'")
        again, again_max, _ = bitsandbytes.functional.int8_vectorwise_quant(torch.from_numpy(suite.original()[name + ".weight"]).half())
        need(torch.equal(again_max.float(), absmax), f"{name}.SCB differs from int8_vectorwise_quant's")
        rule, _, ties = bitsandbytes_codes(suite.original()[name + ".weight"])
        need(np.array_equal(rule, again.numpy()), f"{name}: readers.py's codes differ from int8_vectorwise_quant's")
        other = np.abs(rule.astype(int) - codes.numpy())
        need((other <= ties).all(), f"{name}: {(other > ties).sum()} codes differ from int8_vectorwise_quant's")
        halfway += int(other.sum())
    return f"row maxima and decode of every linear equal bitsandbytes'; codes too, but {halfway} that lie exactly halfway between two"


def check_bitsandbytes_load(suite):
    out = suite.quantize("int8", "--method", "int8")
    model = load(out)
    kinds = {type(m).__name__ for n, m in model.named_modules() if n.endswith("_proj")}
    need(kinds == {"Linear8bitLt"}, f"linears are {kinds}")
    # Its int8 path also rounds activations, which teeny's does not: a looser bar.
    return same(teeny_losses(suite, out), peer_losses(model, transformers.AutoTokenizer.from_pretrained(out)), 5e-3, 2e-2)


def check_packed(suite, package, *arguments):
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise Skipped(f"transformers loads it through {package}, which is not installed")
    return check_directory(suite, suite.quantize("packed", *arguments))


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
    print(", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("transformers", "torch", "bitsandbytes", "tokenizers", "safetensors")))
    suite.check("source", lambda: check_directory(suite, MODEL))
    for method in ("bf16", "fp16"):
        suite.check(f"{method} directory", lambda: check_directory(suite, suite.quantize(method, "--method", method)))
    for name, arguments in (("gptq", ("--method", "gptq", "--bits", 4, *CALIBRATION)), ("awq", ("--method", "awq", "--bits", 4, *CALIBRATION)),
                            ("rtn 3 bits asymmetric", ("--method", "rtn", "--bits", 3, "--asym")), ("int8", ("--method", "int8"))):
        suite.check(f"{name}, converted to f32", lambda: check_decoded(suite, *arguments))
    for kind in ("F16", "Q8_0", "Q6_K", "Q4_K_M", "Q2_K"):
        suite.check(f"gguf {kind}", lambda: check_gguf(suite, kind))
    suite.check("bitsandbytes functions", lambda: check_bitsandbytes_decode(suite))
    suite.check("bitsandbytes model", lambda: check_bitsandbytes_load(suite))
    suite.check("gptq directory", lambda: check_packed(suite, "gptqmodel", "--method", "gptq", "--bits", 4, *CALIBRATION))
    suite.check("awq directory", lambda: check_packed(suite, "gptqmodel", "--method", "awq", "--bits", 4, *CALIBRATION))
    return suite.finish()


if __name__ == "__main__":
    sys.exit(main())
