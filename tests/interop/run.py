#!/usr/bin/env python3
"""Check teeny's files and texts against independent peers: gguf, safetensors, tokenizers, llama.cpp, and readers of our own.

usage: run.py --teeny build/bin/teeny [--quick] [--only REGEX] [--threads N] [--tokenize PROGRAM]
Needs: pip install of the first part of requirements.txt. One line a check; exit code 1 when one fails.
"""
import argparse, importlib.metadata, pathlib, platform, sys
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import check_formats, check_gguf, check_mixes, check_text
from checks import Suite

PEERS = ("gguf", "numpy", "safetensors", "tokenizers", "xllamacpp")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teeny", type=pathlib.Path, required=True)
    parser.add_argument("--quick", action="store_true", help="the types and settings most used")
    parser.add_argument("--only", default="", help="checks whose name matches")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokenize", type=pathlib.Path, help="program of tests/support/tokenize_main.cpp [default: <build>/tests/tokenize]")
    args = parser.parse_args()
    teeny = args.teeny.resolve()
    suite = Suite(teeny, args.threads, args.only)
    print(f"python {platform.python_version()}, " + ", ".join(f"{p} {importlib.metadata.version(p)}" for p in PEERS))
    check_mixes.add(suite, args.quick)
    check_gguf.add(suite, args.quick)
    check_formats.add(suite, args.quick)
    check_text.add(suite, args.quick, args.tokenize or teeny.parents[1] / "tests/tokenize")
    return suite.finish()


if __name__ == "__main__":
    sys.exit(main())
