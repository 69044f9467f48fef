#!/usr/bin/env python3
"""Compare teeny's tokenizer with the `tokenizers` package: ids of files and of random text, and speed on one thread.

usage: tokenizer_compare.py TOKENIZE TOKENIZER.json [TEXT...] [--random N] [--seed S]     (needs: pip install tokenizers)
TOKENIZE is the program of tests/support/tokenize_main.cpp. Exit code 1 when any id differs.
"""
import argparse, json, os, random, subprocess, sys, tempfile, time
os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers

SNIPPETS = ["'s", "'S", "'\u017f", "'t", "'RE", "'ve", "'Ll", "'d", "'", "''", " ", "  ", "    ", "\t", "\n", "\r", "\r\n", "\n\n",
            "\u00a0", "\u3000", "\u2028", "\u0085", "\u180e", "\ufeff", "\u200d", "a", "Hello", " world", "don", "\u00e9", "e\u0301",
            "\u0301", "\u0323\u0307", "\u0307\u0323", "\u1100\u1161\u11a8", "\uac00\u11a8", "\u212b", "\u2126", "\uf900", "\u0f73", "\u4f60\u597d", "\u3002",
            "\U0001f999", "\U0001f636\u200d\U0001f32b\ufe0f", "\u0967", "\u00bd", "\u2167", "1", "12", "123", "1234567", "!", "!!!", " (", "->", "<", "|>", "\x01",
            "\U00011935\U00011930", "\u1df6", "\u0334", "\u0345", "\U0001e94a", "\u0344", "\u0958", "x" * 60, "ab" * 40, "\u0430\u0431\u0432", "\u05d0\u05b8"]


def random_text(rng, specials):
    kind, parts = rng.random(), []
    for _ in range(rng.randint(0, 40)):
        pick = rng.random()
        if pick < 0.05 and specials:
            parts.append(rng.choice(specials))
        elif pick < (0.9 if kind < 0.7 else 0.3):
            parts.append(rng.choice(SNIPPETS))
        else:
            code = rng.choice([rng.randrange(1, 0x80), rng.randrange(0x80, 0x3000), rng.randrange(0x3000, 0xd800), rng.randrange(0xe000, 0x20000),
                               rng.randrange(0x300, 0x370), rng.randrange(0x10000, 0x110000)])
            parts.append(chr(code))
    return "".join(parts)


def split_then_bytes(digits):
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}


def variants(path):
    """The tokenizer with each other pre-tokenizer, without NFC, with ignore_merges, and with awkward added tokens."""
    def variant(name, **changes):
        tokenizer = json.load(open(path))
        vocab = tokenizer["model"]["vocab"]
        free = max([*vocab.values(), *(t["id"] for t in tokenizer["added_tokens"])]) + 1
        for content, flags in changes.pop("added", []):
            number = vocab.get(content, free)
            free += number == free
            tokenizer["added_tokens"].append({"id": number, "content": content, **{f: f in flags for f in ("special", "single_word", "lstrip", "rstrip", "normalized")}})
        tokenizer["model"]["ignore_merges"] = changes.pop("ignore_merges", False)
        tokenizer.update(changes)
        return name, tokenizer
    awkward = [("world", ["single_word"]), ("Hel", []), ("Hello", ["single_word", "lstrip"]), ("\u4f60", ["lstrip", "rstrip", "special"]), (" (", ["rstrip"]),
               ("\u00e9", ["normalized"]), ("e\u0301x", ["normalized"]), ("12", ["normalized", "lstrip"]), ("123", ["normalized", "rstrip", "single_word"]),
               ("\n", []), ("<|", ["normalized"]), ("'s", ["single_word", "normalized"]), ("\u212b", ["rstrip"]), ("xx", ["single_word"])]
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    yield variant("Llama 3", pre_tokenizer=split_then_bytes(r"\p{N}{1,3}"), normalizer=None, ignore_merges=True)
    yield variant("GPT-2", pre_tokenizer={**byte_level, "add_prefix_space": False}, normalizer=None)
    yield variant("GPT-2 with prefix space", pre_tokenizer={**byte_level, "add_prefix_space": True})
    yield variant("awkward added tokens", added=awkward)
    yield variant("awkward added tokens, Llama 3, no NFC", added=awkward, normalizer=None, pre_tokenizer=split_then_bytes(r"\p{N}{1,3}"))


def ours(program, tokenizer, data, repeat):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        run = subprocess.run([program, tokenizer, file.name, str(repeat)], capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    seconds = [float(line.split()[2]) for line in run.stderr.splitlines() if line.startswith("pass")]
    lines = run.stdout.split("\n")[:-1]
    return [[int(i) for i in line.split()] for line in lines], seconds


def compare(name, texts, mine, theirs):
    wrong = [i for i in range(len(texts)) if mine[i] != theirs[i]]
    for i in wrong[:5]:
        print(f"  {name} differs: {texts[i][:200]!r}\n    teeny      {mine[i][:40]}\n    tokenizers {theirs[i][:40]}")
    return len(wrong)


def compare_random(name, args, tokenizer):
    peer, rng = tokenizers.Tokenizer.from_file(tokenizer), random.Random(args.seed)
    specials = [t.content for t in peer.get_added_tokens_decoder().values()]
    texts = [t for t in (random_text(rng, specials) for _ in range(args.random)) if "\0" not in t]
    mine, _ = ours(args.tokenize, tokenizer, "\0".join(texts).encode(), 1)
    theirs = [e.ids for e in peer.encode_batch(texts, add_special_tokens=False)]
    bad = compare(name, texts, mine, theirs)
    print(f"{name}: {len(texts)} random texts, {bad} differ")
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tokenize"), parser.add_argument("tokenizer"), parser.add_argument("texts", nargs="*")
    parser.add_argument("--random", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    peer, wrong = tokenizers.Tokenizer.from_file(args.tokenizer), 0
    print(f"{args.tokenizer} against tokenizers {tokenizers.__version__}")
    for path in args.texts:
        data = open(path, "rb").read()
        text = data.decode()
        mine, seconds = ours(args.tokenize, args.tokenizer, data, args.repeat)
        peer_seconds, cold = [], None
        for _ in range(args.repeat):
            start = time.perf_counter()
            ids = peer.encode(text, add_special_tokens=False).ids
            peer_seconds.append(time.perf_counter() - start)
        bad = compare(path, [text], mine, [ids])
        wrong += bad
        mb = len(data) / 1e6
        print(f"{path}: {len(ids)} ids {'DIFFER' if bad else 'identical'}; teeny {mb / seconds[0]:.1f} MB/s cold, {mb / min(seconds):.1f} best; "
              f"tokenizers {mb / peer_seconds[0]:.1f} MB/s cold, {mb / min(peer_seconds):.1f} best; ratio {peer_seconds[0] / seconds[0]:.1f} cold, {min(peer_seconds) / min(seconds):.1f} best")
    wrong += compare_random("as it is", args, args.tokenizer)
    for name, tokenizer in variants(args.tokenizer):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(tokenizer, file)
            file.flush()
            wrong += compare_random(name, args, file.name)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
