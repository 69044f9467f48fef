"""Ids of a GGUF vocabulary by llama.cpp (xllamacpp's server), for check_tokenizers.py."""
import json, re, subprocess, sys

# Runs in a process of its own: llama.cpp logs to stderr and frees everything at the end. stdin: a JSON list of texts.
SERVER = """
import json, sys, urllib.request, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.warmup = sys.argv[1], 64, 1, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server, out = xllamacpp.Server(params), []
for text in json.load(sys.stdin):
    body = json.dumps({"content": text, "add_special": False, "parse_special": True}).encode()
    request = urllib.request.Request(server.listening_address + "/tokenize", body, {"Content-Type": "application/json"})
    out.append(json.load(urllib.request.urlopen(request))["tokens"])
print(json.dumps(out))
"""


def ids_of(gguf, texts):
    done = subprocess.run([sys.executable, "-c", SERVER, str(gguf)], input=json.dumps(texts), capture_output=True, text=True)
    if done.returncode:
        return None, done.stderr.strip()[-300:]
    return json.loads(done.stdout.strip().splitlines()[-1]), ""


def cause(text, data):
    """The known deviation of llama.cpp that this text can meet, or None."""
    flags = any(t[f] for t in data["added_tokens"] for f in ("single_word", "lstrip", "rstrip", "normalized"))
    pre, normalizer = json.dumps(data["pre_tokenizer"]), json.dumps(data["normalizer"])
    if flags:
        return "flags of added tokens"
    if '"Metaspace"' in pre and '"never"' not in pre:
        return "Metaspace"
    if '"add_prefix_space": true' in pre:
        return "prefix space"
    if '"NFC"' in normalizer and any(ord(c) > 0x2ff for c in text):
        return "no NFC"
    if "\\\\p{Lu}" in pre and re.search("[^\x00-\x7f]", text):
        return "letter case and marks beyond ASCII"
    if any(ord(c) > 0x7f for c in text):
        return "character classes of another Unicode version"
    return None


def compare(program, gguf, data, texts, scratch):
    """gguf: a file with a vocabulary; it is written again with a small model around it, which llama.cpp wants."""
    model = scratch / "llama.gguf"
    subprocess.run([program, gguf, "--write", model], check=True)
    if not any(t in data["model"]["vocab"] for t in ("<0x00>", "\u0100")):
        return "llama.cpp: not compared, it needs a token for every byte"
    texts = [t for t in texts if "\0" not in t][:3000]
    theirs, problem = ids_of(model, texts)
    if theirs is None:
        return f"llama.cpp: does not load it: {problem}"
    done = subprocess.run([program, model, "--jsonl"], input="\n".join(json.dumps(t) for t in texts) + "\n", capture_output=True, text=True, check=True)
    mine = [json.loads(line)["ids"] for line in done.stdout.split("\n")[:-1]]
    causes, unknown = {}, []
    for text, a, b in zip(texts, mine, theirs):
        if a != b:
            why = cause(text, data)
            causes[why or "unexplained"] = causes.get(why or "unexplained", 0) + 1
            if why is None:
                unknown.append((text[:80], a[:20], b[:20]))
    said = f"llama.cpp: {len(texts)} strings, {sum(causes.values())} differ"
    if causes:
        said += " (" + ", ".join(f"{why}: {n}" for why, n in sorted(causes.items())) + ")"
    return "\n    ".join([said, *(f"{t!r} teeny {a} llama.cpp {b}" for t, a, b in unknown[:3])])
