#!/usr/bin/env bash
# Configures and builds one named cache of configs/cmake (release by default) into build/ or build-<name>/.
# usage: scripts/build.sh [release|debug|cpu|asan|tsan] [ninja targets...]
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-release}
shift || true
dir=build
[ "$name" = release ] || dir=build-$name
options=()
[ -z "${TEENY_TORCH_DIR:-}" ] || options+=("-DTEENY_TORCH_DIR=$TEENY_TORCH_DIR")
cmake -C "configs/cmake/$name.cmake" -S . -B "$dir" -G Ninja "${options[@]}" >"$dir.configure.log" 2>&1 || { cat "$dir.configure.log" >&2; exit 1; }
grep 'teeny:' "$dir.configure.log" || true
# The engine's sources need about 1 GB each while they compile.
jobs=$(nproc)
memory=$(awk '/MemAvailable/ {print int($2 / 1500000)}' /proc/meminfo)
[ "$memory" -ge 1 ] || memory=1
[ "$jobs" -le "$memory" ] || jobs=$memory
ninja -C "$dir" -j "$jobs" "$@"
