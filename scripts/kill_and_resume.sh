#!/usr/bin/env bash
# Kills a calibrated run with SIGKILL at several points, resumes it each time, and compares the result with that of a whole run.
# usage: scripts/kill_and_resume.sh MODEL [POINTS=5] [-- quantize options, default: --method gptq --samples 32 --seq-len 512]
# TEENY: the binary (build/bin/teeny). SCRATCH: where outputs go (a temporary folder). WHOLE: an output of the same command, made before.
set -euo pipefail
model=${1:?usage: kill_and_resume.sh MODEL [POINTS] [-- quantize options]}
shift
points=5
[ $# -eq 0 ] || [ "$1" = -- ] || { points=$1; shift; }
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- --method gptq --samples 32 --seq-len 512
teeny=$(realpath "${TEENY:-$(dirname "$0")/../build/bin/teeny}")
scratch=${SCRATCH:-$(mktemp -d)}
hashes() { (cd "$1" && find . -type f | sort | xargs sha256sum); }
now() { date +%s.%N; }

whole=${WHOLE:-$scratch/whole}
if [ ! -e "$whole" ]; then
  begin=$(now)
  "$teeny" quantize --model "$model" "$@" --out "$whole" --quiet >"$scratch/whole.txt"
  echo "whole run: $(echo "$(now) - $begin" | bc) s"
fi

blocks=$(python3 -c "import json, sys; print(json.load(open(sys.argv[1] + '/config.json'))['num_hidden_layers'])" "$model")
rm -rf "$scratch/killed" "$scratch/killed.part" "$scratch/killed.resume"
resume=()
for ((i = 0; i < points; ++i)); do
  at=$((i * blocks / points))  # blocks that are done when the signal comes; it comes in the middle of the next
  "$teeny" quantize --model "$model" "$@" --out "$scratch/killed" "${resume[@]}" --quiet >/dev/null &
  pid=$!
  while kill -0 $pid 2>/dev/null && [ "$(find "$scratch/killed.resume" -name 'block-*.bin' 2>/dev/null | wc -l)" -lt "$at" ]; do sleep 0.05; done
  [ "$at" -gt 0 ] || sleep 1
  kill -9 $pid 2>/dev/null || { echo "the run was over before point $((i + 1)); take a larger model"; exit 1; }
  wait $pid 2>/dev/null || true
  echo "killed with $(find "$scratch/killed.resume" -name 'block-*.bin' 2>/dev/null | wc -l) of $blocks blocks kept"
  [ ! -e "$scratch/killed" ] || { echo "a killed run left an output under its final name"; exit 1; }
  resume=()
  [ ! -e "$scratch/killed.resume" ] || resume=(--resume)
done
"$teeny" quantize --model "$model" "$@" --out "$scratch/killed" "${resume[@]}" --quiet >/dev/null
if diff <(hashes "$whole") <(hashes "$scratch/killed"); then
  echo "same sha256 after $points kills"
else
  echo "the resumed run wrote other bytes"
  exit 1
fi
