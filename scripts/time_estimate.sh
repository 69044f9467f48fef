#!/usr/bin/env bash
# How good the plan's estimate of time is: plans a run, runs it, compares. On a machine that does nothing else.
# usage: scripts/time_estimate.sh MODEL [quantize options; default: --method gptq --samples 32 --seq-len 512]
# TEENY: the binary (build/bin/teeny). OUT: keep the result there (else it is removed).
set -euo pipefail
model=${1:?usage: time_estimate.sh MODEL [quantize options]}
shift
[ $# -gt 0 ] || set -- --method gptq --samples 32 --seq-len 512
teeny=$(realpath "${TEENY:-$(dirname "$0")/../build/bin/teeny}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$teeny" quantize --model "$model" "$@" --out "${OUT:-$scratch/out}" --dry-run --quiet --json "$scratch/plan.json" >/dev/null
"$teeny" quantize --model "$model" "$@" --out "${OUT:-$scratch/out}" --json "$scratch/run.json" >/dev/null
python3 - "$scratch/plan.json" "$scratch/run.json" <<'PY'
import json, sys
plan, run = (json.load(open(path)) for path in sys.argv[1:])
expected, measured = plan["quantize"]["plan"]["expected_seconds"], run["seconds"]
print(f"expected {expected:.1f} s, measured {measured:.1f} s: {expected / measured:.2f}")
print("working memory planned {:.2f} GB, anonymous peak {:.2f} GB".format(plan["quantize"]["plan"]["working_bytes"] / 1e9, run["quantize"]["peak_anonymous_bytes"] / 1e9))
print("seconds by phase:", ", ".join(f"{k} {v:.1f}" for k, v in sorted(run["quantize"]["seconds_by_phase"].items(), key=lambda x: -x[1])))
sys.exit(0 if 1 / 1.5 <= expected / measured <= 1.5 else 1)
PY
