#!/usr/bin/env bash
# Installs what teeny builds with: packages of the distribution, and libtorch (a PyPI wheel) into .deps/venv. Idempotent.
# Nothing but packages is written outside the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."

torch_version=2.11.0
packages=(g++ cmake ninja-build ccache lld git pkg-config python3 python3-venv libcli11-dev nlohmann-json3-dev libspdlog-dev libfmt-dev libgtest-dev libicu-dev
  libssl-dev libcurl4-openssl-dev zlib1g-dev libcairo2-dev bubblewrap nodejs xz-utils)

missing=()
for package in "${packages[@]}"; do
  # A tool that is there already, from wherever, is good enough.
  case $package in
    nodejs) command -v node >/dev/null && continue ;;
    python3) command -v python3 >/dev/null && continue ;;
    ninja-build) command -v ninja >/dev/null && continue ;;
  esac
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
  echo "setup: installing ${missing[*]}" >&2
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# A libtorch of one's own: export TEENY_TORCH_DIR=<directory with include/ and lib/>.
if [ -z "${TEENY_TORCH_DIR:-}" ] && ! .deps/venv/bin/python -c "import importlib.metadata as m, sys; sys.exit(not m.version('torch').startswith('$torch_version'))" 2>/dev/null; then
  echo "setup: installing torch $torch_version into .deps/venv (some minutes)" >&2
  mkdir -p .deps
  python3 -m venv .deps/venv
  .deps/venv/bin/pip install --quiet --disable-pip-version-check "torch==$torch_version" "numpy==2.4.6"
fi

# Compilers and interpreters of HumanEval-Mul's languages, only when asked for; a test whose tools are missing is skipped.
if [ "${1:-}" = --tests ]; then
  languages=(default-jdk-headless libjavatuples-java mono-mcs mono-runtime node-typescript php-cli python3-numpy)
  missing=()
  for package in "${languages[@]}"; do
    [ "$package" = default-jdk-headless ] && command -v javac >/dev/null && continue
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if ((${#missing[@]})); then
    echo "setup: installing ${missing[*]}" >&2
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || echo "setup: not all of them could be installed; their tests are skipped" >&2
  fi
fi

# Peers that tests compare with (tests/interop), only when asked for: scripts/setup.sh --tests
if [ "${1:-}" = --tests ]; then
  stamp=.deps/interop/$(sha256sum tests/interop/requirements.txt | cut -c1-16)
  if [ ! -e "$stamp" ]; then
    echo "setup: installing the peers of tests/interop into .deps/interop" >&2
    rm -rf .deps/interop
    python3 -m venv .deps/interop
    .deps/interop/bin/pip install --quiet --disable-pip-version-check -r tests/interop/requirements.txt
    touch "$stamp"
  fi
fi
