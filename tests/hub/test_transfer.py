"""What arrives: wrong, short, long or stale content, ranges and resumption, connections that fail."""
import os
import shutil
import signal
import subprocess
import time

from hub_case import MODEL, WEIGHTS, safetensors, HubTest
from server import COMMIT, Repo, git_id, on, sha256


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
