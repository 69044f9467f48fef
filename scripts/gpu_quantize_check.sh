#!/usr/bin/env bash
# Measures quantization on this machine's GPU: equal bytes with the CPU, two runs alike, and the times on Qwen2.5-14B shapes.
# usage: scripts/gpu_quantize_check.sh [OUTPUT DIRECTORY] [WORK DIRECTORY]. Needs a built teeny (TEENY, else build/bin/teeny),
# python3 with numpy, and 45 GB in the work directory (/dev/shm by default: the model is read from memory, as from the page cache).
# TEENY_CHECK_SKIP="time": parts to leave out, of bytes quality time. LAYERS=12: a model of fewer layers than the 14B's 48.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu_check} work=${2:-/dev/shm}/teeny-gpu-quantize
teeny=${TEENY:-build/bin/teeny} demo=configs/models/teeny-demo-7m device=${DEVICE:-cuda:0} failed=0
layers=${LAYERS:-48}
skip=" ${TEENY_CHECK_SKIP:-} "
wanted() { [[ "$skip" != *" $1 "* ]]; }
mkdir -p "$out" "$work"
trap 'rm -rf "$work"' EXIT
quantize() { "$teeny" quantize --no-progress --force "$@" >/dev/null; }
same() { if cmp -s "$1" "$2"; then echo "same bytes: $3"; else echo "DIFFERENT: $3"; failed=1; fi; }

for type in $(wanted bytes && echo Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K_M Q4_K_M Q5_K_M Q6_K IQ4_NL IQ4_XS); do
  for d in cpu "$device"; do quantize --model $demo --method gguf --type $type --device "$d" --out "$work/${d%%:*}.gguf"; done
  same "$work/cpu.gguf" "$work/cuda.gguf" "gguf $type"
done
for method in $(wanted bytes && echo rtn int8); do
  for d in cpu "$device"; do quantize --model $demo --method $method --device "$d" --out "$work/${d%%:*}"; done
  same "$work/cpu/model.safetensors" "$work/cuda/model.safetensors" $method
done
for job in gptq-4 gptq-2 gptq-3 gptq-8 awq-4; do
  wanted quality || break
  set -- ${job%-*} ${job#*-}
  for run in one two; do quantize --model $demo --method "$1" --bits "$2" --seq-len 512 --device "$device" --out "$work/$run" --json "$out/$job-$run.json"; done
  same "$work/one/model.safetensors" "$work/two/model.safetensors" "$1 $2 bits, twice on the GPU"
  quantize --model $demo --method "$1" --bits "$2" --seq-len 512 --device cpu --out "$work/cpu" --json "$out/$job-cpu.json"
  for d in cpu one; do
    "$teeny" eval --model "$work/$d" --reference $demo --tasks kld --device cpu --no-progress --json "$out/kld-$1-$2-$d.json" >/dev/null
  done
  python3 - "$out" "$1-$2" <<'PY'
import json, sys
kld = [json.load(open(f"{sys.argv[1]}/kld-{sys.argv[2]}-{d}.json"))["eval"]["tasks"] for d in ("cpu", "one")]
cpu, gpu = (next(r["value"] for r in rows if r["name"] == "kld") for rows in kld)
print(f"{sys.argv[2]}: KLD {cpu:.6f} on the CPU, {gpu:.6f} on the GPU ({100 * (gpu / cpu - 1):+.1f} %)")
powers = [{t["name"]: t["scale_powers"] for t in json.load(open(f"{sys.argv[1]}/{sys.argv[2]}-{d}.json"))["quantize"]["tensors"] if "scale_powers" in t} for d in ("cpu", "one")]
if powers[0]:
    print(f"{sys.argv[2]}: the CPU's scale powers in {sum(powers[1].get(n) == p for n, p in powers[0].items())} of {len(powers[0])} linears")
PY
done

wanted time || exit $failed
[ -e "$work/model" ] || python3 scripts/make_random_model.py "$work/model" --hidden 5120 --layers "$layers" --heads 40 --kv-heads 8 --ffn 13824 --vocab 152064 --untied
for i in 1 2 3; do cat $demo/calibration.txt $demo/eval.txt; done >"$work/calibration.txt"
measure() {  # name, options
  local name=$1 start end
  shift
  start=$(date +%s.%N)
  quantize --model "$work/model" --device "$device" --out "$work/result" --json "$out/$name.json" "$@"
  end=$(date +%s.%N)
  python3 -c "import json, sys; q = json.load(open('$out/$name.json'))['quantize']; print('$name: %.1f s, %.2f GB of the GPU at most;' % ($end - $start, (q['peak_device_bytes'] or 0) / 1e9), {k: round(v, 1) for k, v in q['seconds_by_phase'].items()})"
  rm -rf "$work/result" "$work/result.resume"
}
measure gguf-q4_k_m --method gguf --type Q4_K_M
measure gptq-w4-g128 --method gptq --bits 4 --calibration "$work/calibration.txt"
measure awq-w4-g128 --method awq --bits 4 --calibration "$work/calibration.txt"
exit $failed
