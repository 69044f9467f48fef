"""What is believed: redirects and where the token goes, names, planted links, listings."""
import json
import os
import pathlib
import shutil
import subprocess
import unittest

from hub_case import MODEL, WEIGHTS, safetensors, HubTest
from server import COMMIT, Hub, Repo, git_id, on, sha256


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
