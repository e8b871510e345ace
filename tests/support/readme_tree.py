"""The tree in docs/architecture.md, made from the first sentence of each file: `make readme` writes it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.support.places import ROOT

README = ROOT / "README.md"
INTRODUCTION = """# How it is built

<!-- Made from the code by `make readme`; a test keeps it up to date. -->

Begin with `harness/tunegate/__init__.py`, which names the rooms, then read one file per idea. The way of a case: suite
file → `Suite` → draw → cases → model → responses → checks → outcomes → plan → verdict → record → report, exit code,
promotion. Each arrow is one function.

"""
FOLDERS = ("harness", "suites", "trainers", "reports", "tests")
OTHER_FILES = {
    "pyproject.toml": "packages, extras, and the settings of pytest, ruff and pyright",
    "constraints.txt": "the exact versions that the Makefile installs",
    "constraints-hashed.txt": "the same versions with the SHA-256 of every file, for uv",
    "requirements-core.txt": "the part of it that the core needs, for pip",
    "constraints-ragas.txt": "the same for the extra 'ragas', which needs an environment of its own",
    "Makefile": "demo, test, test-all, lint, bench, docs, readme, hashes, dist",
    ".ci/run": "what CI runs",
    "action.yml": "the gate as a GitHub action",
    "templates/gate.yml": "the gate as a GitLab component",
    ".pre-commit-hooks.yaml": "`tunegate check` and `tunegate leakage` as pre-commit hooks",
    ".github/workflows/release.yml": "builds, attests and publishes a tag",
    "mkdocs.yml": "the documentation as a site, built by `make docs`",
    "docs/checks.md": "every check with its options, made from the code",
    "docs/faults.md": "what comes of each fault at each step: verdict, exit code, record",
    "docs/determinism.md": "when the same model, suite and seed give the same verdict, measured",
    "harness/tunegate/commands/starter_files/": "what `tunegate init` writes",
    "reports/tunegate_reports/assets/": "page, style and scripts of report.html",
    "suites/tunegate_suites/data/gene_expert/": "the demo: pipeline, training rows, preference pairs, bank of cases",
    "suites/tunegate_suites/data/blimp.yaml": "builtin:blimp, minimal pairs of grammar",
    "suites/tunegate_suites/data/dolly.yaml": "builtin:dolly, short instructions",
    "suites/tunegate_suites/data/mmlu.yaml": "builtin:mmlu, exam questions in biology, medicine and business",
    "suites/tunegate_suites/data/piqa.yaml": "builtin:piqa, physical commonsense",
    "suites/tunegate_suites/data/stereotypes.yaml": "builtin:stereotypes, pairs of sentences on gender and age",
    "suites/tunegate_suites/data/stereotypes/": "its pairs, and the script that writes them",
}


def tree() -> str:
    """The tree as a code block, one phrase a file."""
    rows = [(name, OTHER_FILES[name]) for name in OTHER_FILES if not name.startswith(FOLDERS)]
    for folder in FOLDERS:
        files = sorted((ROOT / folder).rglob("*.py"), key=lambda path: (path.parent != ROOT / folder, path))
        rows += [(str(path.relative_to(ROOT)), phrase(path)) for path in files if "gene_expert" not in path.parts]
        rows += [(name, OTHER_FILES[name]) for name in OTHER_FILES if name.startswith(folder)]
    width = max(len(name) for name, _ in rows)
    return "```\n" + "".join(f"{name:<{width}}  {phrase}\n" for name, phrase in rows) + "```\n"


def phrase(path: Path) -> str:
    """The first sentence of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[a-z0-9`\")])[.;](?:\s|$)", first, maxsplit=1)[0].rstrip(".:")


def architecture() -> str:
    """The text of docs/architecture.md."""
    return INTRODUCTION + tree()
