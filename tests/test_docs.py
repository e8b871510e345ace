"""The documentation: every page is in the navigation, every link leads somewhere, generated pages are current."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from tests.support.docs_reference import DOCS, EXIT_CODES, pages, slug
from tests.support.readme_tree import README, ROOT
from tunegate import exceptions
from tunegate.cli import main
from tunegate.pipeline.json_schema import pipeline_json_schema, suite_json_schema
from tunegate.verdicts.words import WORDINGS

PAGES = sorted(DOCS.rglob("*.md"))


def _in_nav(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    below = entry.values() if isinstance(entry, dict) else entry
    assert isinstance(below, list) or not isinstance(below, str)
    return [page for one in below for page in _in_nav(one)]  # pyright: ignore[reportGeneralTypeIssues]


def test_every_page_is_in_the_navigation_once() -> None:
    named = _in_nav(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert sorted(named) == sorted(path.relative_to(DOCS).as_posix() for path in PAGES)


def _tokens(path: Path) -> list[tuple[str, str]]:
    """("heading", its text) and ("link", its target) of a page, in their order."""
    found = []
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type != "inline":
            continue
        children = token.children or []
        if before is not None and before.type == "heading_open":
            found.append(("heading", "".join(child.content for child in children)))
        for child in children:
            target = child.attrs.get("href") or child.attrs.get("src")
            if target:
                found.append(("link", str(target)))
    return found


def _anchors(path: Path) -> set[str]:
    return {slug(text) for kind, text in _tokens(path) if kind == "heading"}


@pytest.mark.parametrize("page", [README, ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda path: path.stem)
def test_every_link_and_anchor_resolves(page: Path) -> None:
    for kind, target in _tokens(page):
        if kind == "heading" or re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in _anchors(there), f"{page.name}: {target}"
        if page.is_relative_to(DOCS):
            assert there.is_relative_to(DOCS), f"{page.name}: {target} is not part of the site"


@pytest.mark.parametrize("page", pages())
def test_generated_pages_are_current(page: str) -> None:
    assert (DOCS / page).read_text(encoding="utf-8") == pages()[page], "run `make readme`"


@pytest.mark.parametrize("schema", [pipeline_json_schema(), suite_json_schema()], ids=["pipeline", "suite"])
def test_every_key_says_what_it_is(schema: dict) -> None:  # type: ignore[type-arg]
    for name, part in [("the file", schema), *schema["$defs"].items()]:
        assert part.get("description"), name
        for key, value in part.get("properties", {}).items():
            assert value.get("description"), f"{name}: {key} has no docstring"


def test_the_exit_codes_are_those_of_the_errors() -> None:
    errors = [one for one in vars(exceptions).values() if isinstance(one, type) and hasattr(one, "exit_code")]
    assert {one.exit_code for one in errors} <= set(EXIT_CODES)


def test_the_causes_of_inconclusive_are_those_of_the_code() -> None:
    """Each line of the table quotes what the code says, and each place that raises `Inconclusive` has its line."""
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    table = page.partition("## INCONCLUSIVE (exit code 4)")[2].partition("\n## ")[0]
    said = [quote for cell in re.findall(r"^\| (`.*?`) \|", table, re.M) for quote in re.findall(r"`(.*?)`", cell)]
    quoted = [[part for part in re.split(r" ?… ?", quote) if part] for quote in said]
    sources = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "harness").rglob("*.py"))]
    code = [re.sub(r'"\n\s+f?"', "", source) for source in sources]  # strings on several lines
    for parts in quoted:
        assert any(all(part in text for part in parts) for text in code), parts
    raised = [text for one in code for text in re.findall(r"raise Inconclusive\(\s*(.*)", one)]
    assert len(raised) == sum(source.count("raise Inconclusive(") for source in sources) > 0
    for text in raised:
        assert any(all(part in text for part in parts) for parts in quoted), text
    for kind in ("grouped_luck", "slice_empty", "slice_few", "gap_few", "undecided", "not_shown_not_worse"):
        wording = WORDINGS[kind]
        words = (
            wording
            if isinstance(wording, str)
            else wording(dict.fromkeys(("p_value", "cases", "allowed", "needed"), 1.0))
        )
        assert any(all(part in words for part in parts) for parts in quoted), words


def test_what_inconclusive_means_is_said_alike() -> None:
    meanings = [
        re.findall(r"^\| 4 \| inconclusive: (.*) \|$", page.read_text(encoding="utf-8").replace("docs/", ""), re.M)
        for page in (README, DOCS / "gate.md")
    ]
    assert meanings[0] == meanings[1]
    assert meanings[0][0].partition(" ([")[0] in EXIT_CODES[4][1].lower()


# --- the tutorial ---------------------------------------------------------------------------------------------------


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every block, in order: commands are typed, Python is run, files are written, and output is what was printed."""
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(\w*)\n(.*?)```", text, re.S)
    assert len([1 for kind, _ in blocks if kind == "sh"]) >= 4
    said = ""
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, "tutorial.md", "exec"), {})  # noqa: S102 (our own page)
        elif kind == "yaml":
            Path(block.partition("\n")[0].removeprefix("# ")).write_text(block)
        elif kind == "sh":
            for line in block.splitlines():
                said += _typed(line, monkeypatch, capsys)
        else:
            assert block.strip() in said
    assert "0.649" in said
    assert "0.177" in said


def _typed(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    command, _, remark = line.partition("  # ")
    words = shlex.split(command)
    if words[0] == "cd":
        monkeypatch.chdir(words[1])
        return ""
    expected = int(remark.removeprefix("exit code ") or 0)
    assert main(words[1:]) == expected, line
    return capsys.readouterr().out
