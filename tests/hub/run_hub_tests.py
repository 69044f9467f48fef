#!/usr/bin/env python3
"""Downloads from a hub that misbehaves (server.py, loopback only): the right file, or a clear error with its exit code,
and never a wrong file under a final name.

usage: TEENY=build/bin/teeny python3 tests/hub/run_hub_tests.py [-v] [TestClass.test]
"""
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from server import COMMIT, Hub, Repo, git_id, on, sha256

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEENY = os.path.abspath(os.environ.get("TEENY", ROOT / "build/bin/teeny"))
DEMO = ROOT / "configs/models/teeny-demo-7m"
MODEL = {name: (DEMO / name).read_bytes() for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")}
WEIGHTS = MODEL["model.safetensors"]
PLAIN = ("HF_", "HUGGING", "TRANSFORMERS_", "XDG_CACHE", "REQUESTS_CA", "CURL_CA", "SSL_CERT", "http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "TEENY_HUB")


def safetensors(tensors):
    header, at = {}, 0
    for name, data in tensors.items():
        header[name] = {"dtype": "U8", "shape": [len(data)], "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(tensors.values())


class HubTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="teeny-hub-"))
        self.home = self.folder / "hf"
        self.hub = Hub()
        self.repo = self.hub.repos["models", "org/name"] = Repo(MODEL, lfs=["model.safetensors"])
        self.addCleanup(self.hub.close)

    def tearDown(self):
        wrong = []
        for blob in self.home.rglob("blobs/*"):
            if not blob.name.endswith((".teeny-incomplete", ".state")):
                data = blob.read_bytes()
                if blob.is_symlink() or blob.name not in (sha256(data), git_id(data)):
                    wrong.append(str(blob))
        outside = sorted(str(p.relative_to(self.folder)) for p in self.folder.iterdir() if p.name not in ("hf", "out", "keep"))
        shutil.rmtree(self.folder, ignore_errors=True)
        self.assertEqual(wrong, [], "a final name whose content is another")
        self.assertEqual(outside, [], "files outside the cache")

    def environment(self, env=None):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(PLAIN)}
        return clean | {"HF_HOME": str(self.home), "HF_ENDPOINT": self.hub.url, "HF_HUB_DOWNLOAD_TIMEOUT": "2", "TEENY_HUB_ATTEMPTS": "3"} | (env or {})

    def teeny(self, *args, env=None, **kw):
        return subprocess.run([TEENY, *args], cwd=self.folder, env=self.environment(env), capture_output=True, text=True, errors="replace", timeout=120, stdin=subprocess.DEVNULL, **kw)

    def start(self, model="org/name", env=None):
        return subprocess.Popen([TEENY, "inspect", "--model", model], cwd=self.folder, env=self.environment(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def fetched(self, model="org/name", env=None, repo="models--org--name"):
        """teeny inspects the model; the snapshot holds what the server has."""
        p = self.teeny("inspect", "--model", model, env=env)
        self.assertEqual(p.returncode, 0, p.stderr)
        snapshot = self.home / "hub" / repo / "snapshots" / COMMIT
        for name, data in self.hub.repos["models", model.split("@")[0].split(":")[0]].files.items():
            if (snapshot / name).exists():
                self.assertEqual((snapshot / name).read_bytes(), data, name)
        left = [p.name for p in self.home.rglob("*incomplete*")]
        self.assertEqual(left, [], "unfinished files left behind")
        return p

    def refused(self, code, message, model="org/name", env=None, args=("inspect",)):
        p = self.teeny(*args, "--model", model, env=env)
        self.assertEqual(p.returncode, code, p.stderr)
        self.assertRegex(p.stderr, message)
        self.assertRegex(p.stderr.splitlines()[-1], r"\Ateeny: \[[^\]]+\] ")
        self.assertEqual(p.stdout, "")
        self.assertNotIn("[bug]", p.stderr)
        return p

    def weights_blob(self, suffix=""):
        return self.home / "hub/models--org--name/blobs" / (sha256(WEIGHTS) + suffix)

    def weights_requests(self):
        return self.hub.seen("GET", "/cdn/" + sha256(WEIGHTS))


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
        self.assertEqual(json.loads(whole.stdout)["quantize"]["plan"], json.loads(p.stdout)["quantize"]["plan"])

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


class Content(HubTest):
    def corrupt(self, data):
        return bytes([data[0] ^ 1]) + data[1:]

    def test_wrong_sha256(self):
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.send_file(self.corrupt(h.data()), '"x"')))
        self.refused(3, "not what was announced")
        self.assertFalse(self.weights_blob().exists())

    def test_wrong_git_id(self):
        self.hub.faults.append(on("GET", git_id(MODEL["config.json"]), lambda h: h.send_file(self.corrupt(h.data()), None)))
        self.refused(3, "not what was announced")

    def test_truncated_body(self):
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.send_file(h.data()[:-10], '"x"')))
        self.refused(4, "bytes were announced")

    def test_connection_ends_early_every_time(self):
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.send_file(h.data(), '"x"', cut=1000)))
        self.refused(4, "tried 3 times")
        self.hub.faults.clear()
        self.fetched()

    def test_longer_than_announced(self):
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.send_file(h.data() + b"more", '"x"')))
        self.refused(4, "bytes were announced")

    def test_longer_than_announced_without_length(self):
        def endless(h):
            h.send_response(200)
            h.send_header("Connection", "close")
            h.end_headers()
            h.wfile.write(h.data() + b"x" * 100000)
            h.drop()
        self.hub.faults.append(on("GET", "/cdn/", endless))
        self.refused(4, "more than the|begun anew")

    def test_html_with_200(self):
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.reply(200, b"<html>please log in</html>")))
        self.refused(4, "bytes were announced")

    def test_gzip_encoding(self):
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.send_file(h.data(), '"x"', {"Content-Encoding": "gzip"})))
        self.refused(4, "encoded as gzip")

    def test_zero_size_file(self):
        self.repo.files["added_tokens.json"] = b""
        self.repo.files["merges.txt"] = b""
        self.fetched()
        self.assertEqual((self.home / "hub/models--org--name/snapshots" / COMMIT / "merges.txt").read_bytes(), b"")

    def test_missing_etag(self):
        listing = self.repo.listing()
        for entry in listing["siblings"]:
            entry.pop("blobId"), entry.pop("lfs", None)
        self.hub.faults.append(on("GET", "/api/models", lambda h: h.send_json(listing)))
        self.fetched()  # HEAD has them
        shutil.rmtree(self.home)
        self.hub.faults.append(on("HEAD", "/resolve-cache/", lambda h: h.reply(200, b"", {"X-Repo-Commit": COMMIT})))
        self.refused(3, "no content id")

    def test_missing_sizes(self):
        listing = self.repo.listing()
        for entry in listing["siblings"]:
            entry.pop("size"), entry.get("lfs", {}).pop("size", None)
        self.hub.faults.append(on("GET", "/api/models", lambda h: h.send_json(listing)))
        self.fetched()

    def test_sizes_that_disagree(self):
        listing = self.repo.listing()
        listing["siblings"][-1]["size"] = listing["siblings"][-1]["lfs"]["size"] = len(WEIGHTS) - 1
        self.hub.faults.append(on("GET", "/api/models", lambda h: h.send_json(listing)))
        self.refused(3, "announced with")

    def test_wrong_commit(self):
        self.hub.faults.append(on("HEAD", "/resolve/", lambda h: h.reply(302, b"", {"X-Repo-Commit": "f" * 40, "X-Linked-Etag": '"' + sha256(WEIGHTS) + '"', "Location": "/cdn/x"})))
        self.refused(3, "answers for commit")

    def test_no_commit(self):
        self.hub.faults.append(on("HEAD", "/resolve/", lambda h: h.reply(200, b"", {"ETag": '"' + sha256(WEIGHTS) + '"'})))
        self.refused(3, "X-Repo-Commit")

    def test_listing_for_another_commit(self):
        self.repo.revisions.add("e" * 40)
        self.refused(3, "answers for commit", "org/name@" + "e" * 40)


class Ranges(HubTest):
    def break_once(self, cut=9 << 20, etag='"one"'):
        """The first try of the weights ends after `cut` bytes; the next run has to go on."""
        self.hub.faults[:] = [on("GET", "/cdn/", lambda h: h.send_file(h.data(), etag, cut=cut))]
        self.refused(4, "tried 1 times", env={"TEENY_HUB_ATTEMPTS": "1"})
        self.assertTrue(self.weights_blob(".teeny-incomplete").exists())
        self.hub.faults.clear()
        self.hub.log.clear()

    def test_resumed_with_if_range(self):
        self.break_once()
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.send_file(h.data(), '"one"')))
        self.fetched()
        first = self.weights_requests()[0]["headers"]
        self.assertEqual(first["range"], f"bytes={8 << 20}-{len(WEIGHTS) - 1}")
        self.assertEqual(first["if-range"], '"one"')

    def test_changed_etag_begins_anew(self):
        self.break_once()
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.send_file(h.data(), '"two"')))
        self.fetched()
        self.assertNotIn("range", self.weights_requests()[-1]["headers"])

    def test_changed_etag_of_a_server_that_ignores_if_range(self):
        self.break_once()

        def ignore(h):
            if "If-Range" in h.headers:
                h.headers.replace_header("If-Range", '"two"')
            h.send_file(h.data(), '"two"')
        self.hub.faults.append(on("GET", "/cdn/", ignore))
        self.fetched()
        self.assertNotIn("range", self.weights_requests()[-1]["headers"])

    def test_weak_etag_is_not_used(self):
        self.break_once(etag='W/"one"')
        self.fetched()
        self.assertNotIn("if-range", self.weights_requests()[0]["headers"])
        self.assertIn("range", self.weights_requests()[0]["headers"])

    def test_other_content_at_resume_is_noticed_by_its_hash(self):
        self.break_once(etag=None)
        partial = self.weights_blob(".teeny-incomplete")
        with open(partial, "r+b") as f:
            f.write(b"other")
        self.fetched()

    def test_ignored_range(self):
        self.break_once()
        def whole(h):
            if "Range" in h.headers:
                del h.headers["Range"]
            h.send_file(h.data(), '"one"')
        self.hub.faults.append(on("GET", "/cdn/", whole))
        self.fetched()

    def test_ignored_range_of_a_big_file(self):
        weights = safetensors({"t": os.urandom(70 << 20)})
        self.hub.repos["models", "org/name"] = Repo({**MODEL, "model.safetensors": weights}, lfs=["model.safetensors"])
        def whole(h):
            if "Range" in h.headers:
                del h.headers["Range"]
            h.send_file(h.data(), None)
        self.hub.faults.append(on("GET", "/cdn/", whole))
        self.fetched()

    def test_wrong_content_range(self):
        for lie in ("bytes 0-99/100", f"bytes 0-{len(WEIGHTS) - 1}/{len(WEIGHTS)}", "bytes */5", "", "bytes 18446744073709551615-18446744073709551615/18446744073709551615"):
            with self.subTest(lie):
                shutil.rmtree(self.home, ignore_errors=True)
                self.break_once()
                self.hub.faults.append(on("GET", "/cdn/", lambda h: h.send_file(h.data(), '"one"', lie=lie or " ")))
                self.refused(4, "asked for bytes")
                self.assertFalse(self.weights_blob().exists())

    def test_state_that_is_no_state(self):
        for text in (b"", b"x" * 516, b"teeny-incomplete 1\nbytes 99999999999\nblock 4194304\netag \n" + b"1" * 460):
            self.break_once()
            self.weights_blob(".teeny-incomplete.state").write_bytes(text)
            self.fetched()
            shutil.rmtree(self.home)

    def test_killed_and_resumed(self):
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.send_file(h.data(), '"one"', delay=0.05)))
        for _ in range(3):
            p = self.start()
            time.sleep(1.2)
            p.send_signal(signal.SIGKILL)
            p.communicate()
            self.assertFalse(self.weights_blob().exists())
        self.hub.faults.clear()
        self.hub.log.clear()
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.send_file(h.data(), '"one"')))
        self.fetched()
        start = int(self.weights_requests()[0]["headers"]["range"][6:].split("-")[0])
        self.assertTrue(start > 0 and start % (4 << 20) == 0, start)

    def test_interrupted(self):
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.send_file(h.data(), '"one"', delay=0.1)))
        p = self.start()
        time.sleep(2.5)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=5)
        self.assertEqual(p.returncode, 130, err)
        self.assertEqual(out, "")
        self.assertTrue(self.weights_blob(".teeny-incomplete").exists())
        self.hub.faults.clear()
        self.fetched()


class Connection(HubTest):
    def test_500_then_good(self):
        for part in ("/api/models", "/resolve/", "/cdn/"):
            self.hub.once(on("GET", part, lambda h: h.refuse(500)))
        self.hub.once(on("HEAD", "/resolve/", lambda h: h.refuse(503)))
        self.fetched()

    def test_500_for_ever(self):
        self.hub.faults.append(on("GET", "/api/models", lambda h: h.refuse(502)))
        self.refused(4, "answers 502 .tried 3 times")
        self.assertEqual(len(self.hub.log), 3)

    def test_429_with_retry_after(self):
        self.hub.once(on("GET", "/api/models", lambda h: h.refuse(429, extra={"Retry-After": "2"})))
        self.fetched()
        times = [e["time"] for e in self.hub.seen("GET", "/api/models")]
        self.assertGreaterEqual(times[1] - times[0], 1.9)

    def test_429_with_retry_after_too_long(self):
        self.hub.faults.append(on("GET", "/api/models", lambda h: h.refuse(429, extra={"Retry-After": "86400"})))
        self.refused(4, "86400 seconds")

    def test_stall_then_good(self):
        def stall(h):
            h.send_response(200)
            h.send_header("Content-Length", str(len(h.data())))
            h.end_headers()
            h.wfile.write(h.data()[:5000])
            time.sleep(6)
            h.drop()
        self.hub.once(on("GET", "/cdn/", stall))
        self.fetched()

    def test_no_answer(self):
        self.hub.faults.append(on("GET", "/api/models", lambda h: (time.sleep(8), h.drop())))
        self.refused(4, "tried 2 times", env={"TEENY_HUB_ATTEMPTS": "2", "HF_HUB_DOWNLOAD_TIMEOUT": "1"})

    def test_slow_drip(self):
        def drip(h):
            h.send_response(200)
            h.send_header("Content-Length", str(len(h.data())))
            h.end_headers()
            for byte in h.data()[:40]:
                h.wfile.write(bytes([byte]))
                h.wfile.flush()
                time.sleep(0.2)
            h.drop()
        self.hub.faults.append(on("GET", "/cdn/", drip))
        self.refused(4, "(?i)slow|less than", env={"TEENY_HUB_ATTEMPTS": "1"})

    def test_reset(self):
        def reset(h):
            h.send_response(200)
            h.send_header("Content-Length", str(len(h.data())))
            h.end_headers()
            h.wfile.write(h.data()[:1 << 20])
            h.drop(reset=True)
        self.hub.once(on("GET", "/cdn/", reset), times=2)
        self.fetched()

    def test_huge_headers(self):
        def huge(h):
            h.send_response(200)
            for i in range(200):
                h.send_header(f"X-{i}", "x" * 1000)
            h.end_headers()
        self.hub.faults.append(on("GET", "/api/models", huge))
        self.refused(4, "headers")

    def test_no_server(self):
        self.refused(4, "check the network", env={"HF_ENDPOINT": "http://127.0.0.1:9"})
        self.refused(4, "check the network", env={"HF_ENDPOINT": "http://no-such-host.invalid"})
        self.refused(2, "HF_ENDPOINT", env={"HF_ENDPOINT": "ftp://x"})

    def test_no_server_but_cached(self):
        self.fetched()
        p = self.fetched(env={"HF_ENDPOINT": "http://127.0.0.1:9"})
        self.assertIn("cannot be reached", p.stderr)

    def test_401_403_404(self):
        self.refused(3, "does not exist.*or is private.*HF_TOKEN", "org/none")
        self.refused(3, "refused with this token", "org/none", env={"HF_TOKEN": "hf_secret"})
        self.refused(3, "revision does not exist", "org/name@v9")
        self.hub.faults.append(on("HEAD", "/resolve/", lambda h: h.refuse(403, "GatedRepo")))
        p = self.refused(3, f"gated.*{self.hub.url}/org/name.*HF_TOKEN", env={"HF_TOKEN": "hf_secret"})
        self.assertNotIn("hf_secret", p.stderr)
        self.hub.faults[:] = [on("GET", "/api/models", lambda h: h.refuse(404))]
        self.refused(3, "404")

    def test_two_processes(self):
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.send_file(h.data(), '"one"', delay=0.02)))
        runs = [self.start() for _ in range(3)]
        for p in runs:
            _, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, 0, err)
        self.assertEqual(len(self.weights_requests()), 1)
        self.fetched()

    def test_write_fails(self):
        import resource
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5 << 20, 5 << 20))
        p = self.teeny("inspect", "--model", "org/name", preexec_fn=limit)
        self.assertEqual(p.returncode, 4, p.stderr)
        self.assertIn("HF_HOME", p.stderr)

    def test_disk_full(self):
        self.home.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", self.home], capture_output=True).returncode != 0:
            self.skipTest("cannot mount a tmpfs")
        try:
            self.refused(4, "needs .*free")
            self.assertEqual(self.weights_requests(), [])
        finally:
            subprocess.run(["umount", self.home], check=True)


class Redirects(HubTest):
    def setUp(self):
        super().setUp()
        self.other = Hub()
        self.other.repos = self.hub.repos
        self.addCleanup(self.other.close)

    def test_token_stays_at_home(self):
        self.hub.cdn = self.other.url
        self.fetched(env={"HF_TOKEN": "hf_secret"})
        self.assertGreaterEqual(len(self.other.log), 1)
        for entry in self.other.log:
            self.assertNotIn("authorization", entry["headers"])
            self.assertNotIn("hf_secret", str(entry))
        self.assertTrue(all(e["headers"].get("authorization") == "Bearer hf_secret" for e in self.hub.log))

    def test_token_does_not_come_back(self):
        """home -> other -> home: what another host sends us to gets no token."""
        self.hub.cdn = self.other.url
        self.other.faults.append(on("GET", "/cdn/", lambda h: h.reply(302, b"", {"Location": self.hub.url + h.path})))
        self.fetched(env={"HF_TOKEN": "hf_secret"})
        self.assertNotIn("authorization", self.weights_requests()[0]["headers"])

    def test_listing_moved_to_another_host(self):
        self.hub.faults.append(on("GET", "/api/", lambda h: h.reply(302, b"", {"Location": self.other.url + h.path})))
        self.fetched(env={"HF_TOKEN": "hf_secret"})
        for entry in self.other.log:
            self.assertNotIn("authorization", entry["headers"])

    def test_loop(self):
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.reply(302, b"", {"Location": h.path})))
        self.refused(4, "redirects more than")

    def test_file_scheme(self):
        secret = self.folder / "keep"
        secret.write_bytes(WEIGHTS)
        for place in (f"file://{secret}", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "data:,x"):
            self.hub.faults[:] = [on("GET", "/cdn/", lambda h: h.reply(302, b"", {"Location": place}))]
            self.refused(4, "not followed|no address")

    def test_no_location(self):
        self.hub.faults.append(on("GET", "/cdn/", lambda h: h.reply(302, b"")))
        self.refused(4, "without a Location", env={"TEENY_HUB_ATTEMPTS": "1"})

    def test_expired_signed_address(self):
        """The address of the content network stops working between two requests: the hub is asked again."""
        weights = safetensors({"t": os.urandom(140 << 20)})
        self.hub.repos["models", "org/name"] = Repo({**MODEL, "model.safetensors": weights}, lfs=["model.safetensors"])
        count = [0]

        def expire(h, dry=False):
            if h.command != "GET" or "/cdn/" not in h.path:
                return False
            count[0] += 1
            if count[0] == 2:
                h.refuse(403)
                return True
            return False
        self.hub.faults.append(expire)
        self.fetched()
        self.assertGreaterEqual(len(self.hub.seen("GET", "/resolve/" + COMMIT + "/model.safetensors")), 2)

    @unittest.skipUnless(shutil.which("openssl"), "no openssl program")
    def test_https_to_http(self):
        pem = self.folder / "keep"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pem, "-out", str(pem) + ".crt", "-days", "2", "-subj", "/CN=127.0.0.1",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        certificate = pathlib.Path(str(pem) + ".crt")
        pem.write_bytes(pem.read_bytes() + certificate.read_bytes())
        certificate.unlink()
        tls = Hub(tls=pem)
        self.addCleanup(tls.close)
        tls.repos, tls.cdn = self.hub.repos, self.hub.url
        env = {"HF_ENDPOINT": tls.url, "HF_TOKEN": "hf_secret"}
        self.refused(4, "certificate is not accepted", env=env)
        self.refused(4, "from https to http", env=env | {"SSL_CERT_FILE": str(pem)})
        self.assertEqual(self.hub.log, [])
        tls.cdn = tls.url
        self.fetched(env=env | {"SSL_CERT_FILE": str(pem)})


class Names(HubTest):
    def listing_with(self, *names, **fields):
        listing = self.repo.listing()
        for name in names:
            listing["siblings"].append({"rfilename": name, "size": 4, "blobId": git_id(b"evil")} | fields)
        self.hub.faults[:] = [on("GET", "/api/models", lambda h: h.send_json(listing))]

    def test_hostile_names(self):
        for name in ("../x", "a/../../x", "/etc/x", "a\\..\\x", "C:\\x", "C:x", "a\0b", "a//b", "./a", "a/", "", "a/.", "..", "x" * 300, "a\nb", "\x1b[2J", "\udc80"):
            with self.subTest(name):
                self.listing_with(name)
                p = self.refused(3, "does not stay|stays in its folder|not valid JSON")
                self.assertNotIn("\x1b", p.stderr)
                self.assertFalse((self.home / "hub/models--org--name/blobs").exists())

    def test_names_that_are_not_text(self):
        for name in (5, None, ["a"], {}):
            self.listing_with(name)
            self.refused(3, "stays in its folder")

    def test_hostile_gguf(self):
        self.listing_with("../evil.gguf")
        self.refused(3, "stays in its folder", "org/name:Q4_0")
        self.refused(3, "no such file", "org/name:../evil.gguf")

    def test_duplicates(self):
        self.listing_with("config.json")
        self.refused(3, "twice")

    def test_names_that_differ_in_case(self):
        self.listing_with("Config.json", "MODEL.safetensors", "model.SAFETENSORS")
        self.fetched()
        self.assertEqual(sorted(x.name for x in (self.home / "hub/models--org--name/snapshots" / COMMIT).iterdir()), sorted(MODEL))

    def test_shards_that_differ_in_case(self):
        shards = {name: safetensors({name[0]: b"1"}) for name in ("a.safetensors", "A.safetensors")}
        index = json.dumps({"weight_map": {"a": "a.safetensors", "A": "A.safetensors"}}).encode()
        self.hub.repos["models", "org/name"] = Repo({"config.json": MODEL["config.json"], "model.safetensors.index.json": index, **shards})
        self.refused(3, "differ in case")

    def test_hostile_index(self):
        for shard in ("../../x.safetensors", "/etc/passwd", "sub/x.safetensors", "absent.safetensors", 7):
            index = json.dumps({"weight_map": {"t": shard}}).encode()
            self.hub.repos["models", "org/name"] = Repo({"config.json": MODEL["config.json"], "model.safetensors.index.json": index, "a.safetensors": b"1", "b.safetensors": b"1"})
            self.refused(3, "names the shard|no file name")
            shutil.rmtree(self.home)

    def test_hostile_fields(self):
        for fields in ({"size": -1}, {"size": 1e30}, {"size": "4"}, {"size": 1 << 60}, {"blobId": "../../x"}, {"blobId": "0" * 39}, {"lfs": {"sha256": "../x", "size": 4}}, {"lfs": {"sha256": "0" * 64, "size": 5}}):
            with self.subTest(fields):
                self.listing_with("x", **fields)
                self.refused(3, "usable size|content id|two sizes")

    def test_hostile_commit(self):
        for sha in ("../../x", "", None, "0" * 39, "G" * 40):
            listing = self.repo.listing() | {"sha": sha}
            self.hub.faults[:] = [on("GET", "/api/models", lambda h: h.send_json(listing))]
            self.refused(3, "no commit")

    def test_bad_json(self):
        for body in (b"", b"{", b"[]", b"null", b'{"sha":1}', b"<html>log in</html>", b"[" * 100000, b'{"sha":"a","sha":"b"}', b"\xff\xfe"):
            with self.subTest(body[:20]):
                self.hub.faults[:] = [on("GET", "/api/models", lambda h: h.reply(200, body))]
                self.refused(3, "JSON|no list|no commit|web page")

    def test_huge_json(self):
        self.hub.faults.append(on("GET", "/api/models", lambda h: h.reply(200, b"[" + b" " * (40 << 20))))
        self.refused(4, "more than")

    def plant(self, where, target):
        place = self.home / "hub/models--org--name" / where
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
        return place

    def test_planted_links(self):
        keep = self.folder / "keep"
        keep.write_text("mine")
        blob = "blobs/" + sha256(WEIGHTS)
        for where, code in ((f"snapshots/{COMMIT}/config.json", 0), (blob, 3), (blob + ".teeny-incomplete", 3), (blob + ".teeny-incomplete.state", 3)):
            with self.subTest(where):
                self.plant(where, keep)
                p = self.teeny("inspect", "--model", "org/name")
                self.assertEqual(p.returncode, code, p.stderr)
                self.assertEqual(keep.read_text(), "mine")
                shutil.rmtree(self.home)

    def test_planted_folder_link(self):
        (self.folder / "keep").mkdir()
        self.hub.repos["datasets", "org/texts"] = Repo({"data/a.txt": b"text"})
        place = self.home / "hub/datasets--org--texts/snapshots" / COMMIT / "data"
        place.parent.mkdir(parents=True)
        place.symlink_to(self.folder / "keep")
        p = self.teeny("quantize", "--method", "gptq", "--calibration", "org/texts:data/a.txt", "--dry-run")
        self.assertEqual(p.returncode, 3, p.stderr)
        self.assertEqual(list((self.folder / "keep").iterdir()), [])


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


if __name__ == "__main__":
    unittest.main()
