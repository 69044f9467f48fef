#!/usr/bin/env bash
# Set up, build, run the tests: exactly what CI runs. Arguments go to ctest, e.g. scripts/test.sh -L fast. With --all first,
# the tests labelled long run too.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --tests
python3 scripts/check_layers.py
scripts/build.sh release
scripts/build.sh asan teeny_test_core teeny_test_text teeny_test_containers teeny_test_family teeny_test_plan
for module in core text containers family plan; do build-asan/tests/teeny_test_$module --gtest_brief=1; done
# A smoke run of the fuzzers where clang is: long runs are done by hand (docs/contributing.md).
if command -v clang++ >/dev/null && [ -e "$(clang++ -print-file-name=libclang_rt.fuzzer-x86_64.a)" ]; then
  targets=(gguf safetensors tokenizer quant_config judge imatrix sensitivity)
  scripts/build.sh fuzz "${targets[@]/%/_fuzz}"
  for target in "${targets[@]}"; do
    build-fuzz/tests/fuzz/${target}_fuzz -max_total_time=10 -rss_limit_mb=2048 -timeout=10 2>&1 | tail -1
  done
else
  echo "test: no clang++ with libFuzzer: fuzz smoke runs skipped" >&2
fi
if [ "${1:-}" = --all ]; then
  shift
else
  set -- -LE long "$@"
fi
ctest --test-dir build --output-on-failure --no-tests=error "$@"
