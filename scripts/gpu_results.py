#!/usr/bin/env python3
"""Gathers the records of scripts/gpu_check.sh into <gpu>.json and <gpu>.md.

usage: gpu_results.py RECORDS OUT COMMIT. Bars are for one NVIDIA H200 (4,548 GB/s); on another GPU a projected figure stands
beside the measured one: the measured fraction of this GPU's read bandwidth times the H200's, for decoding of one sequence.
"""
import glob, json, os, re, sys
records, out, commit = sys.argv[1:4]
H200 = 4548.0
BARS = {  # file, case, depth, batch -> name, unit, first target, goal
    ("w4-decode", "decode", 0, 1): ("W4 g128 decode, depth 0", "tok/s", 300, 430), ("w4-decode", "decode", 2048, 1): ("W4 g128 decode, depth 2048", "tok/s", 290, 415),
    ("q4_k_m-decode", "decode", 0, 1): ("Q4_K_M decode, depth 0", "tok/s", 260, 420), ("q4_k_m-decode", "decode", 2048, 1): ("Q4_K_M decode, depth 2048", "tok/s", 250, 400),
    ("int8-decode", "decode", 0, 1): ("int8 decode", "tok/s", 200, 250), ("f16-decode", "decode", 0, 1): ("F16 decode", "tok/s", 120, 147),
    ("w4-batch", "decode", 0, 16): ("W4 batch 16", "tok/s", 3000, 6000), ("w4-batch", "decode", 0, 64): ("W4 batch 64", "tok/s", 7000, 13000),
    ("w4-humaneval", "response", 0, 164): ("164 prompts of 150 + 256 new", "s", 6, 3.5), ("w4-prefill", "prefill", 0, 1): ("W4 prefill 2048", "tok/s", 22000, 26000),
    ("q4_k_m-prefill", "prefill", 0, 1): ("Q4_K_M prefill 2048", "tok/s", 22000, 26000), ("w4-prefill_128", "prefill", 0, 1): ("W4 prefill 128", "tok/s", None, None), ("int8-prefill", "prefill", 0, 1): ("int8 prefill 2048", "tok/s", None, None),
    ("w4_7b-decode", "decode", 0, 1): ("W4 g128 decode, 7B shapes", "tok/s", None, None)}
rows, machine, device = [], {}, ""
for path in sorted(glob.glob(records + "/bench-*.json")):
    record = json.load(open(path)); stem = os.path.basename(path)[6:-5]; machine = record["machine"]
    for case in record["bench"]["cases"]:
        bar = BARS.get((stem, case["name"].split()[0], case["depth"], case["batch"]))
        if not bar or case["kind"] != "measured": continue
        name, unit, first, goal = bar; device = case["hardware"]
        value = case["median"] if unit == "tok/s" else case["response_s"]["p50"]
        fraction = case["bandwidth_fraction"]
        projected = value / (fraction * case["details"]["read_bandwidth_gb_s"]) * fraction * H200 if fraction and "H200" not in device else None
        rows.append({"row": name, "value": value, "unit": unit, "spread": case["mad"], "fraction_of_read_bandwidth": fraction, "projected_h200": projected, "first_target": first, "goal": goal,
                     "read_bandwidth_gb_s": (case.get("details") or {}).get("read_bandwidth_gb_s"), "peak_device_bytes": record["bench"]["peak_device_bytes"], "load_seconds": record["bench"]["load_seconds"]})
quality = []
for path in sorted(glob.glob(records + "/ppl-*-cpu.json")):
    other = path.replace("-cpu.json", "-cuda.json")
    if not os.path.exists(other): continue
    value = lambda p: next((t["value"] for t in json.load(open(p))["eval"]["tasks"] if t["metric"] == "perplexity"), None)
    try: cpu, gpu = value(path), value(other)
    except Exception as e: print(path, e); continue
    quality.append({"file": os.path.basename(path)[4:-9], "cpu": cpu, "gpu": gpu, "difference": abs(cpu - gpu)})
tests = open(records + "/tests.log").read().replace(os.getcwd() + "/", "") if os.path.exists(records + "/tests.log") else ""
smi = open(records + "/gpu.csv").read().strip() if os.path.exists(records + "/gpu.csv") else ""
slug = re.sub(r"[^a-z0-9]+", "-", (device or "gpu").lower()).strip("-")
json.dump({"commit": commit, "device": device, "machine": machine, "nvidia_smi": smi, "speed": rows, "perplexity": quality, "tests": tests.splitlines()}, open(f"{out}/{slug}.json", "w"), indent=1)
show = lambda v, unit: "-" if v is None else f"{v:,.2f}" if unit == "s" else f"{v:,.0f}"
md = [f"# {device}", "", f"Measured by `scripts/gpu_check.sh` at commit {commit} on generated weights. {smi}", "",
      "Targets are for an H200 (4,548 GB/s). \"Projected\" is not measured: this GPU's fraction of its own read bandwidth times the H200's.", "",
      "| row | measured | spread (MAD) | of read bandwidth | projected on an H200 | first target | goal |", "|---|---|---|---|---|---|---|"]
for r in rows:
    md.append(f"| {r['row']} | {show(r['value'], r['unit'])} {r['unit']} | {r['spread']:.1f} | " + (f"{100 * r['fraction_of_read_bandwidth']:.0f} %" if r["fraction_of_read_bandwidth"] else "-") +
              f" | {show(r['projected_h200'], r['unit'])} | {show(r['first_target'], r['unit'])} | {show(r['goal'], r['unit'])} |")
if quality:
    md += ["", "Perplexity of the shipped model on its evaluation text, CPU (f32) and GPU (f16 activations):", "", "| encoding | CPU | GPU | difference |", "|---|---|---|---|"]
    md += [f"| {q['file']} | {q['cpu']:.5f} | {q['gpu']:.5f} | {q['difference']:.5f} |" for q in quality]
md += ["", "Tests:", "", "```"] + [l for l in tests.splitlines() if "exit" in l or "PASSED" in l or "FAILED" in l or "SUMMARY" in l] + ["```"]
open(f"{out}/{slug}.md", "w").write("\n".join(md) + "\n")
print("\n".join(md))
