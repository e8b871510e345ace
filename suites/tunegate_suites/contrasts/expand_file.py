"""`tunegate suite expand`: writes the groups of a suite's cases as a separate suite that people can read."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from tunegate.cases.from_rows import select
from tunegate.checks.check import CheckBuilder
from tunegate.exceptions import CannotJudge, ConfigError, nearest
from tunegate.hashes import sha256_of
from tunegate.pipeline.pipeline_file import suite_place
from tunegate.reading.files import resolve
from tunegate.reading.rows import Row, read_rows
from tunegate.reading.spec import read_spec
from tunegate.reading.yaml_file import KeyPath, YamlFile, load_yaml
from tunegate.suites.suite_file import load_suite
from tunegate.suites.suite_spec import SuiteSpec
from tunegate.trust.allowed import in_one_line, refusals, refuse, user_trust
from tunegate.trust.wants import Wants
from tunegate_suites import wants_of_check
from tunegate_suites.contrasts.changes import Hook
from tunegate_suites.contrasts.expand import RuleFault, expand
from tunegate_suites.contrasts.rules import RulesSpec
from tunegate_suites.foreign import output_aside
from tunegate_suites.user_module import UserModule, code_of, load_function


@dataclass(frozen=True, slots=True)
class Source:
    """A suite as written, and the rows of its cases."""

    spec: SuiteSpec
    name: str
    path: Path
    rows: list[Row]


def expand_file(suite: str, rules_path: str, out: Path, build_check: CheckBuilder) -> dict[str, Any]:
    """Write the expanded suite to `out` (.yaml) and its rows next to it (.jsonl); returns the facts for `--json`.

    `suite` is a suite file, `builtin:NAME`, or a suite of a pipeline file as `FILE#NAME`.
    """
    if out.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out {out}: expected the name of a suite file that ends in .yaml")
    rows_path = out.with_suffix(".jsonl")
    for path in (out, rows_path):
        if path.exists():
            raise ConfigError(f"{path}: the file already exists and is not overwritten; choose another --out")
    source = read_source(suite)
    rules_file = load_yaml(resolve(rules_path, Path()))
    rules = read_spec(RulesSpec, rules_file)
    _check_allowed(suite, rules, rules_file)
    _check_builds(suite, build_check)
    hooks, modules = _hooks(rules, rules_file)
    try:
        made = expand(source.spec.cases, source.rows, rules, hooks)
    except RuleFault as error:
        index = [rule.name for rule in rules.rules].index(error.rule)
        raise rules_file.error(("rules", index), str(error)) from error
    if not made.rows:
        raise rules_file.error(("rules",), f"no case of {suite} gets a group; does `where` fit its rows?")
    origin = {
        "suite": source.name,
        "rules": rules_file.path.name,
        "rules_sha256": hashlib.sha256("".join([sha256_of(rules_file.path), *modules]).encode()).hexdigest(),
    }
    _write(rows_path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made.rows))
    _write(out, _suite_text(source, out, origin))
    try:
        sha256 = load_suite(out, build_check).sha256
    except ConfigError as error:
        out.unlink()
        rows_path.unlink()
        raise ConfigError(f"{error}; nothing was written (paths in checks start from the folder of --out)") from error
    return {
        **origin,
        "written": [str(out), str(rows_path)],
        "suite_sha256": sha256,
        "cases": len(source.rows),
        "groups": len(made.rows),
        "left_out": made.left_out,
        "by_rule": [asdict(count) for count in made.rules],
    }


def _check_allowed(suite: str, rules: RulesSpec, rules_file: YamlFile) -> None:
    """Raise ConfigError with all that the suite and the rules may not do, before any of their code runs."""
    file, spec, _ = _spec(suite)
    trust = user_trust()
    lines: list[str] = []
    for entry in spec.checks:
        with suppress(ConfigError):  # building it says what is wrong with it
            for by, wants in wants_of_check(entry, file.path.parent, file.path):
                lines += [str(file.error(("checks",), line)) for line in refusals(wants, by, trust)]
    for keys, name in _functions(rules):
        with suppress(ConfigError):
            wants = Wants(runs=code_of(name, rules_file.path.parent, "python"))
            lines += [str(rules_file.error(keys, line)) for line in refusals(wants, rules_file.path, trust)]
    if lines:
        raise ConfigError(in_one_line(list(dict.fromkeys(lines))))


def _functions(rules: RulesSpec) -> Iterator[tuple[KeyPath, str]]:
    """The user's functions that the rules name, and the keys that name them."""
    for index, rule in enumerate(rules.rules):
        for number, change in enumerate(rule.change):
            if change.python is not None:
                yield ("rules", index, "change", number, "python"), change.python


def _check_builds(suite: str, build_check: CheckBuilder) -> None:
    """Raise ConfigError for what the suite may not do: in the new file it would count as the user's own."""
    file, spec, _ = _spec(suite)
    for entry in spec.checks:
        try:
            build_check(entry, file.path.parent, file=file.path)
        except ConfigError as error:
            raise file.error((), str(error)) from error


def read_source(suite: str) -> Source:
    """A suite's spec and rows, by a name as in `expand_file`."""
    file, spec, name = _spec(suite)
    path = resolve(spec.cases.path, file.path.parent)
    rows = select(read_rows(path, spec.cases.split, spec.cases.delimiter), spec.cases.where, path)
    return Source(spec, name, path, [row for _, row in rows])


def _spec(suite: str) -> tuple[YamlFile, SuiteSpec, str]:
    place, _, name = suite.partition("#")
    file = load_yaml(suite_place(place, Path()))
    if not name:
        if isinstance(file.data, dict) and "stages" in file.data:
            known = ", ".join(f"{place}#{each}" for each in file.data.get("suites", {}))
            raise ConfigError(f"{place}: this is a pipeline file; name one of its suites: {known}")
        spec = read_spec(SuiteSpec, file)
        return file, spec, spec.name or file.path.stem.removesuffix(".gate")
    entries = file.data.get("suites") if isinstance(file.data, dict) else None
    if not isinstance(entries, dict) or name not in entries:
        raise ConfigError(f"{place}: the file has no suite {name!r}{nearest(name, entries or ())}")
    if isinstance(entries[name], str):
        return _spec(str(suite_place(entries[name], file.path.parent)))
    return file, read_spec(SuiteSpec, file, ("suites", name), entries[name]), name


def _hooks(rules: RulesSpec, file: YamlFile) -> tuple[dict[str, Hook], list[str]]:
    """The user's functions by their name in the rules, and the hashes of their modules."""
    hooks: dict[str, Hook] = {}
    hashes: dict[str, str] = {}
    for keys, name in _functions(rules):
        try:
            refuse(Wants(runs=code_of(name, file.path.parent, "python")), file.path, user_trust())
            function, module = load_function(name, file.path.parent)
        except ConfigError as error:
            raise file.error(keys, str(error)) from error
        hooks[name], hashes[name] = _contained(name, function, module), module.sha256
    return hooks, [hashes[name] for name in sorted(hashes)]


def _contained(name: str, function: Callable[..., Any], module: UserModule) -> Hook:
    """The user's function, wrapped so that it finds neighbouring modules and its errors name it."""

    def called(row: Row, chance: random.Random) -> Row | None:
        try:
            with output_aside(), module.in_place():
                made = function(row, chance)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # including sys.exit(): the function is at fault
            raise ConfigError(f"{name}: the function raised {type(error).__name__}: {error}") from error
        if made is not None and not isinstance(made, dict):
            raise ConfigError(
                f"{name}: the function returned {type(made).__name__}; return the changed row, or None if it does "
                "not apply"
            )
        return made  # pyright: ignore[reportUnknownVariableType]

    return called


def _suite_text(source: Source, out: Path, origin: Mapping[str, str]) -> str:
    spec = source.spec
    kept = spec.model_dump(exclude_unset=True, exclude={"name", "cases", "checks"})
    data = {
        "name": f"{source.name}-contrast",
        "cases": out.with_suffix(".jsonl").name,
        "checks": [{"contrast": {"checks": spec.checks}}],
        **kept,
    }
    head = (
        "# Made by `tunegate suite expand`. A row is a group, a case with its changed copies; all of them must pass.\n"
        f"# suite: {origin['suite']}; rules: {origin['rules']} {origin['rules_sha256'][:12]}\n"
    )
    return head + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise CannotJudge(f"{path}: cannot write this file: {error.strerror}") from error
