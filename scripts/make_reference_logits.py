#!/usr/bin/env python3
"""Writes tests/data/transformers_logits.npz: logits of the shipped model by transformers on the CPU, in float32.

usage: make_reference_logits.py   (needs torch and transformers)
The same 256 tokens and rows as tests/data/reference_logits.npz, which was made on a GPU with TF32 products: it deviates
from an evaluation in float64 by up to 0.031.
"""
import pathlib, numpy as np, torch, transformers
root = pathlib.Path(__file__).resolve().parent.parent
old = np.load(root / "tests/data/reference_logits.npz")
model = transformers.AutoModelForCausalLM.from_pretrained(root / "configs/models/teeny-demo-7m", dtype=torch.float32)
with torch.no_grad():
    logits = model(input_ids=torch.tensor(old["ids"].astype(np.int64))[None]).logits[0].numpy()[old["rows"]]
np.savez_compressed(root / "tests/data/transformers_logits.npz", ids=old["ids"], rows=old["rows"], logits=logits.astype(np.float32))
with torch.no_grad():
    exact = model.double()(input_ids=torch.tensor(old["ids"].astype(np.int64))[None]).logits[0].numpy()[old["rows"]]
print("transformers", transformers.__version__, "float32 against float64", np.abs(logits - exact).max(), "old against float64", np.abs(old["logits"] - exact).max())
