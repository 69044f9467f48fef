"""What models say: the shipped model against its recorded completions, GGUF against llama.cpp, ids against `tokenizers`."""
import json, os, pathlib, subprocess, sys
from checks import DATA, MODEL, Failed, Skipped, need

PROMPTS = 20
PASS_AT_1 = {"demo-code-python": 0.9634146341463414, "demo-code-javascript": 0.93}  # tests/data/reference.json

# Runs in a process of its own: llama.cpp logs to stderr, and frees everything at the end. Prints a JSON list of texts.
LLAMA = """
import json, sys, xllamacpp
model, tokens, prompts = sys.argv[1], int(sys.argv[2]), json.load(sys.stdin)
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.warmup = model, 2048, 1, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.check_tensors = True
if len(sys.argv) > 3:
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
server, out = xllamacpp.Server(params), []
for prompt in prompts:
    answer = server.handle_completions({"prompt": prompt, "n_predict": tokens, "max_tokens": tokens, "temperature": 0, "cache_prompt": False, "logprobs": 2})
    choice = answer["choices"][0]
    content = (choice.get("logprobs") or {}).get("content", [])
    margin = [[t["token"], t["logprob"] - min(a["logprob"] for a in t["top_logprobs"])] for t in content]
    out.append({"text": choice["text"], "margin": margin})
print(json.dumps(out))
"""


def lines(path):
    return [json.loads(line) for line in open(path, encoding="utf-8") if line.strip()]


def completions(suite, model, *arguments):
    saved, record = suite.folder / "completions.jsonl", suite.folder / "record.json"
    suite.run("eval", "--model", model, "--device", "cpu", "--tasks", "demo-code", "--save-completions", saved, "--json", record, *arguments)
    return {row["task_id"]: row["completion"] for row in lines(saved)}, json.loads(record.read_text())["eval"]["tasks"]


def check_reference(suite):
    expected = {row["task_id"]: row["completion"] for row in lines(DATA / "reference_completions.jsonl")}
    mine, tasks = completions(suite, MODEL)
    equal = sum(mine.get(name) == text for name, text in expected.items())
    rates = {t["name"]: (t["value"], t["n"]) for t in tasks}
    figure = f"{equal} of {len(expected)} completions equal; " + ", ".join(f"{n} pass@1 {v:.4f}" for n, (v, _) in rates.items())
    need(equal >= .98 * len(expected), figure)
    for name, value in PASS_AT_1.items():
        need(abs(rates[name][0] - value) <= 1 / rates[name][1] + 1e-9, f"{figure}; expected {name} {value:.4f}")
    return figure


def llama_texts(model, prompts, tokens, *flags):
    done = subprocess.run([sys.executable, "-c", LLAMA, str(model), str(tokens), *flags], input=json.dumps(prompts), capture_output=True, text=True)
    need(done.returncode == 0, f"llama.cpp does not load or run it: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def check_llama(suite, kind):
    problems = lines(MODEL / "humaneval-teeny-python.jsonl")[:PROMPTS]
    path = suite.quantize(f"llama-{kind}.gguf", "--method", "gguf", "--type", kind)
    mine, _ = completions(suite, path, "--limit", PROMPTS)
    theirs = llama_texts(path, [p["prompt"] for p in problems], 96)
    different = []
    for problem, answer in zip(problems, theirs):
        own, peer = mine[problem["task_id"]], answer["text"]
        if own == peer:
            continue
        # Teeny ends at the first stop string, which is not part of the problem's text; what it says up to there must be the same.
        if own and peer.startswith(own.rstrip("\n")) and len(own) < len(peer):
            if suite.run("generate", "--model", path, "--temperature", "0", "--max-new-tokens", "96", "--device", "cpu", "--prompt", "-", stdin=problem["prompt"]) == peer:
                continue
        at = len(os.path.commonprefix([own, peer]))
        place, margins = 0, answer["margin"]
        for token, margin in margins:
            if place + len(token) > at:
                break
            place += len(token)
        else:
            token, margin = "<end>", float("nan")
        different.append(f"{problem['task_id']} at character {at}, where llama.cpp's two best tokens are {margin:.4f} apart in log-probability: "
                         f"teeny {own[max(0, at - 12):at + 30]!r}, llama.cpp {peer[max(0, at - 12):at + 30]!r}")
    suite.remove(path)
    figure = f"{PROMPTS - len(different)} of {PROMPTS} greedy texts equal"
    need(not different, figure + "; " + "; ".join(different))
    return figure


def check_tokenizer(suite, program, quick):
    if not program.exists():
        raise Skipped(f"{program} is not built (target tokenize)")
    done = subprocess.run([sys.executable, str(pathlib.Path(__file__).with_name("tokenizer_compare.py")), str(program), str(MODEL / "tokenizer.json"), str(MODEL / "eval.txt"),
                           str(MODEL / "calibration.txt"), "--random", "200" if quick else "5000", "--repeat", "1"], capture_output=True, text=True)
    said = [line.replace(str(MODEL) + "/", "").split(";")[0] for line in done.stdout.splitlines()]
    need(done.returncode == 0, " | ".join(said)[-800:] + done.stderr[-300:])
    return "; ".join(said[1:])


def add(suite, quick, tokenize):
    suite.check("tokenizers ids", lambda: check_tokenizer(suite, tokenize, quick))
    for kind in ("F16", "Q8_0", "Q4_K_M") if quick else ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "IQ4_XS", "Q3_K_M"):
        suite.check(f"llama.cpp {kind}", lambda: check_llama(suite, kind))
    suite.check("reference completions", lambda: check_reference(suite))
