"""A hub that behaves: layout, revisions, offline use, and huggingface_hub on the same cache."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

from hub_case import MODEL, WEIGHTS, safetensors, HubTest
from server import COMMIT, Hub, Repo, git_id, on, sha256


class WellBehaved(HubTest):
    def test_layout(self):
        self.repo.files |= {"README.md": b"read me", "pytorch_model.bin": b"pickle", "onnx/model.onnx": b"onnx"}
        p = self.fetched()
        root = self.home / "hub/models--org--name"
        self.assertEqual((root / "refs/main").read_text(), COMMIT)
        self.assertEqual(sorted(x.name for x in (root / "snapshots" / COMMIT).iterdir()), sorted(MODEL))
        self.assertEqual(os.readlink(root / "snapshots" / COMMIT / "config.json"), "../../blobs/" + git_id(MODEL["config.json"]))
        self.assertEqual(os.readlink(root / "snapshots" / COMMIT / "model.safetensors"), "../../blobs/" + sha256(WEIGHTS))
        self.assertIn("name", p.stdout)
        self.assertNotIn("\r", p.stderr)

    def test_second_run_downloads_nothing(self):
        self.fetched()
        before = len(self.hub.log)
        self.fetched()
        self.assertEqual([e["path"] for e in self.hub.log[before:]], ["/api/models/org/name/revision/main?blobs=true"])

    def test_pinned_commit_needs_no_network_once_cached(self):
        self.fetched("org/name@" + COMMIT)
        before = len(self.hub.log)
        self.fetched("org/name@" + COMMIT)
        self.assertEqual(len(self.hub.log), before)
        self.assertFalse((self.home / "hub/models--org--name/refs").exists())

    def test_revision_with_slash(self):
        self.repo.revisions.add("refs/pr/1")
        self.fetched("org/name@refs/pr/1")
        self.assertEqual((self.home / "hub/models--org--name/refs/refs/pr/1").read_text(), COMMIT)

    def test_offline_after_download(self):
        self.fetched()
        before = len(self.hub.log)
        self.fetched(env={"HF_HUB_OFFLINE": "1"})
        self.assertEqual(len(self.hub.log), before)

    def test_offline_without_download(self):
        self.refused(3, "HF_HUB_OFFLINE", env={"HF_HUB_OFFLINE": "1"})
        self.assertEqual(self.hub.log, [])

    def test_shards_and_big_file_in_parallel_ranges(self):
        parts = {f"model-{i:05}-of-00002.safetensors": safetensors({f"t{i}": os.urandom(size)}) for i, size in ((1, 75 << 20), (2, 1000))}
        index = json.dumps({"metadata": {}, "weight_map": {"t1": "model-00001-of-00002.safetensors", "t2": "model-00002-of-00002.safetensors"}}).encode()
        files = {**{k: v for k, v in MODEL.items() if k != "model.safetensors"}, **parts, "model.safetensors.index.json": index}
        repo = self.hub.repos["models", "org/name"] = Repo(files, lfs=parts)
        self.fetched()
        big = self.hub.seen("GET", "/cdn/" + repo.content("model-00001-of-00002.safetensors"))
        self.assertGreaterEqual(len([e for e in big if "range" in e["headers"]]), 3)
        self.assertTrue(all("if-range" in e["headers"] for e in big[1:]))

    def test_gguf_choice(self):
        files = {"m-Q4_K_M.gguf": b"GGUF1", "m-Q4_K_S.gguf": b"GGUF2", "m-Q8_0-00001-of-00002.gguf": b"GGUF3", "m-Q8_0-00002-of-00002.gguf": b"GGUF4", "mmproj-F16.gguf": b"GGUF5"}
        self.hub.repos["models", "org/name"] = Repo(files, lfs=files)
        self.refused(3, "several GGUF files.*m-Q4_K_M.gguf, m-Q4_K_S.gguf, m-Q8_0-00001")
        self.refused(3, "nothing for 'Q5_0'", "org/name:Q5_0")
        for typed, got in (("q4_k_m", ["m-Q4_K_M.gguf"]), ("m-Q4_K_S.gguf", ["m-Q4_K_S.gguf"]), ("Q8_0", ["m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"])):
            self.refused(3, r"\[(gguf|open)\]", "org/name:" + typed)  # downloaded, and no GGUF after all
            for name in got:
                self.assertTrue((self.home / "hub/models--org--name/snapshots" / COMMIT / name).exists(), name)
                (self.home / "hub/models--org--name/snapshots" / COMMIT / name).unlink()
            self.assertEqual(list((self.home / "hub/models--org--name/snapshots" / COMMIT).iterdir()), [])

    def test_pickled_weights_only(self):
        self.hub.repos["models", "org/name"] = Repo({"config.json": b"{}", "pytorch_model.bin": b"x"})
        self.refused(3, "pickled")

    def test_token_is_sent_and_from_file(self):
        self.home.mkdir()
        (self.home / "token").write_text("hf_from_file\n")
        self.fetched()
        self.assertEqual({e["headers"].get("authorization") for e in self.hub.seen("GET", "/api/models")}, {"Bearer hf_from_file"})
        self.fetched(env={"HF_TOKEN": "hf_from_env"})
        self.assertEqual(self.hub.log[-1]["headers"]["authorization"], "Bearer hf_from_env")

    def test_token_with_line_break_is_refused(self):
        p = self.refused(3, "is not a token", env={"HF_TOKEN": "a\r\nX-Evil: 1"})
        self.assertNotIn("X-Evil", p.stderr)
        self.assertEqual(self.hub.log, [])

    def test_dataset_file_as_calibration(self):
        self.hub.repos["datasets", "org/texts"] = Repo({"data/a.txt": b"def f():\n    return 1\n" * 500})
        p = self.teeny("quantize", "--method", "gptq", "--calibration", "org/texts:data/a.txt", "--dry-run")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertTrue((self.home / "hub/datasets--org--texts/snapshots" / COMMIT / "data/a.txt").is_file())
        for wrong, message in (("org/texts:b.txt", "has no file b.txt"), ("org/texts:x.parquet", "is no text"), ("org/none:a.txt", "does not exist")):
            p = self.teeny("quantize", "--method", "gptq", "--calibration", wrong, "--dry-run")
            self.assertEqual(p.returncode, 3, p.stderr)
            self.assertIn(message, p.stderr)

    def test_output_is_named_after_the_repository(self):
        p = self.teeny("quantize", "--method", "rtn", "--model", "org/name", "--dry-run", "--json", "-")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(json.loads(p.stdout)["model"]["name"], "name-rtn-4bit")

    def test_dry_run_downloads_no_weights(self):
        p = self.teeny("quantize", "--method", "rtn", "--model", "org/name", "--dry-run", "--json", "-")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(self.weights_requests(), [])
        self.fetched()
        self.assertEqual(len(self.weights_requests()), 1)
        whole = self.teeny("quantize", "--method", "rtn", "--model", "org/name", "--dry-run", "--json", "-")
        plans = [json.loads(run.stdout)["quantize"]["plan"] for run in (whole, p)]
        for plan in plans: plan.pop("expected_seconds")  # measured anew each time
        self.assertEqual(*plans)

    def test_dry_run_beside_an_unfinished_download(self):
        """An index and some of its shards are there: the plan is still made from config.json."""
        index = json.dumps({"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}).encode()
        files = {**{k: v for k, v in MODEL.items() if k != "model.safetensors"}, "model.safetensors.index.json": index, "m-1.safetensors": safetensors({"a": b"1"}), "m-2.safetensors": safetensors({"b": b"2"})}
        repo = self.hub.repos["models", "org/name"] = Repo(files, lfs=["m-1.safetensors", "m-2.safetensors"])
        self.hub.faults.append(on("GET", "/cdn/" + repo.content("m-2.safetensors"), lambda h: h.refuse(500)))
        self.refused(4, "answers 500")
        p = self.teeny("quantize", "--method", "rtn", "--model", "org/name", "--dry-run")
        self.assertEqual(p.returncode, 0, p.stderr)

    def test_existing_output_is_refused_before_the_download(self):
        (self.folder / "out").mkdir()
        p = self.teeny("quantize", "--method", "rtn", "--model", "org/name", "--out", "out")
        self.assertEqual(p.returncode, 2, p.stderr)
        self.assertEqual(self.hub.log, [])

    def test_paths_win_and_typos_stay_local(self):
        self.refused(3, "no such file", "runs/model.gguf")
        self.refused(3, "no such file", "a/b/c")
        self.refused(3, "no such file", "../x")
        self.assertEqual(self.hub.log, [])


def has_peer(python):
    return subprocess.run([python, "-c", "import huggingface_hub"], capture_output=True).returncode == 0


PEER = next((python for python in (os.environ.get("TEENY_HUB_PEER_PYTHON", sys.executable), sys.executable) if has_peer(python)), None)


@unittest.skipUnless(PEER, "no huggingface_hub in this Python (or in TEENY_HUB_PEER_PYTHON)")
class Peer(HubTest):
    """huggingface_hub and teeny share one cache."""

    def setUp(self):
        super().setUp()
        self.other = Hub()
        self.other.repos, self.hub.cdn = self.hub.repos, self.other.url
        self.addCleanup(self.other.close)

    def peer(self, code):
        env = self.environment({"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "20"})
        return subprocess.Popen([PEER, "-c", "from huggingface_hub import *\n" + code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def peer_ok(self, code):
        p = self.peer(code)
        out, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 0, err)
        return out

    def test_peer_finds_what_teeny_fetched(self):
        self.fetched()
        before = len(self.hub.log)
        out = self.peer_ok("print(*[hf_hub_download('org/name', f, local_files_only=True) for f in %r], sep='\\n')" % sorted(MODEL))
        self.assertEqual([e["path"] for e in self.hub.log[before:] if "org/name" in e["path"]], [])
        for name, place in zip(sorted(MODEL), out.split("\n")):
            self.assertEqual(pathlib.Path(place).read_bytes(), MODEL[name])
        self.peer_ok("hf_hub_download('org/name', 'model.safetensors'); info = scan_cache_dir(); assert not info.warnings, info.warnings")
        self.assertEqual(len(self.other.seen("GET", "/cdn/")), 1)

    def test_teeny_finds_what_peer_fetched(self):
        self.peer_ok("[hf_hub_download('org/name', f) for f in %r]" % sorted(MODEL))
        before = len(self.hub.log)
        self.fetched(env={"HF_HUB_OFFLINE": "1"})
        self.assertEqual(len(self.hub.log), before)
        self.fetched()
        self.assertEqual([e["method"] for e in self.hub.log[before:]], ["GET"])

    def test_both_at_once(self):
        self.other.faults.append(on("GET", "/cdn/", lambda h: h.send_file(h.data(), '"one"', delay=0.03)))
        ours, theirs = self.start(), self.peer("hf_hub_download('org/name', 'model.safetensors')")
        for p in (ours, theirs):
            _, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, 0, err)
        self.assertEqual(len(self.other.seen("GET", "/cdn/")), 1)
        self.fetched()
