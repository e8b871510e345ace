"""`compare` and `verify`: query records and the registry from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunegate.api.gate import GateResult
from tunegate.api.pipeline import RunResult
from tunegate.commands.compare import EVERYTHING, SuiteComparison, compare_sides
from tunegate.commands.promote import promotion_of
from tunegate.exceptions import ConfigError
from tunegate.gates.gate_run import FOLDER
from tunegate.gates.recorded_answers import read_side
from tunegate.promotion.registry import Promotion

Named = GateResult | RunResult | str | Path


def compare(
    a: Named, b: Named, *, max_drop: float | None = None, records: str | Path | None = None
) -> list[SuiteComparison]:
    """Compare two models on the cases that both were asked, suite by suite, like `tunegate compare`.

    `a` and `b` are results, folders of records (`runs/x@sft` for a stage), or models with gates on record.

    Example:
        >>> import tunegate
        >>> a, b = (
        ...     tunegate.run_gate(lambda prompt: answer, "facts.yaml", progress=False) for answer in ("Rome", "Paris")
        ... )
        >>> [comparison] = tunegate.compare(a, b)
        >>> comparison.common, comparison.shown
        (3, 'none')
    """
    allowed = EVERYTHING if max_drop is None else max_drop
    if not 0 <= allowed <= 100:
        raise ConfigError(f"max_drop: expected percentage points from 0 to 100, got {allowed:g}")
    place = FOLDER if records is None else Path(records)
    before, after = (read_side(_named(side), place, _sha256) for side in (a, b))
    return compare_sides(before, after, allowed)


def _named(side: Named) -> str:
    return str(side.folder) if isinstance(side, GateResult | RunResult) else str(side)


def _sha256(model: str) -> str | None:
    from tunegate.models.open_model import model_sha256

    return model_sha256(model)


def verify(
    model: str | Path,
    registry: str | Path = "registry",
    *,
    keys: Sequence[str | Path] = (),
    policy: str | Path | None = None,
) -> Promotion:
    """The promotion of the bytes of a folder, or of an alias, like `tunegate verify`.

    With `keys`, files of public keys, its signatures must be good too, each by one of them; with `policy`, a file, it
    must keep those rules too. Raises ConfigError if
    nothing was promoted, Tampered if the bytes or a signature differ from what was promoted.

    Example:
        >>> import tunegate
        >>> tunegate.verify("production", "registry")
        Traceback (most recent call last):
        ...
        tunegate.exceptions.ConfigError: ...
    """
    return promotion_of(
        str(model), Path(registry), [Path(key) for key in keys], None if policy is None else Path(policy)
    )
