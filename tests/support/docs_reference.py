"""The pages docs/reference/*.md and docs/architecture.md, made from the code: `make readme` writes them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from tests.support.readme_tree import ROOT, architecture
from tunegate import exceptions
from tunegate.command_line import build_parser
from tunegate.pipeline.json_schema import pipeline_json_schema, suite_json_schema

DOCS = ROOT / "docs"
MADE = "<!-- Made from the code by `make readme`; a test keeps it up to date. -->"

INCONCLUSIVE = "Too little evidence for a verdict, most often because the bank has too few fresh cases"
EXIT_CODES = {
    0: ("passed", "The gate passed; of a run, every gate of every stage."),
    1: ("failed", "A gate failed, and the attempts are used up."),
    2: ("wrong usage", "The files or the command line are wrong. One line says what to do. Nothing was run."),
    3: ("invalid", "No verdict: a check raised, a judge did not answer, a case leaked, the disk is full."),
    4: ("inconclusive", f"{INCONCLUSIVE} ([all causes](../troubleshooting.md#inconclusive-exit-code-4))."),
    5: ("tampered", "Bytes on disk differ from those that the record vouches for."),
    6: ("waived", "Passed, but only because a waiver excused a miss; `--allow-waived` makes this 0."),
    130: ("interrupted", "Ctrl-C. The command that goes on is printed."),
    143: ("terminated", "SIGTERM. The command that goes on is printed."),
}  # fmt: skip


@cache
def pages() -> dict[str, str]:
    """Every generated page but docs/checks.md, which `tunegate_suites.reference` makes: path in docs/ to text."""
    return {
        "architecture.md": architecture(),
        "reference/suite-file.md": keys_page("The suite file", suite_json_schema()),
        "reference/pipeline-file.md": keys_page("The pipeline file", pipeline_json_schema(), "SuiteSpec"),
        "reference/commands.md": commands(),
        "reference/exit-codes.md": exit_codes(),
    }


# --- keys of a file -------------------------------------------------------------------------------------------------


def keys_page(title: str, schema: dict[str, Any], elsewhere: str = "") -> str:
    """A table for the file and one for each mapping in it; `elsewhere` is described on the page of the suite file."""
    places = dict(_mappings(schema, elsewhere))
    parts = [f"# {title}\n\n{MADE}\n\n{_text(schema.get('description', ''))}\n"]
    parts.append(_keys(schema, places, elsewhere))
    for name, path in places.items():
        part = schema["$defs"][name]
        parts.append(f"## `{path}`\n\n{_text(part.get('description', ''))}\n\n{_keys(part, places, elsewhere)}")
    return "\n".join(parts)


def _mappings(schema: dict[str, Any], elsewhere: str) -> Iterator[tuple[str, str]]:
    """(definition, path of its key), each once, at the first place where it is used, in the order of the file."""
    seen, waiting = {elsewhere}, [("", schema)]
    while waiting:
        path, part = waiting.pop(0)
        for key, value in part.get("properties", {}).items():
            for name, suffix in _references(value):
                if name not in seen:
                    seen.add(name)
                    place = f"{path}.{key}{suffix}".lstrip(".")
                    yield name, place
                    waiting.append((place, schema["$defs"][name]))


def _references(value: Any, suffix: str = "") -> Iterator[tuple[str, str]]:
    if "$ref" in value:
        yield value["$ref"].rsplit("/", 1)[1], suffix
    for one in value.get("anyOf", value.get("oneOf", [])):
        yield from _references(one, suffix)
    if isinstance(value.get("items"), dict):
        yield from _references(value["items"], suffix + "[]")
    if isinstance(value.get("additionalProperties"), dict):
        yield from _references(value["additionalProperties"], suffix + ".NAME")


def _keys(part: dict[str, Any], places: Mapping[str, str], elsewhere: str) -> str:
    rows = ["| key | value | default | what |", "|---|---|---|---|"]
    required = part.get("required", [])
    for key, value in part["properties"].items():
        kinds = " or ".join(dict.fromkeys(_kinds(value, places, elsewhere)))
        rows.append(f"| `{key}` | {kinds} | {_default(key, value, required)} | {_cell(value.get('description', ''))} |")
    return "\n".join(rows) + "\n"


def _default(key: str, value: dict[str, Any], required: list[str]) -> str:
    if key in required:
        return "**required**"
    default = value.get("default")
    if default is None or isinstance(default, dict) or default == []:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _kinds(value: dict[str, Any], places: Mapping[str, str], elsewhere: str) -> Iterator[str]:
    """What may stand there, in words."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[1]
        yield "[a suite](suite-file.md)" if name == elsewhere else f"[mapping](#{slug(places[name])})"
    elif options := value.get("anyOf", value.get("oneOf")):
        for one in options:
            yield from _kinds(one, places, elsewhere)
    elif "enum" in value or "const" in value:
        yield ", ".join(f"`{word}`" for word in value.get("enum", [value.get("const")]))
    elif value.get("type") == "array":
        yield "list of " + " or ".join(dict.fromkeys(_kinds(value["items"], places, elsewhere)))
    elif value.get("type") == "object":
        of = value.get("additionalProperties", True)
        yield "mapping" + (
            f" of names to {' or '.join(_kinds(of, places, elsewhere))}" if isinstance(of, dict) and of else ""
        )
    elif (kind := value.get("type")) in _WORDS:
        yield _WORDS[kind] + _bounds(value)


_WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def _bounds(value: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {value[name]:g}" for name, sign in signs.items() if name in value]
    return f" ({', '.join(found)})" if found else ""


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and Python-Markdown make it."""
    kept = "".join(sign for sign in heading.lower() if sign.isalnum() or sign in " -_")
    return kept.strip().replace(" ", "-")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _text(docstring: str) -> str:
    return "\n".join(line.strip() for line in docstring.strip().splitlines())


# --- commands and exit codes ----------------------------------------------------------------------------------------


def commands() -> str:
    """Every command with its arguments, from the parser."""
    parts = [f"# Commands\n\n{MADE}\n\nThe [exit code](exit-codes.md) of a command is its verdict.\n"]
    for name, parser in _subparsers(build_parser()):
        parts.append(f"## `{name}`\n\n{parser.description}\n\n{_arguments(parser)}")
    return "\n".join(parts)


def _subparsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if action.nargs == argparse.PARSER and isinstance(action.choices, Mapping):
            for sub in action.choices.values():
                below = list(_subparsers(sub))
                yield from below or [(sub.prog, sub)]


def _arguments(parser: argparse.ArgumentParser) -> str:
    rows = ["| argument | what |", "|---|---|"]
    for action in parser._actions:
        if action.dest != "help":
            shown = ", ".join(action.option_strings) or str(action.metavar or action.dest)
            value = "" if action.nargs == 0 or not action.option_strings else f" {_metavar(action)}"
            rows.append(
                f"| `{shown}{value}` | {_cell(action.help or '')} |".replace("%(default)s", str(action.default))
            )
    return "\n".join(rows) + "\n"


def _metavar(action: argparse.Action) -> str:
    if action.metavar:
        return str(action.metavar)
    return "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()


def exit_codes() -> str:
    """The exit codes, and the errors that end with each of them."""
    rows = ["| code | word | meaning |", "|---|---|---|"]
    rows += [f"| {code} | {word} | {meaning} |" for code, (word, meaning) in EXIT_CODES.items()]
    errors = [
        one
        for one in vars(exceptions).values()
        if isinstance(one, type) and issubclass(one, exceptions.TunegateError) and one.exit_code in EXIT_CODES
    ]
    by_error = ["| error in Python (`tunegate.exceptions`) | code | what |", "|---|---|---|"]
    by_error += [
        f"| `{one.__name__}` | {one.exit_code} | {_cell((one.__doc__ or '').split(chr(10) * 2)[0])} |" for one in errors
    ]
    table = "\n".join(rows)
    exception = (
        "`tunegate report` says whether the report was written, not what the run's verdict is; with `--recheck`, 5 "
        "says that the record\ndisagrees. `tunegate compare` ends with 1 only when `--max-drop` is given and missed."
    )
    return f"# Exit codes\n\n{MADE}\n\n{table}\n\n{exception}\n\n" + "\n".join(by_error) + "\n"


if __name__ == "__main__":
    for page, text in pages().items():
        (DOCS / page).parent.mkdir(exist_ok=True)
        (DOCS / page).write_text(text, encoding="utf-8")
