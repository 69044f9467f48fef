"""What models say: the shipped model against its recorded completions, GGUF against llama.cpp, ids against `tokenizers`."""
import json, os, pathlib, subprocess, sys
from checks import DATA, MODEL, Skipped, need

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


def llama_texts(model, prompts, tokens):
    done = subprocess.run([sys.executable, "-c", LLAMA, str(model), str(tokens)], input=json.dumps(prompts), capture_output=True, text=True)
    need(done.returncode == 0, f"llama.cpp does not load or run it: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def stop_cut(own, peer, suite, path, prompt):
    """Whether peer only says more than own, whose completion ends at a stop string, and teeny generate says that too."""
    if not own or not peer.startswith(own.rstrip("\n")) or len(own) >= len(peer):
        return False
    return peer == suite.run("generate", "--model", path, "--temperature", "0", "--max-new-tokens", "96", "--device", "cpu", "--prompt", "-", stdin=prompt)


def margin_at(answer, at):
    """How far apart in log-probability llama.cpp's two best tokens are at a character of its text."""
    place = 0
    for token, margin in answer["margin"]:
        place += len(token)
        if place > at:
            return margin
    return float("nan")


def check_llama(suite, kind):
    problems = lines(MODEL / "humaneval-teeny-python.jsonl")[:PROMPTS]
    prompts = [p["prompt"] for p in problems]
    path, plain = suite.quantize(f"llama-{kind}.gguf", "--method", "gguf", "--type", kind), suite.folder / "llama-plain.gguf"
    mine, _ = completions(suite, path, "--limit", PROMPTS)
    theirs = llama_texts(path, prompts, 96)
    different = [i for i, (p, a) in enumerate(zip(problems, theirs))
                 if mine[p["task_id"]] != a["text"] and not stop_cut(mine[p["task_id"]], a["text"], suite, path, p["prompt"])]
    figure = f"{PROMPTS - len(different)} of {PROMPTS} greedy texts equal"
    if different:
        # llama.cpp rounds activations to int8 for quantized types, which teeny does not. The same weights stored as F32 take that away.
        suite.run("convert", "--model", path, "--format", "gguf", "--type", "F32", "--out", plain, "--force")
        again = llama_texts(plain, [prompts[i] for i in different], 96)
        for i, answer in zip(different, again):
            own, peer = mine[problems[i]["task_id"]], theirs[i]["text"]
            at = len(os.path.commonprefix([own, peer]))
            said = (f"{problems[i]['task_id']} differs at character {at}, where llama.cpp's two best tokens are {margin_at(theirs[i], at):.3f} apart in log-probability: "
                    f"teeny {own[at:at + 30]!r}, llama.cpp {peer[at:at + 30]!r}")
            need(answer["text"] == own, f"{figure}; {said}; and with the same weights as F32 {answer['text'][at:at + 30]!r}")
            figure += f"; {said}, and with the same weights as F32 what teeny says"
    suite.remove(path)
    suite.remove(plain)
    return figure


def check_tokenizer(suite, program, quick):
    if not program.exists():
        raise Skipped(f"{program} is not built (target tokenize)")
    done = subprocess.run([sys.executable, str(pathlib.Path(__file__).with_name("tokenizer_compare.py")), str(program), str(MODEL / "tokenizer.json"), str(MODEL / "eval.txt"),
                           str(MODEL / "calibration.txt"), "--random", "200" if quick else "5000", "--repeat", "1"], capture_output=True, text=True)
    said = [line.replace(str(MODEL) + "/", "").split(";")[0] for line in done.stdout.splitlines()]
    need(done.returncode == 0, " | ".join(said)[-800:] + done.stderr[-300:])
    return "; ".join(said[1:])


def check_kinds(program, quick):
    if not program.exists():
        raise Skipped(f"{program} is not built (target tokenize)")
    done = subprocess.run([sys.executable, str(pathlib.Path(__file__).with_name("check_tokenizers.py")), str(program), "--strings", "10000" if quick else "110000"], capture_output=True, text=True)
    need(done.returncode == 0, done.stdout[-1500:] + done.stderr[-300:])
    return done.stdout.splitlines()[-1]


def add(suite, quick, tokenize):
    suite.check("tokenizers kinds", lambda: check_kinds(tokenize, quick))
    suite.check("tokenizers ids", lambda: check_tokenizer(suite, tokenize, quick))
    for kind in ("F16", "Q8_0", "Q4_K_M") if quick else ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "IQ4_XS", "Q3_K_M"):
        suite.check(f"llama.cpp {kind}", lambda: check_llama(suite, kind))
    suite.check("reference completions", lambda: check_reference(suite))
