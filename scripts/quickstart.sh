#!/usr/bin/env bash
# Set up, build, then the main job on the model that ships with teeny: quantize by every method, measure, evaluate, report.
# usage: scripts/quickstart.sh [OUTPUT DIRECTORY]     (default: quickstart/)
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/build.sh release bin/teeny bin/libteeny_engine.so

teeny=$PWD/build/bin/teeny
model=$PWD/configs/models/teeny-demo-7m
out=${1:-quickstart}
mkdir -p "$out"
rm -rf "${out:?}/results" "${out:?}/report"
results=$PWD/$out/results
case $out in /*) results=$out/results ;; esac
export TEENY_CACHE=${TEENY_CACHE:-$PWD/.deps/cache}   # the reference's verdicts are kept there
start=$SECONDS
step() { printf '\n== %s\n' "$*" >&2; }

measure() { # measure NAME MODEL: speed, then text and code quality against the original
  step "$1: bench and eval"
  "$teeny" bench --model "$2" --prompt 128 --generate 64 --repetitions 3 --results "$results"
  if [ "$2" = "$model" ]; then
    "$teeny" eval --model "$2" --tasks ppl,demo-code --results "$results"
  else
    "$teeny" eval --model "$2" --reference "$model" --tasks ppl,kld,demo-code --results "$results"
  fi
}

measure original "$model"
for job in "rtn 4" "gptq 4" "awq 4" "gguf 4" "int8 8"; do
  set -- $job
  step "quantize by $1 to $2 bits"
  file=$out/$1-$2
  [ "$1" != gguf ] || file=$file.gguf
  "$teeny" quantize --model "$model" --method "$1" --bits "$2" --force --out "$file" --results "$results"
  measure "$1 $2" "$PWD/${file#"$PWD/"}"
done
step report
"$teeny" report "$results" --out "$out/report"
printf '\nThe whole job took %d s. Open %s/report/report.html\n' $((SECONDS - start)) "$out"
