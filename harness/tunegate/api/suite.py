"""Suites and plans in Python: from lists of dicts, DataFrames and `datasets`, with checks as objects or entries.

They go through the same validation as a suite file (`suites.suite.make_suite`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast

from tunegate.cases.case import Case
from tunegate.cases.cases_spec import CasesSpec
from tunegate.cases.from_rows import cases_of, with_numbers
from tunegate.checks.own_check import Check, as_asked
from tunegate.commands.looked_at import check_allowed
from tunegate.exceptions import ConfigError, nearest
from tunegate.reading.spec import read_spec
from tunegate.reading.table_rows import rows_of_dataset
from tunegate.reading.yaml_file import KeyPath, YamlFile, dotted
from tunegate.stats.plans import GatePlan
from tunegate.suites.places import suite_place
from tunegate.suites.suite import Suite as EngineSuite
from tunegate.suites.suite_file import load_suite as load_suite_file
from tunegate.suites.suite_file import make_suite, plan_rule
from tunegate.suites.suite_spec import PlanSpec, SuiteSpec

Rows = Any
"""Dicts or Cases in a list, a pandas DataFrame, a `datasets.Dataset`, or the path of a file."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many cases a gate draws and how many must pass; the keys are those of `plan` in a suite file.

    Example:
        >>> import tunegate
        >>> plan = tunegate.Plan(draw=100, accept=90)
        >>> round(plan.acceptance(0.85), 3)  # how likely a model that is right 85 % of the time passes
        0.099
    """

    draw: int | None = None
    accept: int | None = None
    kind: Literal["single", "double", "sequential", "anytime"] = "single"
    confirm: Mapping[str, int] | int | Literal["never"] | None = None
    risk: Mapping[str, float] | None = None
    curtail: bool | None = None

    def acceptance(self, p: float, attempts: int = 1) -> float:
        """The chance that a model that is right with probability `p` passes within `attempts` attempts."""
        return resolved(self, attempts).acceptance_within(p, attempts)


def resolved(plan: Plan | Mapping[str, Any], attempts: int = 1) -> GatePlan:
    """The plan in numbers; raises ConfigError for an impossible plan."""
    source = InPython(Path("plan"), _said(plan), {})
    rule = plan_rule(read_spec(PlanSpec, source))
    try:
        return rule.resolve(attempts)
    except ConfigError as error:
        raise source.error((), str(error)) from error


def _said(plan: object) -> dict[str, Any]:
    if isinstance(plan, Plan):
        return {name: _listed(value) for name, value in asdict(plan).items() if value is not None}
    if not isinstance(plan, Mapping):
        raise ConfigError(f"plan: expected a Plan or a mapping, got {plan!r:.80}; write Plan(draw=100, accept=90)")
    return {str(key): _listed(value) for key, value in cast("Mapping[object, object]", plan).items()}


class Suite:
    """A bank of cases with the checks that judge them.

    `cases` are dicts or `Case`s in a list, a pandas DataFrame, a `datasets.Dataset`, or the path of a file. `fields`
    maps parts of a case to fields of a row, like `cases` in a suite file: `{"prompt": "{question}"}`. `checks` are
    objects made from `tunegate.Check`, or entries of a suite file: `"exact"`, `{"rougeL": {"min": 0.6}}`. Further
    keywords are the other keys of a suite file: `generate`, `answer`, `slices`, `sealed`, … Paths are relative to the
    working folder. Raises ConfigError with one line for any fault.

    Example:
        >>> import tunegate
        >>> rows = [{"q": "Capital of France?", "a": "Paris"}, {"q": "Capital of Italy?", "a": "Rome"}]
        >>> tunegate.Suite(
        ...     rows,
        ...     ["contains"],
        ...     fields={"prompt": "{q}", "reference": "{a}"},
        ...     plan=tunegate.Plan(draw=2, accept=2),
        ...     name="capitals",
        ... )
        Suite('capitals', 2 cases, checks: contains)
    """

    def __init__(
        self,
        cases: Rows,
        checks: Sequence[Check | str | Mapping[str, Any]],
        *,
        plan: Plan | Mapping[str, Any] | None = None,
        name: str = "suite",
        fields: Mapping[str, Any] | None = None,
        **further: Any,
    ) -> None:
        self.engine = _made(cases, checks, plan, name, fields or {}, further)

    @classmethod
    def of(cls, engine: EngineSuite) -> Suite:
        """The suite that the engine loaded."""
        suite = cls.__new__(cls)
        suite.engine = engine
        return suite

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def cases(self) -> tuple[Case, ...]:
        return self.engine.cases

    @property
    def check_names(self) -> list[str]:
        return self.engine.check_names

    @property
    def sha256(self) -> str:
        """Covers everything that can change a verdict, except the model."""
        return self.engine.sha256

    def __repr__(self) -> str:
        return f"Suite({self.name!r}, {len(self.cases)} cases, checks: {', '.join(self.check_names)})"


def load_suite(path: str | Path) -> Suite:
    """Load a suite file; `builtin:NAME` is a suite that ships with Tunegate. Raises ConfigError for any fault.

    Example:
        >>> import tunegate
        >>> tunegate.load_suite("facts.yaml")
        Suite('facts', 3 cases, checks: exact)
    """
    place = suite_place(str(path), Path())
    from tunegate_suites import wants_of_check

    check_allowed(place, wants_of_check)
    return Suite.of(load_suite_file(place, build_check))


def build_check(entry: object, base_dir: Path, *, file: Path | None = None) -> Any:
    """The check for an object, or for an entry as in a suite file; `file` is that file, if the entry is in one."""
    from tunegate_suites import build_check as build_entry

    if isinstance(entry, Check | type):
        return as_asked(cast(Check, entry))
    if isinstance(entry, str | Mapping):
        return build_entry(cast(object, entry), base_dir, file=file)
    if all(hasattr(entry, member) for member in ("judge", "fingerprint", "batch_size", "variants")):
        return entry  # already a check of the engine
    raise ConfigError(f"expected a name, a mapping or an object of a subclass of tunegate.Check, got {entry!r:.80}")


def _build_own(entry: object, base_dir: Path, *, file: Path | None = None) -> Any:
    """The same for an entry in the user's own Python code, which may do what it says: no file wrote it."""
    return build_check(entry, base_dir)


# --- making ----------------------------------------------------------------------------------------------------------


class InPython(YamlFile):
    """A suite from Python code instead of a file: its errors name a key, but no line."""

    def error(self, keys: KeyPath, message: str) -> ConfigError:
        return ConfigError(": ".join(filter(None, (str(self.path), dotted(keys), message))))


def _made(
    rows: Rows,
    checks: object,
    plan: Plan | Mapping[str, Any] | None,
    name: str,
    fields: Mapping[str, Any],
    further: Mapping[str, Any],
) -> EngineSuite:
    if unknown := [key for key in further if key not in SuiteSpec.model_fields]:
        known = ["fields", *SuiteSpec.model_fields]
        raise ConfigError(f"Suite: {unknown[0]}: unknown keyword{nearest(unknown[0], known)}")
    if isinstance(checks, str | Mapping | Check) or not isinstance(checks, Iterable):
        raise ConfigError(f"Suite {name!r}: checks: expected a list, got {checks!r:.80}")
    entries = list(cast("Iterable[object]", checks))
    in_file = isinstance(rows, str | Path)
    data = {
        "name": name,
        "cases": {"path": str(rows) if in_file else "cases", **_listed(fields)},
        "checks": ["exact"] * len(entries),  # placeholders: `build_check` gets the entries
        **({} if plan is None else {"plan": _said(plan)}),
        **{key: _listed(value) for key, value in further.items()},
    }
    source = InPython(Path(f"Suite {name!r}"), data, {})
    spec = read_spec(SuiteSpec, source)
    cases = None if in_file else _cases(rows, spec.cases, bool(fields))
    spec = spec.model_copy(update={"checks": entries})
    return replace(make_suite(spec, name, source, (), _build_own, cases), path="")


def _cases(rows: Rows, spec: CasesSpec, says_fields: bool) -> tuple[Case, ...]:
    where = Path("cases")
    numbered = list(_numbered(rows, where))
    if not numbered:
        raise ConfigError("cases: expected at least one case, got none")
    if not isinstance(numbered[0][1], Case):
        return cases_of(spec, where, cast("list[tuple[int, dict[str, Any]]]", numbered))
    if says_fields:
        raise ConfigError("cases: `fields` has no effect on Case objects; leave it out")
    return _given_cases([case for _, case in numbered])


def _given_cases(cases: Sequence[object]) -> tuple[Case, ...]:
    """Cases made in Python, after checking the types of their fields."""
    ids: dict[str, int] = {}
    for number, case in enumerate(cases, start=1):
        fault = _fault_of_case(case)
        if fault is None and (first := ids.setdefault(cast(Case, case).id, number)) != number:
            fault = f"the id {cast(Case, case).id!r} is duplicated, first in case {first}; ids must be unique"
        if fault is not None:
            raise ConfigError(f"cases:{number}: {fault}")
    return tuple(with_numbers(cast("Sequence[Case]", cases)))


def _fault_of_case(case: object) -> str | None:
    if not isinstance(case, Case):
        return f"expected a Case, like the cases before it, got {type(case).__name__}"
    if not isinstance(cast(object, case.id), str) or not case.id.strip():
        return f"id: expected a string, got {case.id!r}"
    if not isinstance(cast(object, case.prompt), str | tuple):
        return f"prompt: expected a string or a tuple of chat messages, got {type(case.prompt).__name__}"
    for name in ("references", "choices", "tags"):
        texts: Any = getattr(case, name)
        if not isinstance(texts, tuple) or not all(isinstance(one, str) for one in cast("tuple[object, ...]", texts)):
            return f"{name}: expected a tuple of strings, got {texts!r:.80}"
    return None


def _numbered(rows: Rows, where: Path) -> Iterator[tuple[int, dict[str, Any] | Case]]:
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):  # a DataFrame, recognised without importing pandas
        rows = rows.to_dict("records")
    elif hasattr(rows, "with_format") and hasattr(rows, "features"):
        yield from rows_of_dataset(rows, where)
        return
    if isinstance(rows, Mapping) or not isinstance(rows, Iterable):
        held = f"; use one split: {', '.join(map(str, rows))}" if hasattr(rows, "num_rows") else ""  # pyright: ignore
        raise ConfigError(
            "cases: expected a list of dicts, a DataFrame, a datasets.Dataset or the path of a file, "
            f"got {type(cast(object, rows)).__name__}{held}"
        )
    for number, row in enumerate(cast("Iterable[object]", rows), start=1):
        if isinstance(row, Case):
            yield number, row
        elif isinstance(row, Mapping):
            items = cast("Mapping[object, object]", row).items()
            yield number, {str(name): _plain(value, f"{where}:{number}: {name}") for name, value in items}
        else:
            raise ConfigError(f"{where}:{number}: expected a dict, got {type(row).__name__}")


def _plain(value: Any, where: str) -> Any:
    """A value as in files: values of numpy and pandas become Python's own. Other types have no stable hash."""
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # a number or an array of numpy
        return _plain(value.tolist(), where)
    if value is None or isinstance(value, str | int | float | bytes | date | Decimal):
        return None if value != value else value
    if isinstance(value, Mapping):
        return {str(key): _plain(one, where) for key, one in cast("Mapping[object, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(one, where) for one in cast("Sequence[Any]", value)]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    raise ConfigError(f"{where}: expected text, numbers, lists or dicts, got {type(value).__name__}")


def _listed(value: Any) -> Any:
    """The value with lists for tuples and dicts for other mappings, as in files."""
    if isinstance(value, Mapping):
        return {str(key): _listed(one) for key, one in cast("Mapping[object, Any]", value).items()}
    return [_listed(one) for one in cast("Sequence[Any]", value)] if isinstance(value, list | tuple) else value
