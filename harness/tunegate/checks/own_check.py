"""`tunegate.Check`, for checks that users write: one method, and defaults for the rest of the engine's interface.

The engine judges in batches and needs findings (`check.Check`); `as_asked` converts a user's check to that interface.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import numbers
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, ClassVar, cast, get_args

from tunegate.cases.case import Case, Prompt
from tunegate.checks.check import Need, Sample
from tunegate.checks.outcome import Finding, Verdict
from tunegate.checks.sources import dotted_name, is_installed, local_sources, sources_sha256
from tunegate.exceptions import ConfigError, nearest, without_addresses
from tunegate.reading.files import one_line


class Check:
    """A check of your own: write `judge`.

    `judge` gets one sample (`sample.case`, `sample.response.text`) and returns whether it passes, or a number that is
    compared with `min` and `max`, or a `Finding`. A failed assertion is a miss, as in pytest; any other exception makes
    the case INVALID, never a miss and never a pass.

    `needs` names the parts that a case must have (`reference`, `choices`, `context`). `needs_choices` asks the model
    for the likelihood of each choice instead of an answer. `variants` gives additional prompts; their answers are
    `sample.variants`. `max_errors` caps error categories over a whole gate. `can_fail` is False for a check that only
    reports. Raise `version` whenever the same answer may get a different finding.

    Example:
        >>> import tunegate
        >>> class Short(tunegate.Check):
        ...     max = 20
        ...     def judge(self, sample):
        ...         return len(sample.response.text)
        >>> suite = tunegate.Suite([{"prompt": "Capital of France?"}], [Short()], plan={"draw": 1, "accept": 1})
        >>> suite.check_names
        ['short']
    """

    name: str = "check"
    """Default: the class's name, in lower case with underscores."""
    version: str = "1"
    min: float | None = None
    """The lowest number that passes."""
    max: float | None = None
    """The highest number that passes."""
    needs: tuple[Need, ...] = ()
    needs_choices: bool = False
    max_errors: ClassVar[Mapping[str, int]] = {}
    can_fail: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def judge(self, sample: Sample) -> bool | float | Finding:
        """Whether the answer passes, its score, or a finding."""
        raise NotImplementedError

    def variants(self, case: Case) -> Sequence[Prompt]:
        """Additional prompts for the model besides the case's own prompt."""
        return ()

    @property
    def fingerprint(self) -> str:
        """Everything that can change a finding, as JSON: name, version, options, and the hash of the source."""
        options = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        facts = {
            "name": self.name,
            "version": self.version,
            "options": {"min": self.min, "max": self.max, **options},
            "sources_sha256": source_of(type(self)),
        }
        return json.dumps(facts, sort_keys=True, ensure_ascii=False, default=lambda one: without_addresses(repr(one)))


@dataclass(frozen=True)
class OwnCheck:
    """A user's check with the engine's interface (`check.Check`).

    `origin` names the package of an installed check, for people.
    """

    own: Check
    name: str
    version: str
    fingerprint: str
    needs_choices: bool
    needs: tuple[Need, ...]
    max_errors: dict[str, int]
    can_fail: bool
    origin: str = ""
    batch_size: int = 1

    def variants(self, case: Case) -> tuple[Prompt, ...]:
        return tuple(self.own.variants(case))

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        return [self._judge(sample) for sample in samples]

    def _judge(self, sample: Sample) -> Finding:
        try:
            # Tunegate's own output may have to be a single JSON object.
            with redirect_stdout(sys.stderr):
                found = cast(object, self.own.judge(sample))
        except AssertionError as error:
            reason = one_line(error) or "assertion failed"
            return Finding(self.name, Verdict.FAIL, False, reason, self.version, detail=traceback.format_exc())
        if isinstance(found, Finding):
            return found
        if _is_bool(found):
            verdict = Verdict.PASS if found else Verdict.FAIL
            return Finding(self.name, verdict, bool(found), f"returned {bool(found)}", self.version)
        if isinstance(found, numbers.Real):
            return self._scored(float(found))
        return self._invalid(f"judge returned {_kind(found)}; return True or False, a number, or a Finding")

    def _scored(self, score: float) -> Finding:
        low, high = self.own.min, self.own.max
        if low is None and high is None:
            return self._invalid(
                f"judge returned {score:g}, but the check does not say which numbers pass: set `min` or `max`"
            )
        if not math.isfinite(score):
            return self._invalid(f"the score is {score}")
        ok = (low is None or score >= low) and (high is None or score <= high)
        bounds = [f">= {low:g}" if low is not None else "", f"<= {high:g}" if high is not None else ""]
        reason = f"{score!r} {'is' if ok else 'is not'} {' and '.join(filter(None, bounds))}"
        cutoff = float(low if low is not None else cast(float, high))
        return Finding(self.name, Verdict.PASS if ok else Verdict.FAIL, score, reason, self.version, cutoff)

    def _invalid(self, reason: str) -> Finding:
        return Finding(self.name, Verdict.INVALID, None, reason, self.version)


def as_asked(check: Check, origin: Mapping[str, str] | None = None) -> OwnCheck:
    """The check with the engine's interface; raises ConfigError for a check that could not judge.

    `origin` are the facts of the package that an installed check comes from; they are part of the fingerprint.
    """
    if (fault := fault_of(check)) is not None:
        raise ConfigError(fault)
    facts = {"check": check.fingerprint, "package": dict(origin)} if origin else None
    return OwnCheck(
        check,
        check.name,
        str(check.version),
        json.dumps(facts, sort_keys=True, ensure_ascii=False) if facts else check.fingerprint,
        check.needs_choices,
        tuple(check.needs),
        dict(check.max_errors),
        check.can_fail,
        " ".join(origin.values()) if origin else "",
    )


def fault_of(check: object) -> str | None:
    """Why a user's check cannot judge, in one line."""
    if isinstance(check, type):
        return f"check {check.__name__}: expected an object, got a class; write {check.__name__}()"
    if not isinstance(check, Check):
        return f"check: expected an object of a subclass of tunegate.Check, got {_kind(check)}"
    kind = type(check).__name__
    method = type(check).judge
    if method is Check.judge:
        return f"check {kind}: the class has no method `judge(self, sample)`; write one"
    if inspect.iscoroutinefunction(method):
        return f"check {kind}: `judge` is async, which is not supported; write a plain function"
    if not isinstance(cast(object, check.name), str) or not check.name.strip():
        return f"check {kind}: name: expected a text, got {check.name!r}"
    for option in ("min", "max"):
        bound: Any = getattr(check, option)
        if bound is not None and (_is_bool(bound) or not isinstance(bound, numbers.Real) or not math.isfinite(bound)):
            return f"check {kind}: {option}: expected a number, got {bound!r}"
    if check.min is not None and check.max is not None and check.min > check.max:
        return f"check {kind}: nothing passes: min {check.min:g} is above max {check.max:g}"
    if unknown := [need for need in check.needs if need not in get_args(Need)]:
        return f"check {kind}: needs: {unknown[0]!r} is not a part of a case{nearest(unknown[0], get_args(Need))}"
    return None


def source_of(kind: type) -> str:
    """SHA-256 of the source of a class: its module with the local modules that it imports, or its package.

    A class from a notebook or a prompt has no file; the code of its functions is used instead.
    """
    code = getattr(inspect.unwrap(cast(Any, kind).judge), "__code__", None)
    path = Path(code.co_filename if code else getattr(sys.modules.get(kind.__module__), "__file__", None) or "")
    if not path.is_file():
        return hashlib.sha256("\n".join(_codes(kind)).encode()).hexdigest()
    module, folder = dotted_name(path)
    if is_installed(path):  # other packages that it imports have their own versions
        inside = folder / module.partition(".")[0]
        files = sorted(inside.rglob("*.py")) if inside.is_dir() else [path]
        return sources_sha256({str(one.relative_to(folder)): one for one in files})
    return sources_sha256(local_sources(module, path, folder))


def _codes(kind: type) -> list[str]:
    return [
        f"{name} {_code(member.__code__) if isinstance(member, FunctionType) else without_addresses(repr(member))}"
        for base in kind.__mro__
        if base not in (Check, object)
        for name, member in sorted(vars(base).items())
        if not name.startswith("__")
    ]


def _code(code: CodeType) -> str:
    inner = [_code(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return f"{code.co_code.hex()} {inner} {code.co_names} {code.co_varnames}"


def _is_bool(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")  # numpy's bool too


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
