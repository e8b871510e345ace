"""A user's home with a project, where the test works, and a stranger's downloads, which nobody trusts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl

SENTINEL = """import pathlib

pathlib.Path({!r}).write_text("ran")


def short(case, text):
    return len(text) < 80
"""


@dataclass
class Home:
    """The places of a test; `ran` is a file that a stranger's code would write."""

    place: Path

    @property
    def project(self) -> Path:
        return self.place / "project"

    @property
    def downloads(self) -> Path:
        return self.place / "downloads"

    @property
    def ran(self) -> bool:
        return (self.place / "ran").exists()

    def suite(self, folder: Path, checks: str, name: str = "suite.yaml") -> Path:
        """A suite of two cases with these checks, in a folder that also has code, and answers."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = [{"id": one, "prompt": f"{one}?", "reference": one} for one in "ab"]
        write_jsonl(folder / "cases.jsonl", rows)
        write_jsonl(folder / "answers.jsonl", [{"id": one, "response": one} for one in "ab"])
        (folder / "metrics.py").write_text(SENTINEL.format(str(self.place / "ran")))
        (folder / name).write_text(f"cases: cases.jsonl\nchecks:\n{checks}\nplan: {{draw: 2, accept: 2}}\n")
        return folder / name

    def settings(self, text: str) -> Path:
        """Write the user's settings."""
        path = self.place / ".config" / "tunegate" / "settings.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path / "home")
    home.project.mkdir(parents=True)
    home.downloads.mkdir()
    monkeypatch.setenv("HOME", str(home.place))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("TUNEGATE_TRUST", raising=False)
    monkeypatch.chdir(home.project)
    return home
