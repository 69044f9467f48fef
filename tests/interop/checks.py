"""What the checks of tests/interop share: running teeny, counting verdicts, comparing tensors, names."""
import filecmp, json, pathlib, re, shutil, subprocess, tempfile, time
import numpy as np
from readers import read_tensors

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "configs/models/teeny-demo-7m"
DATA = ROOT / "tests/data"
CALIBRATION = ("--samples", "4", "--seq-len", "128")  # enough to run every solver; quality is measured elsewhere
GGUF_NAMES = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
              "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


class Failed(Exception):
    """A check's bar was missed; the text is its figure."""


class Skipped(Exception):
    pass


class Suite:
    def __init__(self, teeny, threads, only):
        self.teeny, self.threads, self.only = str(teeny), str(threads), re.compile(only)
        self.passed = self.failed = self.skipped = 0
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="teeny-interop-"))
        self.source = None

    def check(self, name, action):
        """Run action() -> figure; print one line."""
        if not self.only.search(name):
            return
        start = time.monotonic()
        try:
            figure, verdict = action(), "ok"
            self.passed += 1
        except Skipped as reason:
            figure, verdict = str(reason), "SKIPPED"
            self.skipped += 1
        except Exception as problem:  # a crash of a peer or a reader is a failed check, not the end of the run
            figure = str(problem) if isinstance(problem, Failed) else f"{type(problem).__name__}: {problem}"
            verdict = "FAILED"
            self.failed += 1
        print(f"{verdict:7} {name}: {figure} ({time.monotonic() - start:.1f} s)", flush=True)

    def run(self, *arguments, stdin=None, threads=None):
        command = [self.teeny, *map(str, arguments), "--quiet", "--threads", threads or self.threads]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"exit code {done.returncode} of: {' '.join(command)}\n{done.stderr.strip()[-600:]}")
        return done.stdout

    def quantize(self, name, *arguments, model=MODEL, threads=None):
        out = self.folder / name
        self.run("quantize", "--model", model, "--device", "cpu", "--out", out, "--force", *arguments, threads=threads)
        return out

    def decoded(self, path):
        """teeny's own decode of a model: f32 tensors by Hugging Face name."""
        out = self.folder / "decoded"
        self.run("convert", "--model", path, "--format", "safetensors", "--dtype", "f32", "--out", out, "--force")
        tensors, dtypes = read_tensors(out)
        shutil.rmtree(out)
        need(set(dtypes.values()) == {"F32"}, f"convert --dtype f32 left {set(dtypes.values())}")
        return tensors

    def original(self):
        if self.source is None:
            self.source = read_tensors(MODEL)[0]
        return self.source

    def remove(self, path):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def finish(self):
        shutil.rmtree(self.folder)
        print(f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else ""))
        return 1 if self.failed else 0


def need(condition, text):
    if not condition:
        raise Failed(text)


def hugging_face_name(name):
    fixed = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}
    if name in fixed:
        return fixed[name]
    _, block, part, kind = name.split(".")
    return f"model.layers.{block}.{GGUF_NAMES[part]}.{kind}"


def compare(mine, theirs):
    """mine: teeny's decode; theirs: the peer's. Every value must be the same float32."""
    need(set(mine) == set(theirs), f"names differ: only teeny {sorted(set(mine) - set(theirs))[:5]}, only the peer {sorted(set(theirs) - set(mine))[:5]}")
    values = 0
    for name, peer in theirs.items():
        peer, own = np.asarray(peer, np.float32), mine[name]
        need(own.shape == peer.shape, f"{name}: shape {own.shape}, peer {peer.shape}")
        bad = own != peer
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            raise Failed(f"{name}: {bad.sum()} of {bad.size} values differ, first at {at}: teeny {own[at]!r}, peer {peer[at]!r}; largest difference {np.abs(own - peer).max():.3g}")
        values += own.size
    return values


def relative_error(tensors, original):
    """Mean over the changed 2-D weights of |W - Q| / |W|."""
    errors = [float(np.linalg.norm(tensors[n] - w) / np.linalg.norm(w)) for n, w in original.items() if w.ndim == 2 and n in tensors and not np.array_equal(tensors[n], w)]
    return sum(errors) / max(1, len(errors))


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def check_folder(folder, extra=()):
    """A model directory holds what loaders need, the source's tokenizer unchanged, and nothing else."""
    copied = {"generation_config.json", "tokenizer.json", "tokenizer_config.json"}
    expected = copied | {"config.json", "model.safetensors", *extra}
    found = {p.name for p in folder.iterdir()}
    need(found == expected, f"files: missing {sorted(expected - found)}, unexpected {sorted(found - expected)}")
    for name in copied:
        need(filecmp.cmp(folder / name, MODEL / name, shallow=False), f"{name} is not the source's")
    keys = {k: v for k, v in json.loads((MODEL / "config.json").read_text()).items() if k not in ("dtype", "torch_dtype")}
    config = config_of(folder)
    changed = [k for k, v in keys.items() if config.get(k) != v]
    need(not changed, f"config.json: {changed} changed")
    return config
