#!/usr/bin/env bash
# Builds natively on a machine with an NVIDIA GPU, runs the GPU's tests, and measures with teeny itself: the shipped model's
# quality on CPU and GPU in every encoding, and speed on generated models of 14B (and 7B) shapes. Writes <gpu>.json and .md.
# usage: scripts/gpu_check.sh [OUTPUT DIRECTORY (docs/results)] [SCRATCH DIRECTORY (75 GB free)]
# libtorch: TEENY_TORCH_DIR, else that of python3's torch. TEENY_COMMIT: where there is no git.
# TEENY_CHECK_SKIP="f16 7b": parts to leave out, of build tests sanitizer w4 q4_k_m int8 quality f16 7b. Without a build,
# build/bin/teeny and build/tests must be there. About five minutes on an H200 with 16 CPU cores; speed comes last, alone.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-docs/results}
scratch=${2:-$(mktemp -d)}
export records=$scratch/records scratch teeny=build/bin/teeny demo=configs/models/teeny-demo-7m
mkdir -p "$out" "$records"
skip=" ${TEENY_CHECK_SKIP:-} "
wanted() { [[ "$skip" != *" $1 "* ]]; }
export TEENY_TORCH_DIR=${TEENY_TORCH_DIR:-$(python3 -c 'import torch, os; print(os.path.dirname(torch.__file__))')}
wanted build && { scripts/build.sh release bin/teeny bin/libteeny_engine.so teeny_test_runtime teeny_test_kernels teeny_test_methods >"$records/build.log" 2>&1 || { tail -20 "$records/build.log"; exit 1; }; }

# The generated models, in the background while the parts run that do not measure time.
model() { wanted "$4" && python3 scripts/make_random_packed.py "$scratch/$1" --format "$2" --size "$3" ${5:+--header "$5"} >"$scratch/make-$1.log" 2>&1 & }
"$teeny" convert --model $demo --format gguf --out "$scratch/header.gguf" --force --no-progress >/dev/null 2>&1
model w4 w4 14b w4
model q4.gguf q4_k_m 14b q4_k_m "$scratch/header.gguf"
model int8 int8 14b int8
model f16 f16 14b f16
model w4-7b w4 7b 7b

if wanted tests; then
  build/tests/teeny_test_kernels --gtest_filter='Packed*:Decode*:Cuda*' --gtest_brief=1 >"$records/tests.log" 2>&1; echo "kernel tests: exit $?" | tee -a "$records/tests.log"
  build/tests/teeny_test_runtime --gtest_filter='GpuEngine*' --gtest_brief=1 >>"$records/tests.log" 2>&1; echo "engine tests: exit $?" | tee -a "$records/tests.log"
  build/tests/teeny_test_methods --gtest_filter='Cuda*' --gtest_brief=1 >>"$records/tests.log" 2>&1; echo "tests of methods: exit $?" | tee -a "$records/tests.log"
fi
if wanted sanitizer && command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    timeout 120 compute-sanitizer --tool $tool build/tests/teeny_test_kernels --gtest_filter='*SameCall*:*GateAnd*:*ANorm*:DecodeStep*:CudaColumns*' --gtest_brief=1 2>&1 | grep SUMMARY | sed "s/^/$tool /" | tee -a "$records/tests.log"
  done
fi
# One file's perplexity on the CPU and the GPU.
quality() {
  local file=$scratch/demo-$1-$2 device
  case $1 in
    none) file=$demo ;;
    gguf) file=$file.gguf; "$teeny" quantize --model $demo --method gguf --type "$2" --force --out "$file" --no-progress ;;
    w8a8) "$teeny" quantize --model $demo --method int8 --act-bits 8 --samples 32 --seq-len 512 --force --out "$file" --no-progress ;;
    *) "$teeny" quantize --model $demo --method "$1" --bits "$2" --samples 32 --seq-len 512 --force --out "$file" --no-progress ;;
  esac
  for device in cpu cuda:0; do "$teeny" eval --model "$file" --device $device --tasks ppl --no-progress --json "$records/ppl-$1-$2-${device%%:*}.json"; done
}
export -f quality
if wanted quality; then
  printf '%s\n' "none f32" "rtn 4" "gptq 4" "gptq 3" "awq 4" "int8 8" "w8a8 8" "gguf Q8_0" "gguf Q6_K" "gguf Q5_K_M" "gguf Q4_K_M" "gguf Q4_0" "gguf Q4_1" "gguf Q5_0" "gguf Q5_1" "gguf IQ4_NL" \
    "gguf IQ4_XS" "gguf Q3_K_M" "gguf Q2_K" | OMP_NUM_THREADS=3 xargs -P 7 -d '\n' -I JOB bash -c 'quality JOB' >"$records/quality.log" 2>&1
fi
wait

bench() { local name=$1; shift; "$teeny" bench --device cuda:0 --no-progress --json "$records/bench-$name.json" --model "$@" >"$records/bench-$name.log" 2>&1 || tail -3 "$records/bench-$name.log"; }
if wanted w4; then
  bench w4-prefill "$scratch/w4" --prompt 2048 --generate 1 --repetitions 5
  bench w4-prefill_128 "$scratch/w4" --prompt 128 --generate 1 --repetitions 5
  bench w4-decode "$scratch/w4" --prompt 64 --generate 128 --depth 0,2048
  bench w4-batch "$scratch/w4" --prompt 64 --generate 128 --batch 16,64 --repetitions 3
  bench w4-humaneval "$scratch/w4" --prompt 150 --generate 256 --batch 164 --repetitions 1
fi
if wanted q4_k_m; then
  bench q4_k_m-decode "$scratch/q4.gguf" --prompt 64 --generate 128 --depth 0,2048
  bench q4_k_m-prefill "$scratch/q4.gguf" --prompt 2048 --generate 1 --repetitions 5
fi
if wanted int8; then
  bench int8-decode "$scratch/int8" --prompt 64 --generate 128
  bench int8-prefill "$scratch/int8" --prompt 2048 --generate 1 --repetitions 5
fi
if wanted f16; then bench f16-decode "$scratch/f16" --prompt 64 --generate 128 --repetitions 3; fi
if wanted 7b; then bench w4_7b-decode "$scratch/w4-7b" --prompt 64 --generate 128; fi
rm -rf "$scratch"/{w4,q4.gguf,int8,f16,w4-7b}
nvidia-smi --query-gpu=name,driver_version,power.limit,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem --format=csv,noheader >"$records/gpu.csv" 2>/dev/null
python3 scripts/gpu_results.py "$records" "$out" "${TEENY_COMMIT:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}"
