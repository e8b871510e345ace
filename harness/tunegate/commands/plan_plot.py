"""The operating characteristic of a plan as a text plot, at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tunegate.stats.curve import accept_any
from tunegate.stats.plans import GatePlan, Risk

WIDTH, HEIGHT = 61, 11
"""A column for each pass rate of, say, 0.70, 0.705, … 1.00, and a row for each tenth of probability."""

LEFT_ENDS = (0.7, 0.4, 0.0)


Curve = tuple[str, str, Callable[[float], float]]
"""(sign, name, chance by pass rate)"""


def plot(curves: Sequence[Curve], risk: Risk, what: str = "accepted") -> list[str]:
    """The curves, with marks at the two pass rates of the risk."""
    low = next((end for end in LEFT_ENDS if risk.at >= end + (1 - end) / 10), 0.0)
    rates = [low + (1 - low) * column / (WIDTH - 1) for column in range(WIDTH)]
    marks = {"at": _column(risk.at, low), "good": _column(risk.good, low)}
    cells = [["┊" if column in marks.values() else " " for column in range(WIDTH)] for _ in range(HEIGHT)]
    for sign, _, chance in curves:
        _draw(cells, sign, [chance(p) for p in rates])
    legend = "   ".join(f"{sign} {name}" for sign, name, _ in curves)
    rows = [f"{1.0 - number / (HEIGHT - 1):.1f} │{''.join(row).rstrip()}" for number, row in enumerate(cells)]
    scale = "".join(f"{low + (1 - low) * tick / 6:<10.2f}" for tick in range(7)).rstrip()
    return [f"{what} by share right:   {legend}", *rows, f"    └{_axis(marks)}", f"     {scale}"]


def curves_of(plan: GatePlan, attempts: int) -> list[Curve]:
    """One attempt, at least one of all attempts and, if different, promotion by a run."""
    curves: list[Curve] = [("o", "one attempt", plan.acceptance)]
    if attempts > 1:
        curves.append(("x", f"at least one of {attempts}", lambda p: accept_any(plan, p, attempts)))
    if attempts > 1 and plan.confirms == "after_retry":
        curves.append(("*", "promoted by a run", lambda p: plan.acceptance_within(p, attempts)))
    return curves


def _draw(cells: list[list[str]], sign: str, chances: list[float]) -> None:
    """Draw a curve; where it jumps more than one row between columns, fill the rows between."""
    before = None
    for column, chance in enumerate(chances):
        row = round((1.0 - chance) * (HEIGHT - 1))
        for filled in range(row, row + 1 if before is None else max(before, row + 1)):
            cells[filled][column] = sign
        before = row


def _column(rate: float, low: float) -> int:
    return round((rate - low) / (1 - low) * (WIDTH - 1))


def _axis(marks: dict[str, int]) -> str:
    """The lower axis, with each mark named to the left of its tick."""
    axis = ["─"] * WIDTH
    for name, column in marks.items():
        start = max(0, column - len(name))
        axis[start : start + len(name)] = name
        axis[column] = "┴"
    return "".join(axis)
