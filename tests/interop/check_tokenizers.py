#!/usr/bin/env python3
"""Ids and texts of every kind of tokenizer against the `tokenizers` package, and those of GGUF vocabularies against llama.cpp.

usage: check_tokenizers.py TOKENIZE [--strings N] [--seed S] [--only REGEX] [--speed] [--llama] [--data FOLDER]
TOKENIZE is the program of tests/support/tokenize_main.cpp; N strings in all. FOLDER: qwen2.5, gpt-2 and llama-spm, when there.
One line a kind; exit code 1 when anything differs.
"""
import argparse, json, lzma, os, pathlib, random, re, subprocess, sys, tempfile, time
os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from tokenizer_compare import random_text

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "configs/models/teeny-demo-7m"
MARK = "\u2581"
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}", r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CASED = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+", r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
         r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERNS = {
    "llama-3": [QWEN[0] + "{1,3}" + QWEN[1]],
    "qwen2": [QWEN[0] + QWEN[1]],
    "tekken": [CASED[0] + CASED[1] + r"|\p{N}" + CASED[2]],
    "gpt-4o": [CASED[0] + SUFFIX + CASED[1] + SUFFIX + r"|\p{N}{1,3}" + CASED[2]],
    "qwen3.5": [QWEN[0].replace(r"?\p{L}+", r"?[\p{L}\p{M}]+") + r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "deepseek-v3": [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
                    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""],
}
ODD = [("world", ["single_word"]), ("Hel", []), ("Hello", ["single_word", "lstrip"]), ("\u4f60", ["lstrip", "rstrip", "special"]), (" (", ["rstrip"]), ("\u00e9", ["normalized"]),
       ("e\u0301x", ["normalized"]), ("12", ["normalized", "lstrip"]), ("123", ["normalized", "rstrip", "single_word"]), ("\n", []), ("<|", ["normalized"]), ("xx", ["single_word"]),
       ("a b", ["normalized"]), ("<tool>", ["lstrip", "rstrip", "normalized"])]


# --- the tokenizers ----------------------------------------------------------------------------------------------------

def corpus():
    texts = [(DEMO / "calibration.txt").read_text(), (DEMO / "eval.txt").read_text()] + [p.read_text() for p in sorted((ROOT / "docs").glob("*.md"))]
    return [line for text in texts for line in text.splitlines(keepends=True)] + ["\u4f60\u597d\u4e16\u754c \u3053\u3093\u306b\u3061\u306f caf\u00e9 na\u00efve \u0416\u0443\u043a \u05e9\u05dc\u05d5\u05dd 1234567 \u0967\n"] * 30


def byte_level(prefix=False, regex=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def template(before, after, ids):
    special = [{"SpecialToken": {"id": t, "type_id": 0}} for t in before], [{"SpecialToken": {"id": t, "type_id": 0}} for t in after]
    return {"type": "TemplateProcessing", "single": [*special[0], {"Sequence": {"id": "A", "type_id": 0}}, *special[1]], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in [*before, *after]}}


def add_tokens(data, added):
    free = max([*data["model"]["vocab"].values(), *(t["id"] for t in data["added_tokens"])]) + 1
    for content, flags in added:
        number = data["model"]["vocab"].get(content, free)
        free += number == free
        data["added_tokens"].append({"id": number, "content": content, **{f: f in flags for f in ("special", "single_word", "lstrip", "rstrip", "normalized")}})
    return data


def trained_bytes(pre, lines, size=3000):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<|bos|>", "<|eos|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    data = json.loads(tokenizer.to_str())
    data["decoder"] = byte_level(False, True)
    return data


def byte_kinds(lines):
    for name, patterns in PATTERNS.items():
        parts = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns] + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        data = trained_bytes(pre_tokenizers.Sequence(parts), lines)
        ids = {"<|bos|>": 0, "<|eos|>": 1}
        if name in ("llama-3", "tekken"):
            data["model"]["ignore_merges"] = True
            # A token that merges do not give: only ignore_merges finds it.
            data["model"]["vocab"]["\u0120zyxwv"] = max(data["model"]["vocab"].values()) + 1
            data["post_processor"] = {"type": "Sequence", "processors": [byte_level(), template(["<|bos|>"], [], ids)]}
        if name == "qwen2":
            data["normalizer"] = {"type": "NFC"}
            data["post_processor"] = template(["<|bos|>"], ["<|eos|>"], ids)
        yield name, data
        if name in ("qwen2", "tekken"):
            yield name + ", odd added tokens", add_tokens(json.loads(json.dumps(data)), ODD)
    data = trained_bytes(pre_tokenizers.ByteLevel(add_prefix_space=True), lines)
    yield "byte-level, prefix space", data
    yield "byte-level, prefix space, odd added tokens", add_tokens(json.loads(json.dumps(data)), ODD)
    yield "smollm", trained_bytes(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), lines)


def trained_characters(lines, size=3000):
    """A vocabulary as SentencePiece makes it: <unk>, <s>, </s>, 256 bytes, pieces; and all pairs that give a piece as merges."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=size, special_tokens=["<unk>"], show_progress=False))
    data = json.loads(tokenizer.to_str())
    pieces = [t for t, _ in sorted(data["model"]["vocab"].items(), key=lambda item: item[1])][1:]
    vocab = {t: i for i, t in enumerate(["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *pieces])}
    rank = {"".join(m): i for i, m in enumerate(data["model"]["merges"])}
    pairs = [(rank[t], -i, i - len(t), [t[:i], t[i:]]) for t in rank for i in range(1, len(t)) if t[:i] in vocab and t[i:] in vocab]
    data["model"].update(vocab=vocab, merges=[p[3] for p in sorted(pairs, key=lambda p: p[:3])], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    data["added_tokens"] = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for i, t in enumerate(["<unk>", "<s>", "</s>"])]
    return data


def character_kinds(lines):
    base, ids = trained_characters(lines), {"<s>": 1, "</s>": 2}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
    legacy = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": MARK}, replace]}
    decoders = [{"type": "Replace", "pattern": {"String": MARK}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]

    def kind(model=None, added=(), drop_bytes=False, **parts):
        data = json.loads(json.dumps(base))
        data["model"].update(model or {})
        if drop_bytes:
            data["model"]["vocab"] = {t: i for t, i in data["model"]["vocab"].items() if not re.fullmatch("<0x[0-9A-F]{2}>", t)}
        data.update({"normalizer": None, "pre_tokenizer": None, "decoder": {"type": "Sequence", "decoders": decoders}, "post_processor": template(["<s>"], [], ids), **parts})
        return add_tokens(data, added)

    def metaspace(scheme, split):
        return {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": split}

    yield "spm legacy", kind(normalizer=legacy)
    yield "spm legacy, odd added tokens", kind(normalizer=legacy, added=ODD)
    yield "spm legacy, NFC, BOS and EOS", kind(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, *legacy["normalizers"]]}, post_processor=template(["<s>"], ["</s>"], ids))
    yield "spm without prefix", kind(normalizer=replace, decoder={"type": "Sequence", "decoders": decoders[:3]},
                                     pre_tokenizer={"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False})
    yield "spm, unknown fused", kind(normalizer=legacy, model={"byte_fallback": False}, drop_bytes=True)
    yield "spm, unknown single", kind(normalizer=legacy, model={"byte_fallback": False, "fuse_unk": False}, drop_bytes=True)
    yield "metaspace first", kind(pre_tokenizer=metaspace("first", False))
    yield "metaspace first, odd added tokens", kind(pre_tokenizer=metaspace("first", False), added=ODD)
    yield "metaspace always, split", kind(pre_tokenizer=metaspace("always", True), decoder=metaspace("always", True))
    yield "metaspace never", kind(pre_tokenizer=metaspace("never", True), decoder=metaspace("never", True))
    # A piece with U+2581 inside keeps the text from being cut into words: the heap does all of it.
    across = kind(normalizer=legacy)
    vocab, first = across["model"]["vocab"], next(iter(p for p in base["model"]["merges"] if not p[0].startswith(MARK)))[0]
    vocab[first + MARK] = max(vocab.values()) + 1
    across["model"]["merges"].insert(0, [first, MARK])
    yield "spm, piece across words", across


def real_kinds(program, folder, scratch):
    yield "teeny-demo", json.loads((DEMO / "tokenizer.json").read_text()), None
    qwen = folder / "qwen2.5/tokenizer.json.xz"
    if qwen.exists():
        yield "Qwen2.5", json.loads(lzma.open(qwen).read()), None
    for name in ("gpt-2", "llama-spm"):
        gguf = folder / name / "vocab.gguf"
        if gguf.exists():
            out = scratch / f"{name}.json"
            subprocess.run([program, gguf, "--write", out], check=True)
            yield f"{name} written from GGUF", json.loads(out.read_text()), gguf


# --- the texts ---------------------------------------------------------------------------------------------------------

def awkward_text(rng, specials, lines):
    pick = rng.random()
    if pick < 0.35:
        start = rng.randrange(len(lines))
        text = "".join(lines[start:start + rng.randint(1, 6)])
        return text[rng.randrange(1 + len(text) // 2):]
    if pick < 0.45:
        return "".join(rng.choice([" ", "\n", "\t", "\r\n", "a", MARK, "=", "\u00a0"]) * rng.randint(1, 70) for _ in range(rng.randint(1, 5)))
    if pick < 0.6:
        ranges = [(0, 0x20), (0x7f, 0xa0), (0x300, 0x370), (0x590, 0x700), (0x900, 0xa00), (0x1100, 0x1200), (0x2000, 0x2070), (0x2580, 0x2590), (0x3040, 0x3100), (0x4e00, 0x9fff), (0xac00, 0xd7a4),
                  (0xfe00, 0xfe10), (0xfff0, 0x10000), (0x1d400, 0x1d800), (0x1f1e6, 0x1f200), (0x1f300, 0x1f700), (0xe0000, 0xe0100), (0x10fff0, 0x110000), (0x10000, 0x110000)]
        first, last = rng.choice(ranges)
        joiner = rng.choice(["", "", "\u200d", " ", "\ufe0f", MARK])
        return joiner.join(chr(rng.randrange(first, last)) for _ in range(rng.randint(1, 30)))
    text = random_text(rng, specials)
    if rng.random() < 0.2:
        text = text.replace(" ", rng.choice(["\0", MARK, "  ", " <s>", "<0x41>"]))
    return text


def texts_of(rng, count, specials, lines):
    return ["", " ", "  a", MARK, "\0", "a"] + [awkward_text(rng, specials, lines) for _ in range(count - 6)]


# --- the comparison ----------------------------------------------------------------------------------------------------

def answers(program, vocabulary, texts):
    done = subprocess.run([program, vocabulary, "--jsonl"], input="\n".join(json.dumps(t) for t in texts) + "\n", capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{vocabulary}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def differences(name, texts, mine, theirs):
    bad = 0
    for text, a, b in zip(texts, mine, theirs):
        wrong = [key for key in b if a[key] != b[key]]
        bad += bool(wrong)
        if wrong and bad <= 3:
            print(f"  {name} differs in {wrong}: {text[:120]!r}\n    teeny {[str(a[k])[:200] for k in wrong]}\n    peer  {[str(b[k])[:200] for k in wrong]}")
    return bad


def peer_answers(peer, texts):
    out = []
    for text in texts:
        special = peer.encode(text, add_special_tokens=True).ids
        out.append({"ids": peer.encode(text, add_special_tokens=False).ids, "special": special, "text": peer.decode(special, skip_special_tokens=False), "plain": peer.decode(special), "stream": True})
    return out


def speed(program, path, peer, text_file):
    data = text_file.read_bytes()
    done = subprocess.run([program, path, text_file, "3"], capture_output=True, text=True, check=True)
    mine = min(float(line.split()[2]) for line in done.stderr.splitlines() if line.startswith("pass"))
    text, best = data.decode(), 1e9
    for _ in range(2):
        start = time.perf_counter()
        ids = peer.encode(text, add_special_tokens=False).ids
        best = min(best, time.perf_counter() - start)
    same = [int(i) for i in done.stdout.split()] == ids
    return f"; {text_file.name} of {len(data) / 1e6:.1f} MB: {'identical' if same else 'DIFFERENT'} ids, teeny {len(data) / 1e6 / mine:.1f} MB/s, tokenizers {len(data) / 1e6 / best:.2f} MB/s", same


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tokenize")
    parser.add_argument("--strings", type=int, default=110000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--speed", type=pathlib.Path, help="a text file to measure with")
    parser.add_argument("--llama", action="store_true", help="compare GGUF vocabularies with llama.cpp (xllamacpp) too")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared/data/tokenizers")
    args = parser.parse_args()
    lines, rng = corpus(), random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        kinds = [*real_kinds(args.tokenize, args.data, scratch), *((n, d, None) for n, d in byte_kinds(lines)), *((n, d, None) for n, d in character_kinds(lines))]
        kinds = [k for k in kinds if re.search(args.only, k[0])]
        wrong = total = 0
        for number, (name, data, gguf) in enumerate(kinds):
            path = scratch / f"{number}.json"
            path.write_text(json.dumps(data))
            peer = Tokenizer.from_file(str(path))
            specials = [t.content for t in peer.get_added_tokens_decoder().values()]
            texts = texts_of(rng, args.strings // len(kinds) + 1, specials, lines)
            theirs = peer_answers(peer, texts)
            bad = differences(name, texts, answers(args.tokenize, path, texts), theirs)
            # Through GGUF and back: the same tokenizer, and a tokenizer.json that the package reads as the same.
            through, back = gguf or scratch / f"{number}.gguf", scratch / f"{number}-back.json"
            if not gguf:
                subprocess.run([args.tokenize, path, "--write", through], check=True)
            bad_gguf = differences(name + " through GGUF", texts, answers(args.tokenize, through, texts), theirs)
            subprocess.run([args.tokenize, through, "--write", back], check=True)
            bad_back = differences(name + " written back", texts[::10], peer_answers(Tokenizer.from_file(str(back)), texts[::10]), theirs[::10])
            line = f"{name}: {len(texts)} strings, {bad} differ; through GGUF {bad_gguf}; tokenizer.json written back {bad_back}"
            wrong += bad + bad_gguf + bad_back
            if args.speed:
                said, same = speed(args.tokenize, path, peer, args.speed)
                line += said
                wrong += not same
            print(line, flush=True)
            if args.llama:
                import llama_tokens
                print("  " + llama_tokens.compare(args.tokenize, through, data, texts, scratch), flush=True)
            total += len(texts)
    print(f"{total} strings over {len(kinds)} tokenizers against tokenizers {tokenizers.__version__}: {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
