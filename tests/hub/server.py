"""A small Hugging Face hub on the loopback, which misbehaves on request. For run_hub_tests.py; standard library only."""
import hashlib
import http.server
import json
import re
import socket
import ssl
import struct
import threading
import time
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_id(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Repo:
    """Files of one repository. Those in `lfs` are served through a redirect, as the hub does."""

    def __init__(self, files, lfs=(), commit=COMMIT):
        self.files, self.lfs, self.commit, self.revisions = dict(files), set(lfs), commit, {"main", commit}

    def content(self, path):
        return sha256(self.files[path]) if path in self.lfs else git_id(self.files[path])

    def listing(self):
        siblings = []
        for path, data in self.files.items():
            entry = {"rfilename": path, "size": len(data), "blobId": git_id(data)}
            if path in self.lfs:
                entry["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 135}
            siblings.append(entry)
        return {"id": "org/name", "sha": self.commit, "siblings": siblings}


class Hub:
    """`faults` are functions of the request handler, tried in turn; one that returns True has answered."""

    def __init__(self, tls=None):
        self.repos, self.faults, self.log, self.cdn = {}, [], [], None
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def seen(self, method, part):
        return [entry for entry in self.log if entry["method"] == method and part in entry["path"]]

    def once(self, fault, times=1):
        """The fault, for its first `times` hits only."""
        left = [times]
        lock = threading.Lock()

        def limited(handler):
            with lock:
                if left[0] <= 0 or not fault(handler, dry=True):
                    return False
                left[0] -= 1
            return fault(handler)

        self.faults.append(limited)


def on(method, part, answer):
    """A fault that answers requests of that method whose path has `part` in it."""

    def fault(handler, dry=False):
        if handler.command != method or part not in handler.path:
            return False
        if not dry:
            answer(handler)
        return True

    return fault


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = None

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub = self.hub
        hub.log.append({"method": self.command, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "time": time.monotonic()})
        try:
            for fault in hub.faults:
                if fault(self):
                    return
            self.route()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def route(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        if m := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/revision/(.+)", path):
            return self.list_repo(m[1], m[2], m[3])
        if m := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self.resolve("datasets" if m[1] else "models", m[2], m[3], m[4])
        if m := re.fullmatch(r"/(cdn|api/resolve-cache)/(\w+)", path):
            for repo in self.hub.repos.values():
                for name, data in repo.files.items():
                    if m[2] in (sha256(data), git_id(data)):
                        return self.send_file(data, f'"{m[2]}"', {"X-Repo-Commit": repo.commit} if m[1] != "cdn" else {})
        self.refuse(404, "EntryNotFound")

    def list_repo(self, kind, name, revision):
        repo = self.hub.repos.get((kind, name))
        if not repo:
            return self.refuse(401, "RepoNotFound")
        if revision not in repo.revisions:
            return self.refuse(404, "RevisionNotFound")
        self.send_json(repo.listing())

    def resolve(self, kind, name, revision, path):
        repo = self.hub.repos.get((kind, name))
        if not repo or path not in repo.files:
            return self.refuse(404, "EntryNotFound")
        data = repo.files[path]
        headers = {"X-Repo-Commit": repo.commit}
        if path in repo.lfs:
            headers |= {"X-Linked-Etag": f'"{sha256(data)}"', "X-Linked-Size": str(len(data)), "Location": f"{self.hub.cdn or self.hub.url}/cdn/{sha256(data)}"}
            return self.reply(302, b"", headers)
        self.reply(307, b"", headers | {"Location": f"/api/resolve-cache/{git_id(data)}"})

    def refuse(self, status, code="", extra=None):
        self.reply(status, b"refused", {"X-Error-Code": code} | (extra or {}))

    def send_json(self, value):
        self.reply(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def reply(self, status, body, headers=None, length=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def wanted(self, data, etag):
        """First and last byte asked for, or None for all of it."""
        m = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not m or self.headers.get("If-Range", etag) != etag:
            return None
        return int(m[1]), min(int(m[2]), len(data) - 1)

    def send_file(self, data, etag, headers=None, cut=None, delay=0, lie=None):
        """`cut`: end the connection after that many bytes; `delay`: seconds between pieces; `lie`: another Content-Range."""
        part = self.wanted(data, etag)
        body = data[part[0]:part[1] + 1] if part else data
        self.send_response(206 if part else 200)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if etag:
            self.send_header("ETag", etag)
        if part:
            self.send_header("Content-Range", lie or f"bytes {part[0]}-{part[1]}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        step = 1 << 18
        for at in range(0, len(body), step):
            piece = body[at:at + step]
            if cut is not None and at + len(piece) > cut:
                self.wfile.write(piece[:max(0, cut - at)])
                return self.drop()
            self.wfile.write(piece)
            if delay:
                time.sleep(delay)

    def drop(self, reset=False):
        self.close_connection = True
        self.wfile.flush()
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def data(self):
        """What a /cdn/ address stands for."""
        for repo in self.hub.repos.values():
            for data in repo.files.values():
                if sha256(data) in self.path or git_id(data) in self.path:
                    return data
        return b""
