"""Every module, class and function that a docstring, README or a page of docs/ names in backticks exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path

from tests.support.docs_reference import DOCS, pages
from tests.support.readme_tree import README, ROOT

PACKAGES = {"tunegate": "harness", "tunegate_suites": "suites", "tunegate_trainers": "trainers"}
PACKAGES |= {"tunegate_reports": "reports"}
SOURCES = sorted(path for name, folder in PACKAGES.items() for path in (ROOT / folder / name).rglob("*.py"))
TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
FILES = ("yaml", "json", "jsonl", "csv", "md", "html", "txt", "py", "toml", "gz", "xml", "gguf")

ELSEWHERE = {
    "dataclasses.asdict",  # of Python
    *("attestation.py", "helper.py", "palindrome.py", "train_sft.py"),  # a user's own files
    *("run_clm.py", "trainer.save_state()"),  # of transformers
    "pull_request_target",  # of GitHub
    "vX.Y.Z",  # a tag
    *("missed_original", "missed_minimum"),  # error categories, put together when a contrast suite is judged
    *("suites/facts.jsonl", "suites/facts.yaml"),  # of a project that `init` wrote
}
"""What no code of ours defines: each with its reason, and none more than is needed."""


@cache
def known_names() -> set[str]:
    """Whatever the code defines, takes, uses or says in a short text; file names and modules too."""
    names = {name for path in (*SOURCES, *TESTS) for name in (path.stem, path.name, path.parent.name)}
    for path in (*SOURCES, *TESTS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                    names.add(name)
                case ast.arg(arg=name) | ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                    names.add(name)
                case ast.alias(name=name):
                    names |= set(name.split("."))
                case ast.Constant(value=str(text)) if len(text) < 60:
                    names |= set(re.findall(r"\w+", text))
                case _:
                    pass
    return names


@cache
def named() -> list[tuple[str, str]]:
    """(place, name in backticks) of all docstrings and pages."""
    return list(_named())


def _named() -> Iterator[tuple[str, str]]:
    for path in SOURCES:
        for text in _docstrings(path):
            yield from ((str(path.relative_to(ROOT)), name) for name in re.findall(r"`([^`\n]+)`", text))
    made = {DOCS / page for page in pages()} | {DOCS / "checks.md", DOCS / "faults.md"}
    for path in (README, ROOT / "CONTRIBUTING.md", *(page for page in DOCS.rglob("*.md") if page not in made)):
        text = re.sub(r"^ *```.*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
        yield from ((str(path.relative_to(ROOT)), name) for name in re.findall(r"`([^`\n]+)`", text))


def _docstrings(path: Path) -> Iterator[str]:
    """Those of the module, its classes and functions, and the texts under assignments."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def is_stale(name: str, known: set[str], allowed: Set[str] = ELSEWHERE) -> bool:
    """Whether it looks like something of the code, and is nothing that the code knows."""
    if name in allowed:
        return False
    if "/" in name and re.fullmatch(r"[\w./-]+", name) and name.split("/")[0] in (*PACKAGES.values(), "tests", "docs"):
        return not (ROOT / name.split(":")[0]).exists()
    if re.fullmatch(r"\w+\.py", name):
        return name not in known
    if dotted := re.fullmatch(r"([a-z]\w*(?:\.\w+)+)(\(.*\))?", name):
        parts = dotted[1].split(".")
        return parts[-1] not in FILES and not set(parts) <= known
    if re.fullmatch(r"[a-z]+(_[a-z0-9]+)+(\(.*\))?", name) or re.fullmatch(r"([A-Z][a-z0-9]+){2,}(\(.*\))?", name):
        return name.partition("(")[0] not in known
    return False


def test_every_name_in_backticks_exists() -> None:
    known = known_names()
    assert [(place, name) for place, name in named() if is_stale(name, known)] == []


def test_no_exception_is_left_over() -> None:
    known, said = known_names(), {name for _, name in named()}
    assert [name for name in ELSEWHERE if name not in said or not is_stale(name, known, frozenset())] == []


def test_a_stale_name_is_found() -> None:
    known = known_names()
    stale = ("tunegate.vanished", "no_such_function", "NoSuchClass", "vanished.py", "harness/tunegate/vanished.py")
    assert [name for name in stale if not is_stale(name, known)] == []
    real = ("stats.plans", "lucky_pass", "GatePlan", "plans.py", "harness/tunegate/stats/plans.py", "facts.yaml")
    assert [name for name in real if is_stale(name, known)] == []
