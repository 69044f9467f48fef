#!/usr/bin/env bash
# Builds natively on a machine with a GPU, runs the tests, and measures the shipped model on the CPU and on the GPU.
# usage: scripts/gpu_check.sh [OUTPUT DIRECTORY]. libtorch: TEENY_TORCH_DIR, else that of python3's torch.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu_check}
mkdir -p "$out"
export TEENY_TORCH_DIR=${TEENY_TORCH_DIR:-$(python3 -c 'import torch, os; print(os.path.dirname(torch.__file__))')}
scripts/build.sh release 2>&1 | tail -3
teeny=build/bin/teeny
model=configs/models/teeny-demo-7m
nvidia-smi --query-gpu=name,driver_version,power.limit,clocks.sm,clocks.mem --format=csv | tee "$out/gpu.csv"
ctest --test-dir build --output-on-failure -L fast -E 'judge|cli' | tee "$out/ctest.log" | tail -15 || true
for device in cpu cuda:0; do
  name=${device%%:*}
  "$teeny" eval --model $model --device $device --tasks ppl --json "$out/ppl-$name.json" --no-progress
  "$teeny" bench --model $model --device $device --prompt 512 --generate 128 --batch 1,16 --json "$out/bench-$name.json" --no-progress
done
for job in "rtn 4" "gptq 4" "awq 4" "gguf 4" "int8 8"; do
  set -- $job
  file=$out/$1-$2
  [ "$1" != gguf ] || file=$file.gguf
  "$teeny" quantize --model $model --method "$1" --bits "$2" --seq-len 512 --force --out "$file" --no-progress >/dev/null
  for device in cpu cuda:0; do
    "$teeny" eval --model "$file" --reference $model --device $device --tasks ppl,kld --json "$out/$1-$2-${device%%:*}.json" --no-progress
  done
done
