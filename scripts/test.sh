#!/usr/bin/env bash
# Set up, build, run the tests: exactly what CI runs. Arguments go to ctest, e.g. scripts/test.sh -L fast
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
python3 scripts/check_layers.py
scripts/build.sh release
scripts/build.sh asan teeny_test_core teeny_test_text teeny_test_containers teeny_test_family teeny_test_plan
ctest --test-dir build --output-on-failure --no-tests=error "$@"
