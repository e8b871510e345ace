"""A repository with a base branch and a pull request that lowers its own exam, and a stub of GitHub's comments."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.bank import write_jsonl

SUITE = "cases: facts.jsonl\nchecks: [exact]\nplan: {draw: 20, accept: 18}\n"
LOWERED = SUITE.replace("accept: 18", "accept: 1")
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *IDENTITY, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@dataclass(frozen=True)
class PullRequest:
    """`folder` is a shallow clone, as CI has it, of a pull request against the commit `base` of `origin`."""

    folder: Path
    origin: Path
    base: str


def make_pull_request(place: Path, *, right: int = 10) -> PullRequest:
    """Answers of which `right` of 20 are right, beside a suite whose plan, and cases, were made easier."""
    origin = place / "origin"
    (origin / "suites").mkdir(parents=True)
    git(origin, "init", "--quiet")
    cases = [{"id": f"c{n}", "prompt": f"{n} + 1?", "reference": str(n + 1)} for n in range(20)]
    write_jsonl(origin / "suites" / "facts.jsonl", cases)
    (origin / "suites" / "facts.yaml").write_text(SUITE)
    base = _commit(origin)
    git(origin, "switch", "--quiet", "-c", "easier")
    (origin / "suites" / "facts.yaml").write_text(LOWERED)
    write_jsonl(origin / "suites" / "facts.jsonl", [{**case, "reference": "?"} for case in cases])
    (origin / "suites" / "new.yaml").write_text(LOWERED)
    answers = [{"id": f"c{n}", "response": str(n + 1) if n < right else "?"} for n in range(20)]
    write_jsonl(origin / "answers.jsonl", answers)
    _commit(origin)
    git(place, "clone", "--quiet", "--depth=1", "--branch=easier", origin.as_uri(), "clone")
    git(origin, "switch", "--quiet", "main")
    return PullRequest(place / "clone", origin, base)


def _commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "x")
    return git(folder, "rev-parse", "HEAD")


@dataclass
class Comments:
    """The comments of a pull request, and the tokens with which they were asked for."""

    all: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    tokens: set[str] = field(default_factory=set[str])
    refuse: int = 0
    url: str = ""


@contextmanager
def github_stub(comments: Comments) -> Iterator[Comments]:
    """A server on loopback that keeps the comments of pull request 7 of you/project."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = int(self.path.rpartition("page=")[2])
            self._answer(comments.all[(page - 1) * 100 : page * 100])

        def do_POST(self) -> None:
            assert self.path == "/repos/you/project/issues/7/comments"
            made = {
                "id": 1000 + len(comments.all),
                "user": {"type": "Bot"},
                "html_url": "https://example.org/c",
                **self._body(),
            }
            if not comments.refuse:
                comments.all.append(made)
            self._answer(made)

        def do_PATCH(self) -> None:
            [one] = [one for one in comments.all if str(one["id"]) == self.path.rpartition("/")[2]]
            one.update(self._body())
            self._answer(one)

        def _body(self) -> Any:
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, value: Any) -> None:
            comments.tokens.add(str(self.headers["Authorization"]))
            self.send_response(comments.refuse or 200)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        comments.url = f"http://127.0.0.1:{server.server_port}"
        yield comments
        server.shutdown()
