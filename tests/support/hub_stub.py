"""A stub of the Hugging Face Hub's API on loopback: one model repository with commits, pull requests and tags."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class Repository:
    """`commits` by their hash, `refs` to a commit; what was asked for, and with which token."""

    name: str
    commits: dict[str, Files] = field(default_factory=dict[str, Files])
    refs: dict[str, str] = field(default_factory=dict[str, str])
    asked: list[str] = field(default_factory=list[str])
    tokens: set[str | None] = field(default_factory=set[str | None])
    url: str = ""
    changes: bytes = b""
    """Appended to each file of weights that is committed: a server that stores something else."""

    def commit(self, files: Files, ref: str) -> str:
        number = f"{len(self.commits):040x}"
        self.commits[number] = files
        self.refs[ref] = number
        return number

    def files_at(self, revision: str) -> tuple[str, Files] | None:
        number = self.refs.get(revision, revision)
        return (number, self.commits[number]) if number in self.commits else None


@contextmanager
def hub(name: str, files: Files) -> Generator[Repository]:
    """The server; the main branch begins with these files."""
    repository = Repository(name)
    repository.commit(files, "main")

    class Handler(_Handler):
        repo = repository

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        repository.url = f"http://127.0.0.1:{server.server_port}"
        yield repository
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    repo: Repository
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._route({
            rf"/api/models/{self.repo.name}(?:/revision/(.+))?": self._info,
            rf"/api/models/{self.repo.name}/tree/(.+)": self._tree,
            rf"/{self.repo.name}/resolve/([^/]+|refs/pr/\d+)/(.+)": self._file,
        })  # fmt: skip

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._route({
            "/api/validate-yaml": self._validate,
            rf"/api/models/{self.repo.name}/preupload/(.+)": self._preupload,
            rf"/api/models/{self.repo.name}/commit/(.+)": self._commit,
            rf"/api/models/{self.repo.name}/tag/(.+)": self._tag,
        })  # fmt: skip

    def _route(self, routes: dict[str, Any]) -> None:
        path = unquote(urlsplit(self.path).path)
        self.repo.asked.append(f"{self.command} {path}")
        self.repo.tokens.add(self.headers["Authorization"])
        for pattern, answer in routes.items():
            if found := re.fullmatch(pattern, path):
                answer(*found.groups())
                return
        self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def _info(self, revision: str | None) -> None:
        if (found := self.repo.files_at(revision or "main")) is None:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = [{"rfilename": name} for name in found[1]]
        self._json(
            {
                "id": self.repo.name,
                "sha": found[0],
                "siblings": siblings,
                "private": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
            }
        )

    def _tree(self, revision: str) -> None:
        found = self.repo.files_at(revision)
        assert found
        self._json(
            [{"type": "file", "path": name, "size": len(data), "oid": _oid(data)} for name, data in found[1].items()]
        )

    def _file(self, revision: str, name: str) -> None:
        found = self.repo.files_at(revision)
        if found is None or name not in found[1]:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": found[0] if found else ""})
            return
        self._send(200, found[1][name], {"X-Repo-Commit": found[0], "ETag": f'"{_oid(found[1][name])}"'})

    def _preupload(self, revision: str) -> None:
        files = [{**one, "uploadMode": "regular", "shouldIgnore": False} for one in self._body()["files"]]
        self._json({"files": files})

    def _commit(self, revision: str) -> None:
        lines = [json.loads(line) for line in self._read().splitlines()]
        files = dict(self.repo.commits[self.repo.refs[revision]])
        for line in lines:
            if line["key"] == "file":
                name, content = line["value"]["path"], base64.b64decode(line["value"]["content"])
                files[name] = content + (self.repo.changes if name == "weights.txt" else b"")
        asks = "create_pr=1" in self.path
        number = len([ref for ref in self.repo.refs if ref.startswith("refs/pr/")]) + 1
        oid = self.repo.commit(files, f"refs/pr/{number}" if asks else revision)
        request = {"pullRequestUrl": f"{self.repo.url}/{self.repo.name}/discussions/{number}"} if asks else {}
        self._json(
            {
                "success": True,
                "commitOid": oid,
                "commitUrl": f"{self.repo.url}/{self.repo.name}/commit/{oid}",
                **request,
            }
        )

    def _validate(self) -> None:
        assert self._body()["repoType"] == "model"
        self._json({"errors": [], "warnings": []})

    def _tag(self, revision: str) -> None:
        self.repo.refs[self._body()["tag"]] = revision
        self._json({})

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _body(self) -> Any:
        return json.loads(self._read())

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, code: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
