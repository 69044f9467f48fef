"""What the tests of this folder share: a hub on the loopback, an empty cache, teeny run in it, and the check that no final name has another content."""
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
