"""A Hugging Face hub of a few small files on this machine, with faults to order.

It speaks the part of the hub's API that huggingface_hub uses: a repository's files with sizes and
checksums, and the files themselves with ETag, X-Repo-Commit, ranges and X-Error-Code.
"""

import hashlib
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps
from urllib.parse import unquote, urlsplit

API = re.compile(r"/api/(model|dataset)s/([^/]+/[^/]+)(?:/revision/([^/]+))?")
RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Fault:
    """What happens once to the next GET of a file: its answer ends behind so many bytes."""

    behind: int
    stall: threading.Event | None = None  # then nothing comes, and the connection stays


@dataclass
class Hosted:
    commit: str
    files: dict  # bytes by name
    token: str = ""  # gated: none may read files without it
    corrupt: set = field(default_factory=set)  # names of files that do not fit their checksum


def digest(name, data):
    """Weights, Parquet and archives lie in LFS: sha256; others in git: its id of a blob."""
    if name.endswith((".safetensors", ".parquet", ".zip")):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos = {}  # Hosted by (kind, name)
        self.plain = {}  # bytes by path: what is no hub
        self.faults = {}  # Fault by file name
        self.asked = []  # (path, range) of each GET of a file
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, kind, name, files, **options):
        commit = hashlib.sha1(f"{kind} {name}".encode()).hexdigest()
        self.repos[kind, name] = Hosted(options.pop("commit", commit), files, **options)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        if path in self.server.plain:
            self.reply(200, self.server.plain[path])
        elif found := API.fullmatch(path):
            self.info(*found.groups())
        elif found := RESOLVE.fullmatch(path):
            dataset, name, revision, file = found.groups()
            self.file("dataset" if dataset else "model", name, revision, file)
        else:
            self.reply(404)

    do_HEAD = do_GET

    def repo(self, kind, name, revision):
        """The repository at that revision; None if the answer is already given."""
        repo = self.server.repos.get((kind, name))
        if repo is None:
            self.reply(401, X_Error_Code="RepoNotFound")
        elif revision not in (None, "main", repo.commit):
            self.reply(404, X_Error_Code="RevisionNotFound")
        else:
            return repo
        return None

    def info(self, kind, name, revision):
        if (repo := self.repo(kind, name, revision)) is None:
            return
        files = []
        for file, data in repo.files.items():
            entry = {"rfilename": file, "size": len(data), "blobId": "0" * 40}
            found = digest(file, data)
            if len(found) == 64:
                entry["lfs"] = {"sha256": found, "size": len(data), "pointerSize": 134}
            else:
                entry["blobId"] = found
            files.append(entry)
        body = {"id": name, "sha": repo.commit, "private": False, "tags": [], "siblings": files}
        self.reply(200, dumps(body).encode(), Content_Type="application/json")

    def file(self, kind, name, revision, file):
        if (repo := self.repo(kind, name, revision)) is None:
            return
        if file not in repo.files:
            self.reply(404, X_Error_Code="EntryNotFound")
        elif repo.token and self.headers["Authorization"] != f"Bearer {repo.token}":
            self.reply(403, X_Error_Code="GatedRepo")
        else:
            data = repo.files[file]
            about = {"ETag": f'"{digest(file, data)}"', "X_Repo_Commit": repo.commit}
            self.send(file, bytes(len(data)) if file in repo.corrupt else data, about)

    def send(self, name, data, headers):
        part = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        begin, status = (int(part[1]), 206) if part else (0, 200)
        if part:
            headers["Content_Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        if self.command == "GET":
            self.server.asked.append((name, self.headers["Range"]))
        fault = self.server.faults.pop(name, None) if self.command == "GET" else None
        if fault is None:
            self.reply(status, data[begin:], **headers)
            return
        with suppress(ConnectionError):
            self.send_response(status)
            for key, value in {"Content-Length": str(len(data) - begin), **headers}.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(data[begin:begin + fault.behind])
            self.wfile.flush()
            if fault.stall:
                fault.stall.wait(30)
        self.close_connection = True
