#!/usr/bin/env bash
# Set up, build, run the tests: exactly what CI runs. Arguments go to ctest, e.g. scripts/test.sh -L fast
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --tests
python3 scripts/check_layers.py
scripts/build.sh release
scripts/build.sh asan teeny_test_core teeny_test_text teeny_test_containers teeny_test_family teeny_test_plan
for module in core text containers family plan; do build-asan/tests/teeny_test_$module --gtest_brief=1; done
ctest --test-dir build --output-on-failure --no-tests=error "$@"
