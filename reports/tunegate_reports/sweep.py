"""The page of a sweep, in one file: the conclusion, quality drawn against diversity, and a table with the numbers."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from tunegate.choosing.bake_off import Ranked
from tunegate.choosing.sweep import Answers, SweepResult
from tunegate.choosing.sweep_words import conclusion, head, notes, spread_cells, spread_head, sweep_cells
from tunegate_reports.answer import capitalised
from tunegate_reports.files import write_atomically
from tunegate_reports.markup import Markup, tag
from tunegate_reports.page import page_without_script, ranked_table
from tunegate_reports.scatter import Point, scatter


def write_sweep(result: SweepResult, path: Path) -> None:
    """Write the page to `path`; raises CannotJudge when the disk is full."""
    write_atomically(path, render(result))


def render(result: SweepResult) -> str:
    """The page, which has no script."""
    choice = result.choice
    below = [line for line in notes(result) if line != conclusion(result)]
    below.append(f"suite {choice.suite}, SHA-256 {choice.suite_sha256}, seed {choice.seed}")
    return page_without_script(
        f"Settings of {result.model} on {choice.suite}: {len(choice.ranked)} compared on {choice.draw} cases",
        "Tunegate sweep",
        tag("p", tag("strong", f"{capitalised(conclusion(result))}.")),
        *_picture(result),
        ranked_table(head(result), [sweep_cells(result, one) for one in choice.ranked]),
        *(tag("p", f"{capitalised(line)}.", class_="quiet") for line in below),
        *_all_measures(result),
    )


def _picture(result: SweepResult) -> list[Markup]:
    """Empty if no setting has a verdict."""
    points = points_of(result)
    if not points:
        return []
    names = ", ".join(max((one.swept for one in result.settings.values()), key=len))
    told = (
        f"Each dot is a setting, with the value of {names} beside it. The lines through it are the 95 % intervals of "
        "its pass rate and of its diversity. All settings were asked the same cases. The ring marks the chosen setting."
    )
    return [scatter(points, result.accept, measure_of(result)), tag("p", told, class_="quiet")]


def measure_of(result: SweepResult) -> str:
    """The measure by which the setting was chosen."""
    return next(some.spreads[0].measure for some in result.answers.values())


def points_of(result: SweepResult) -> list[Point]:
    """The settings with a verdict, as points of the chart."""
    ranked = [(one, result.answers.get(one.entry.model)) for one in result.choice.ranked]
    return [_point(result, one, answers) for one, answers in ranked if answers]


def _point(result: SweepResult, one: Ranked, answers: Answers) -> Point:
    name, spread = one.entry.model, answers.spreads[0]
    gate, across = one.entry.gate, spread.across
    interval = gate.interval if gate else (0.0, 1.0)
    told = f"{name}: {one.entry.rate:.0%} of the cases pass, {spread.measure} {across.value:.2f}"
    chosen = result.chosen is not None and result.chosen.entry.model == name
    label = result.settings[name].short
    return Point(label, told, one.entry.rate, interval, across.value, across.interval, chosen)


def _all_measures(result: SweepResult) -> list[Markup]:
    """A table of all measures, if there are several."""
    columns = spread_head(result)
    if len(columns) < 2:
        return []
    ranked = [one.entry.model for one in result.choice.ranked]
    rows = [(name, *chain(*spread_cells(result.answers[name]))) for name in ranked if name in result.answers]
    return [tag("h2", "Diversity by all measures"), ranked_table(("", "setting", *chain(*columns)), rows)]
