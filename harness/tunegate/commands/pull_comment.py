"""`tunegate ci comment`: one comment on a pull request, which each run of the gate replaces."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunegate.addresses import check_address
from tunegate.commands import console
from tunegate.exceptions import CannotJudge, ConfigError

PAGE = 100
TIMEOUT = 30.0


@dataclass(frozen=True)
class Pull:
    """A pull request on a GitHub server, and the token that may comment on it."""

    api: str
    repository: str
    number: int
    token: str

    @property
    def comments(self) -> str:
        return f"{self.api}/repos/{self.repository}/issues/{self.number}/comments"


def comment(options: Namespace) -> int:
    """Write or replace the comment. GitHub's environment variables name the pull request."""
    text = Path(options.file).read_text(encoding="utf-8")
    mark = text.partition("\n")[0]
    if not mark.startswith("<!-- tunegate"):
        raise ConfigError(f"{options.file}: not a comment of `tunegate ci gate`; give its comment.md")
    pull = pull_of(os.environ)
    earlier = _earlier(pull, mark)
    if earlier is None:
        made = _ask(pull, "POST", pull.comments, {"body": text})
    else:
        made = _ask(pull, "PATCH", f"{pull.api}/repos/{pull.repository}/issues/comments/{earlier}", {"body": text})
    facts = {"comment": made.get("html_url"), "replaced": earlier is not None}
    if options.json:
        console.show_json(facts)
    else:
        console.show(f"comment {'replaced' if earlier is not None else 'written'}: {made.get('html_url')}")
    return 0


def pull_of(environment: Mapping[str, str]) -> Pull:
    """The pull request of a GitHub step; raises ConfigError outside one."""
    names = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_EVENT_PATH", "GITHUB_TOKEN")
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise ConfigError(f"the environment variables {', '.join(missing)} are not set; run this in a step on GitHub")
    api, repository, event, token = (environment[name] for name in names)
    check_address(api, "GITHUB_API_URL")
    try:
        number = json.loads(Path(event).read_text(encoding="utf-8"))["pull_request"]["number"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{event}: not the event of a pull request ({error!r}); run this only on the event pull_request"
        ) from error
    return Pull(api.rstrip("/"), repository, int(number), token)


def _earlier(pull: Pull, mark: str) -> int | None:
    """The comment of an earlier run. It must be by a bot: anyone can write a comment that begins with the mark."""
    page = 1
    while True:
        found: Any = _ask(pull, "GET", f"{pull.comments}?per_page={PAGE}&page={page}")
        for one in found:
            if str(one.get("body", "")).startswith(mark) and one.get("user", {}).get("type") == "Bot":
                return int(one["id"])
        if len(found) < PAGE:
            return None
        page += 1


def _ask(pull: Pull, method: str, url: str, body: Mapping[str, str] | None = None) -> Any:
    headers = {
        "Authorization": f"Bearer {pull.token}",
        "Accept": "application/vnd.github+json",
        "Content-Type": "application/json",
        "User-Agent": "tunegate",
    }
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        error.close()
        hint = "; the job needs `permissions: pull-requests: write`" if error.code in (401, 403, 404) else ""
        raise CannotJudge(f"{method} {url}: the server answered {error.code}{hint}") from error
    except (OSError, ValueError) as error:
        raise CannotJudge(f"{method} {url}: {error}") from error
