"""Generates docs/checks.md from the checks: `python -m tunegate_suites.reference > docs/checks.md`."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

from pydantic import BaseModel

from tunegate.reading.spec import Spec, attribute_docs
from tunegate_suites import CHECKS
from tunegate_suites.base import CheckBase
from tunegate_suites.build import find
from tunegate_suites.errors import CATEGORIES
from tunegate_suites.judges import rubric
from tunegate_suites.judges.compare import CompareOptions
from tunegate_suites.judges.labels import LabelsOptions
from tunegate_suites.judges.server import ServerOptions

INTRODUCTION = """# Checks

<!-- Made by `python -m tunegate_suites.reference > docs/checks.md`; a test keeps it up to date. -->

A suite's `checks` list has one check per item; a case passes when all its checks pass. An item is a name (`- exact`), a
name with options (`- rougeL: {min: 0.6}`), a name with its main option (`- contains: autosomal`), or that with further
options next to it (`- {python: "metrics:fluency", min: 0.5}`). Paths are relative to the suite file.

Every check gives a value, a verdict, a reason and its version. A case that could not be judged (no reference, a judge
that is down, a metric that raised, a score that is NaN) is INVALID: never a pass, and never the model's failure.

For stereotypes, groups and personal data, see [ethics before deployment](ethics.md).
"""


def reference() -> str:
    """The text of docs/checks.md."""
    names: dict[type[CheckBase], list[str]] = {}
    for name in CHECKS:
        names.setdefault(find(name), []).append(name)
    parts = [INTRODUCTION, _table(names)]
    parts += [_section(check, " ".join(f"`{name}`" for name in known)) for check, known in names.items()]
    parts += [_part("Options of a `server`", ServerOptions), _part("Options of `compare`", CompareOptions)]
    parts += [_part("Options of `labels` in a judge file", LabelsOptions), _categories()]
    parts += [_rubric(), _part("An example in a rubric file", rubric.Example)]
    return "\n".join(parts)


def _table(names: dict[type[CheckBase], list[str]]) -> str:
    rows = ["| check | what | passes when | extra |", "|---|---|---|---|"]
    for check, known in names.items():
        shown = ", ".join(f"`{name}`" for name in known)
        if "rouge1" in known:
            shown += ", `rouge3` … `rouge9`"
        rows.append(f"| {shown} | {_summary(check)} | {check.passes_when} | {check.extra or 'none'} |")
    return "\n".join(rows) + "\n"


def _section(check: type[CheckBase], title: str) -> str:
    shorthand = f"The main option is `{check.shorthand}`.\n\n" if check.shorthand else ""
    text = "\n".join(line.strip() for line in (check.__doc__ or "").strip().splitlines())
    return f"## {title}\n\n{text}\n\n```yaml\n- {check.example}\n```\n\n{shorthand}{_options(check)}"


def _part(title: str, model: type[BaseModel]) -> str:
    return f"## {title}\n\n{_options(model)}"


def _rubric() -> str:
    example = textwrap.dedent((rubric.__doc__ or "").partition("\n\n")[2]).strip()
    return f"## A rubric file\n\n```yaml\n{example}\n```\n\n{_options(rubric.Rubric)}"


def _categories() -> str:
    rows = ["| category | what |", "|---|---|"]
    for name, category in CATEGORIES.items():
        first = " ".join((category.__doc__ or "").strip().split("\n\n")[0].split())
        rows.append(f"| `{name}` | {first} |")
    return "## Error categories\n\n" + "\n".join(rows) + "\n"


def _options(model: type[BaseModel]) -> str:
    rows = ["| option | default | what |", "|---|---|---|"]
    docs = attribute_docs(model) if issubclass(model, Spec) else {}
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else f"`{_yaml(field.get_default(call_default_factory=True))}`"
        what = " ".join((field.description or docs.get(name, "")).split()).replace("|", "\\|")
        rows.append(f"| `{field.alias or name}` | {default} | {what} |")
    return "\n".join(rows) + "\n"


def _yaml(value: Any) -> str:
    """A default as written in YAML."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    words = {None: "none", True: "true", False: "false", "": '""'}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _summary(check: type[CheckBase]) -> str:
    return (check.__doc__ or "").strip().splitlines()[0]


if __name__ == "__main__":
    sys.stdout.write(reference())
