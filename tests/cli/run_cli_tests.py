#!/usr/bin/env python3
"""Runs the built teeny and checks what users and scripts rely on: exit codes, stdout against stderr, JSON, refusals.

usage: TEENY=build/bin/teeny python3 tests/cli/run_cli_tests.py [-v] [TestClass.test]
Tests that need the engine (libteeny_engine.so) or a mounted tmpfs are skipped, visibly, where there is none.
"""
import hashlib
import json
import os
import pathlib
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEENY = os.path.abspath(os.environ.get("TEENY", ROOT / "build/bin/teeny"))
DEMO = ROOT / "configs/models/teeny-demo-7m"
ENGINE = any((pathlib.Path(TEENY).resolve().parent / place).exists() for place in ("libteeny_engine.so", "../lib/teeny/libteeny_engine.so"))
needs_engine = unittest.skipUnless(ENGINE, "built without the engine")
COMMANDS = ["quantize", "convert", "bench", "eval", "report", "generate", "inspect", "doctor", "completion"]
COMMON_FIELDS = ["schema", "command", "id", "started", "seconds", "status", "teeny", "machine", "args", "seed", "energy", "warnings"]


def teeny(*args, cwd=None, env=None, stdin=None, timeout=600, **kw):
    return subprocess.run([TEENY, *map(str, args)], cwd=cwd, env={**os.environ, **(env or {})}, input=stdin, capture_output=True, text=True, timeout=timeout,
                          **({} if stdin is not None else {"stdin": subprocess.DEVNULL}), **kw)


def on_terminal(args, env=None, cwd=None):
    """stdout and stderr on a pseudo terminal; returns (exit code, everything written)."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(cwd or "/")
        os.environ.update(env or {})
        os.execv(TEENY, [TEENY, *args])
    text = b""
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text.decode(errors="replace")


class InFolder(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="teeny-cli-"))

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def run_ok(self, *args, **kw):
        p = teeny(*args, cwd=self.folder, **kw)
        self.assertEqual(p.returncode, 0, p.stderr)
        return p

    def refused(self, code, message, *args, **kw):
        """Exit code, one sentence on stderr that names the problem, nothing on stdout, no file left."""
        before = sorted(map(str, self.folder.rglob("*")))
        p = teeny(*args, cwd=self.folder, **kw)
        self.assertEqual(p.returncode, code, f"{args}: {p.stderr}")
        self.assertRegex(p.stderr, r"\Ateeny: \[[^\]]+\] ")
        self.assertRegex(p.stderr, message)
        self.assertEqual(p.stderr.count("\n"), 1, p.stderr)
        self.assertEqual(p.stdout, "")
        self.assertEqual(sorted(map(str, self.folder.rglob("*"))), before, "files were left behind")
        return p

    def copy_model(self, name="model"):
        target = self.folder / name
        shutil.copytree(DEMO, target, ignore=shutil.ignore_patterns("make"))
        return target


class HelpAndVersion(InFolder):
    def test_help_is_fast_and_small(self):
        times = []
        for _ in range(5):
            start = time.monotonic()
            p = self.run_ok("--help")
            times.append(time.monotonic() - start)
        self.assertIn("teeny quantize --method awq --bits 4", p.stdout)
        self.assertEqual(p.stderr, "")
        self.assertLessEqual(min(times), 0.15)
        peak = subprocess.run([sys.executable, "-c", "import resource,subprocess,sys; subprocess.run([sys.argv[1], '--help'], stdout=subprocess.DEVNULL);"
                               "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)", TEENY], capture_output=True, text=True)
        self.assertLessEqual(int(peak.stdout) * 1024, 60e6)

    def test_every_command_opens_with_an_example(self):
        for command in COMMANDS:
            p = self.run_ok(command, "--help")
            self.assertTrue(p.stdout.startswith("Example:\n  teeny " + command), command)
            self.assertEqual(self.run_ok("help", command).stdout, p.stdout)

    def test_version(self):
        out = self.run_ok("--version").stdout
        for part in ("teeny ", "git ", "libtorch ", "CUDA "):
            self.assertIn(part, out)

    def test_completion_is_valid_shell(self):
        for shell in ("bash", "zsh", "fish"):
            script = self.run_ok("completion", shell).stdout
            self.assertIn("--calibration" if shell != "fish" else "-l calibration", script)
            if shutil.which(shell):
                checked = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
                self.assertEqual(checked.returncode, 0, checked.stderr)


class Usage(InFolder):
    def test_refusals(self):
        for message, args in [("no command", []), ("did you mean quantize", ["quantise"]), ("did you mean --method", ["quantize", "--metod", "awq"]), ("is required", ["quantize"]),
                              ("needs a value", ["quantize", "--method"]), ("not a whole number", ["quantize", "--method", "rtn", "--bits", "4.5"]),
                              ("did you mean rtx4090", ["bench", "--hw", "rtx4091"]), ("needs --reference", ["eval", "--tasks", "kld"])]:
            self.refused(2, message, *args)

    def test_unavailable_options_are_refused_not_ignored(self):
        for args in (["--tensor-parallel", "2"], ["--isa", "avx2"]):
            self.refused(3, "not available in this version", "quantize", "--method", "gptq", *args)

    def test_granularity_and_symmetry_that_a_format_has_not(self):
        for code, message, args in [(3, "GGUF's types have scales", ["--method", "gguf", "--granularity", "channel"]), (3, "the type decides", ["--method", "gguf", "--asym"]),
                                    (3, "one scale a row", ["--method", "int8", "--granularity", "group"]), (3, "no zero points", ["--method", "fp16", "--sym"]),
                                    (3, "one scale a row", ["--method", "int8", "--act-bits", "8", "--group", "64"]), (3, "readers agree on 4 and 8", ["--method", "rtn", "--bits", "3", "--format", "compressed-tensors"])]:
            self.refused(code, message, "quantize", *args)


class MixedPrecision(InFolder):
    small = ["--samples", "4", "--seq-len", "128", "--no-progress"]

    def test_refusals(self):
        for code, message, args in [(3, r"below what gguf can be here: 2\.659 to 16\.018 bits", ["--target-bpw", "1.5"]), (3, "above what gguf can be", ["--target-size", "9GB"]),
                                    (2, "leave --bits out", ["--target-bpw", "5", "--bits", "4"]), (2, "leave --type out", ["--target-size", "5MB", "--type", "Q4_K_M"]),
                                    (2, "give one of them", ["--target-size", "5MB", "--max-ppl-increase", "1"]), (2, "choose among BF16", ["--target-bpw", "5", "--candidates", "Q9_K"]),
                                    (2, "is what a target is solved over", ["--sensitivity", str(DEMO / "config.json")]), (3, "absent.json: no such file", ["--target-bpw", "5", "--sensitivity", "absent.json"]),
                                    (2, "not a size|bytes", ["--target-size", "9XB"])]:
            self.refused(code, message, "quantize", "--method", "gguf", *args, "--dry-run")
        self.refused(3, "the same bits there", "quantize", "--method", "int8", "--target-bpw", "8")
        self.refused(3, "the same bits there", "quantize", "--method", "awq", "--target-bpw", "5")

    def test_dry_run_without_sensitivities_says_what_they_cost(self):
        out = self.run_ok("quantize", "--method", "gguf", "--target-bpw", "5", "--dry-run", "--json", "r.json").stdout
        self.assertRegex(out, r"first to be measured +\d+ runs of 4 096 held-back tokens")
        self.assertRegex(out, r"within reach +2\.659 to 16\.018")
        mix = json.loads((self.folder / "r.json").read_text())["quantize"]["mix"]
        self.assertFalse(mix["solved"])
        self.assertNotIn("q4_k ", out)

    @needs_engine
    def test_sizes_are_kept_and_a_measurement_serves_again(self):
        first = self.run_ok("quantize", "--method", "gguf", "--target-size", "4.5MB", "--save-sensitivity", "s.json", "--out", "a.gguf", "--json", "a.json", *self.small)
        self.assertLessEqual((self.folder / "a.gguf").stat().st_size, 4_500_000)
        self.assertGreater((self.folder / "a.gguf").stat().st_size, 4_400_000)
        record = json.loads((self.folder / "a.json").read_text())["quantize"]
        self.assertGreater(record["mix"]["measured_kld"], 0)
        self.assertLess(record["mix"]["measured_kld"], 3 * record["mix"]["predicted_kld"])
        self.assertGreaterEqual(len({row["encoding"] for row in record["sensitivity"]}), 3)
        self.assertEqual(len(record["sensitivity"]), 57)
        self.assertIn("loss on held-back text", first.stdout)
        # The same choice from the file, with another number of threads: the same bytes.
        self.run_ok("quantize", "--method", "gguf", "--target-size", "4.5MB", "--sensitivity", "s.json", "--out", "b.gguf", "--threads", "1", *self.small)
        self.assertEqual((self.folder / "a.gguf").read_bytes(), (self.folder / "b.gguf").read_bytes())
        for bpw in (3, 4.5, 8):
            self.run_ok("quantize", "--method", "gguf", "--target-bpw", bpw, "--sensitivity", "s.json", "--dry-run", "--json", "d.json")
            model = json.loads((self.folder / "d.json").read_text())["model"]
            self.assertLessEqual(model["bits_per_weight"], bpw)
            self.assertGreater(model["bits_per_weight"], bpw - 0.05)
        text = (self.folder / "s.json").read_text()
        for damaged, message in [(text[:5000], "not valid JSON"), (text.replace("teeny.sensitivity/1", "x"), "has the schema"), (re.sub(r'"fingerprint": "\w+"', '"fingerprint": "0"', text), "another one"),
                                 (re.sub(r'"kld": [\d.e-]+', '"kld": -1', text, count=1), '"kld" must be')]:
            (self.folder / "bad.json").write_text(damaged)
            self.refused(3, message, "quantize", "--method", "gguf", "--target-bpw", "5", "--sensitivity", "bad.json", "--out", "c.gguf")
        self.refused(3, "was not measured", "quantize", "--method", "gptq", "--target-bpw", "6", "--sensitivity", "s.json", "--out", "c")

    @needs_engine
    def test_gptq_groups_of_4_and_8_bits(self):
        self.run_ok("quantize", "--method", "gptq", "--format", "compressed-tensors", "--target-bpw", "7", "--candidates", "4,8", "--sym", "--save-sensitivity", "s.json", "--out", "m", "--json", "m.json", *self.small)
        record = json.loads((self.folder / "m.json").read_text())
        self.assertLessEqual(record["model"]["bits_per_weight"], 7)
        groups = json.loads((self.folder / "m/config.json").read_text())["quantization_config"]["config_groups"]
        self.assertEqual({g["weights"]["num_bits"] for g in groups.values()}, {4, 8})
        self.assertFalse((self.folder / "m.resume").exists())
        self.run_ok("inspect", "--model", "m", "--verify")
        self.run_ok("quantize", "--method", "rtn", "--format", "gptq", "--target-bpw", "7", "--candidates", "4,8", "--sym", "--sensitivity", "s.json", "--out", "g", *self.small)
        config = json.loads((self.folder / "g/config.json").read_text())["quantization_config"]
        self.assertTrue(any(rule.get("bits") in (4, 8) for rule in config["dynamic"].values()))
        self.run_ok("eval", "--model", "g", "--reference", DEMO, "--tasks", "kld", "--limit", "4")


class BadInput(InFolder):
    def test_missing_file(self):
        for command in (["inspect"], ["quantize", "--method", "rtn"], ["bench"], ["eval"], ["generate", "--prompt", "x"], ["convert", "--format", "gguf", "--out", "o.gguf"]):
            self.refused(3, "absent: no such file or directory", *command, "--model", "absent")

    def test_hub_id(self):
        offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(self.folder / "hf")}
        for name in ("org/name", "org/name@v1:Q4_K_M"):  # downloads: tests/hub
            self.refused(3, "not in the cache .*HF_HUB_OFFLINE", "inspect", "--model", name, env=offline)

    def test_truncated_safetensors(self):
        model = self.copy_model()
        with open(model / "model.safetensors", "r+b") as f:
            f.truncate(1_000_000)
        for command in (["inspect"], ["quantize", "--method", "rtn"], ["convert", "--format", "gguf", "--out", "o.gguf"]):
            self.refused(3, "model.safetensors", *command, "--model", model)

    def test_header_longer_than_the_file(self):
        path = self.folder / "x.safetensors"
        path.write_bytes(struct.pack("<Q", 1 << 40) + b"{}")
        self.refused(3, "x.safetensors", "inspect", "--model", path)

    def test_empty_and_foreign_files(self):
        for name, content in (("empty.gguf", b""), ("text.gguf", b"hello, I am no model\n"), ("short.gguf", b"GGUF\x03\0\0\0")):
            path = self.folder / name
            path.write_bytes(content)
            self.refused(3, re.escape(name), "inspect", "--model", path)

    def test_unknown_family(self):
        model = self.copy_model()
        config = json.loads((model / "config.json").read_text())
        config.update(model_type="mamba", architectures=["MambaForCausalLM"])
        (model / "config.json").write_text(json.dumps(config))
        for command in (["inspect"], ["quantize", "--method", "rtn"]):
            self.refused(3, "(?i)mamba", *command, "--model", model)

    def test_broken_config(self):
        model = self.copy_model()
        for text in ("", "[]", "{", '{"a": 1, "a": 2}', "[" * 1000):
            (model / "config.json").write_text(text)
            self.refused(3, "config.json", "inspect", "--model", model)

    def test_group_that_does_not_divide(self):
        self.refused(3, "100", "quantize", "--method", "gptq", "--group", "100")

    def test_existing_output(self):
        out = self.folder / "out"
        out.mkdir()
        (out / "config.json").write_text("{}")
        self.refused(2, "--force", "quantize", "--method", "rtn", "--out", out)
        self.assertEqual((out / "config.json").read_text(), "{}")

    def test_output_is_the_input(self):
        model = self.copy_model()
        size = (model / "model.safetensors").stat().st_size
        for out in (model, f"{model}/", f"{model}/../model"):
            self.refused(2, "input", "quantize", "--method", "rtn", "--model", model, "--out", out, "--force")
        self.assertEqual((model / "model.safetensors").stat().st_size, size)

    def test_force_does_not_replace_what_is_no_model(self):
        (self.folder / "photos").mkdir()
        (self.folder / "photos/cat.jpg").write_text("x")
        self.refused(2, "does not look like a model", "quantize", "--method", "rtn", "--out", "photos", "--force")

    def test_unwritable_record(self):
        self.refused(2, "--json", "quantize", "--method", "rtn", "--json", ".")

    def test_report_on_nothing(self):
        (self.folder / "runs").mkdir()
        (self.folder / "bad.json").write_text("{}")
        self.refused(3, "runs", "report", "runs", "--out", "r")
        self.refused(3, "bad.json", "report", "bad.json", "--out", "r")


class Output(InFolder):
    def test_dry_run_writes_nothing_and_is_valid_json(self):
        p = self.run_ok("quantize", "--method", "gptq", "--bits", "4", "--dry-run", "--json", "-")
        record = json.loads(p.stdout)
        for field in COMMON_FIELDS + ["model", "quantize"]:
            self.assertIn(field, record)
        self.assertTrue(record["quantize"]["dry_run"])
        self.assertEqual(list(self.folder.iterdir()), [])
        human = self.run_ok("quantize", "--method", "gptq", "--bits", "4", "--dry-run")
        self.assertIn("model.layers.0.self_attn.q_proj", human.stdout)
        self.assertIn("bits per weight", human.stdout)

    def test_inspect_json_file_and_results(self):
        self.run_ok("inspect", "--json", "r.json", "--results", "runs")
        record = json.loads((self.folder / "r.json").read_text())
        self.assertEqual(record["command"], "inspect")
        self.assertEqual(record["model"]["family"], "qwen2")
        kept = list((self.folder / "runs").glob("*.json"))
        self.assertEqual(len(kept), 1)
        self.assertEqual(json.loads(kept[0].read_text())["id"], record["id"])

    def test_records_follow_the_schema(self):
        try:
            import jsonschema
        except ImportError:
            self.skipTest("the Python package jsonschema is not installed")
        schema = json.loads((ROOT / "docs/result.schema.json").read_text())
        for args in (["inspect"], ["doctor"], ["quantize", "--method", "gguf", "--dry-run"], ["convert", "--format", "gguf", "--out", "o.gguf", "--dry-run"]):
            record = json.loads(self.run_ok(*args, "--json", "-").stdout)
            jsonschema.Draft202012Validator({"$ref": f"#/$defs/{args[0]}_record", "$defs": schema["$defs"]}).validate(record)

    def test_doctor(self):
        record = json.loads(self.run_ok("doctor", "--json", "-").stdout)
        names = [c["name"] for c in record["doctor"]["checks"]]
        for name in ("CPU", "memory", "sandbox", "language: python", "language: cs", "cache", "shipped model"):
            self.assertIn(name, names)
        sandbox = next(c for c in record["doctor"]["checks"] if c["name"] == "sandbox")
        self.assertRegex(sandbox["detail"], r"probes hold \(|no tier works")  # what was probed, and what came of it

    def test_quiet_and_log_level(self):
        model = self.copy_model()
        (model / "tokenizer.json").unlink()
        self.assertIn("no tokenizer", self.run_ok("inspect", "--model", model).stderr)
        self.assertEqual(self.run_ok("inspect", "--model", model, "--quiet").stderr, "")
        self.assertEqual(self.run_ok("inspect", "--model", model, "--log-level", "error").stderr, "")

    def test_colour(self):
        code, text = on_terminal(["inspect"], {"TERM": "xterm"})
        self.assertEqual(code, 0)
        self.assertIn("\x1b[1m", text)
        for env, args in (({"TERM": "xterm", "NO_COLOR": "1"}, []), ({"TERM": "dumb"}, []), ({"TERM": "xterm"}, ["--color", "never"])):
            self.assertNotIn("\x1b", on_terminal(["inspect", *args], env)[1])
        self.assertNotIn("\x1b", self.run_ok("inspect").stdout)
        self.assertIn("\x1b", self.run_ok("inspect", "--color", "always").stdout)

    def test_closed_stdout_is_quiet(self):
        p = subprocess.Popen([TEENY, "inspect", "--tensors"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdout.close()
        self.assertEqual(p.stderr.read(), b"")
        self.assertEqual(p.wait(60), 0)
        p.stderr.close()

    def test_full_stdout_is_an_error(self):
        with open("/dev/full", "w") as full:
            p = subprocess.run([TEENY, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(p.returncode, 4)
        self.assertIn("stdout", p.stderr)

    def test_names_from_files_cannot_drive_the_terminal(self):
        header = json.dumps({"evil\x1b]0;title\x07": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        path = self.folder / "x.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0\0\0")
        p = self.run_ok("inspect", "--model", path, "--tensors")
        self.assertNotIn("\x1b", p.stdout + p.stderr)
        self.assertIn("evil", p.stdout)


@needs_engine
class WithEngine(InFolder):
    def test_codes_survive_a_chain_of_conversions(self):
        self.run_ok("quantize", "--method", "rtn", "--bits", "4", "--out", "a")
        for source, form, out in (("a", "compressed-tensors", "b"), ("b", "gptq-v2", "c"), ("c", "awq", "d"), ("d", "gptq", "e")):
            self.run_ok("convert", "--model", source, "--format", form, "--out", out)
        first, last = ((self.folder / name / "model.safetensors").read_bytes() for name in "ae")
        self.assertEqual(first, last)
        config = json.loads((self.folder / "b/config.json").read_text())["quantization_config"]
        self.assertEqual(config["config_groups"]["group_0"]["weights"]["group_size"], 128)
        self.assertEqual(config["ignore"], ["lm_head"])
        self.refused(3, "8", "convert", "--model", self.wide(), "--format", "awq", "--out", "x")
        self.assertFalse((self.folder / "x").exists())
        plan = json.loads(self.run_ok("convert", "--model", "a", "--format", "compressed-tensors", "--out", "x", "--dry-run", "--json", "-").stdout)
        self.assertTrue(plan["convert"]["plan"]["runtimes"]["vLLM"].startswith(("yes", "partly")))

    def wide(self):
        self.run_ok("quantize", "--method", "rtn", "--bits", "8", "--out", "w8")
        return "w8"

    def test_w8a8_says_so(self):
        record = json.loads(self.run_ok("quantize", "--method", "int8", "--act-bits", "8", "--out", "w8a8", "--json", "-").stdout)
        self.assertEqual(record["model"]["act_bits"], 8)
        config = json.loads((self.folder / "w8a8/config.json").read_text())["quantization_config"]
        self.assertEqual(config["format"], "int-quantized")
        self.assertTrue(config["config_groups"]["group_0"]["input_activations"]["dynamic"])

    def test_llm_int8_as_bitsandbytes_runs_it(self):
        self.run_ok("quantize", "--method", "int8", "--out", "int8")
        args = ("eval", "--model", "int8", "--reference", DEMO, "--tasks", "kld", "--limit", "3", "--json", "-")
        weights, mixed = (json.loads(self.run_ok(*args, *more).stdout) for more in ([], ["--act-bits", "8"]))
        value = lambda record: record["eval"]["tasks"][0]["value"]
        self.assertGreater(value(mixed), 1.2 * value(weights))
        self.assertLess(value(mixed), 2e-4)
        self.assertEqual((weights["model"]["act_bits"], mixed["model"]["act_bits"]), (None, 8))
        config = json.loads((self.folder / "int8/config.json").read_text())
        config["quantization_config"]["llm_int8_threshold"] = 0.5  # nearly every column has an outlier then
        (self.folder / "int8/config.json").write_text(json.dumps(config))
        exact = json.loads(self.run_ok(*args, "--act-bits", "8").stdout)
        self.assertLess(abs(value(exact) - value(weights)), abs(value(mixed) - value(weights)))
        self.refused(2, "act-bits", "eval", "--act-bits", "8", "--limit", "1")
        self.refused(2, "act-bits", "eval", "--model", "int8", "--act-bits", "9", "--limit", "1")

    def test_plans_say_how_long(self):
        plan = json.loads(self.run_ok("quantize", "--method", "gptq", "--dry-run", "--json", "-").stdout)["quantize"]["plan"]
        self.assertGreater(plan["expected_seconds"], 0)
        self.assertTrue(plan["calibration"].endswith("calibration.txt"))
        model = self.folder / "large"
        model.mkdir()
        config = json.loads((DEMO / "config.json").read_text())
        config.update(hidden_size=4096, intermediate_size=12288, num_hidden_layers=40, num_attention_heads=32, num_key_value_heads=8, layer_types=["full_attention"] * 40)
        (model / "config.json").write_text(json.dumps(config))
        self.refused(2, "estimated at [0-9]+ minutes; pass --calibration FILE", "quantize", "--method", "gptq", "--model", model, "--dry-run")
        given = json.loads(self.run_ok("quantize", "--method", "gptq", "--model", model, "--dry-run", "--calibration", "self", "--json", "-").stdout)["quantize"]["plan"]
        self.assertGreater(given["expected_seconds"], 100 * plan["expected_seconds"])

    def test_quantize_then_inspect_then_force(self):
        p = self.run_ok("quantize", "--method", "rtn", "--bits", "4", "--json", "q.json")
        out = self.folder / "teeny-demo-7m-rtn-4bit"
        self.assertTrue(list(out.glob("*.safetensors")))
        self.assertIn("mean relative error", p.stdout)
        record = json.loads((self.folder / "q.json").read_text())
        self.assertEqual(record["status"], "ok")
        self.assertGreater(len(record["quantize"]["tensors"]), 50)
        self.assertEqual(list(self.folder.glob("*.part")), [])
        inspected = json.loads(self.run_ok("inspect", "--model", out, "--json", "-").stdout)
        self.assertEqual(inspected["model"]["bits"], 4)
        self.assertLess(inspected["model"]["bits_per_weight"], 7)
        self.refused(2, "--force", "quantize", "--method", "rtn", "--bits", "4")
        self.run_ok("quantize", "--method", "rtn", "--bits", "4", "--force")

    def test_generate_from_stdin(self):
        args = ("generate", "--prompt", "-", "--temperature", "0", "--max-new-tokens", "8")
        p = self.run_ok(*args, stdin="def add(a, b):\n")
        self.assertTrue(p.stdout.strip())
        self.assertEqual(self.run_ok(*args, stdin="def add(a, b):\n").stdout, p.stdout)

    def full_disk(self, mount):
        p = teeny("quantize", "--method", "rtn", "--bits", "8", "--out", mount / "out", cwd=self.folder)
        self.assertEqual(p.returncode, 4, p.stderr)
        self.assertRegex(p.stderr.splitlines()[-1], r"\Ateeny: \[.*(free|space|needs)")
        self.assertEqual(list(mount.iterdir()), [])

    def test_full_disk(self):
        mount = self.folder / "small"
        mount.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", mount], capture_output=True)
        if mounted.returncode:
            self.skipTest("cannot mount a tmpfs here")
        try:
            self.full_disk(mount)
        finally:
            subprocess.run(["umount", mount], check=True)

    def test_file_size_limit(self):
        p = teeny("quantize", "--method", "rtn", "--bits", "8", cwd=self.folder, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
        self.assertEqual(p.returncode, 4, p.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])

    GPTQ = ("quantize", "--method", "gptq", "--bits", "4", "--samples", "16", "--seq-len", "256", "--out", "out")

    def finished_sha(self):
        return hashlib.sha256((self.folder / "out/model.safetensors").read_bytes()).hexdigest()

    def run_until(self, blocks, number, *more):
        """Starts GPTQ and sends the signal when so many blocks are kept. Returns (exit code, stdout, stderr)."""
        p = subprocess.Popen([TEENY, *self.GPTQ, *more], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 100
        while p.poll() is None and time.monotonic() < deadline:
            if len(list((self.folder / "out.resume").glob("block-*.bin"))) >= blocks:
                p.send_signal(number)
                break
            time.sleep(.005)
        out, err = p.communicate(timeout=120)
        return p.returncode, out, err

    def interrupt(self, number, expected):
        code, out, err = self.run_until(1, number)
        if code == 0:
            self.skipTest("the run was over before the signal")
        self.assertEqual(code, expected, err)
        self.assertEqual(out, "")
        self.assertIn("quantize --method gptq", err)
        self.assertIn("--resume", err)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["out.resume"])

    def test_sigint(self):
        self.interrupt(signal.SIGINT, 130)

    def test_sigterm(self):
        self.interrupt(signal.SIGTERM, 143)

    def test_killed_five_times_and_resumed(self):
        self.assertEqual(teeny(*self.GPTQ, cwd=self.folder).returncode, 0)
        whole = self.finished_sha()
        shutil.rmtree(self.folder / "out")
        for blocks in (0, 1, 3, 5, 7):  # each run goes on where the one before was killed
            code, _, err = self.run_until(blocks, signal.SIGKILL, *(["--resume"] if blocks else []))
            self.assertEqual(code, -signal.SIGKILL, err)
            self.assertFalse((self.folder / "out").exists())
        other = teeny(*self.GPTQ[:-2], "--out", "out", "--resume", "--damp", "0.02", cwd=self.folder)
        self.assertNotEqual(other.returncode, 0, "a checkpoint of other options was taken")
        last = teeny(*self.GPTQ, "--resume", cwd=self.folder)
        self.assertEqual(last.returncode, 0, last.stderr)
        self.assertEqual(self.finished_sha(), whole)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["out"])


if __name__ == "__main__":
    unittest.main(verbosity=2 if "-v" in sys.argv else 1)
