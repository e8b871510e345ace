"""One gate on the page: its verdict and count, the grid of its cases, its interval, errors and scores."""

from __future__ import annotations

from collections.abc import Sequence

from tunegate.outcomes import Verdict
from tunegate_reports.answer import CASE_WORDS, count_words, gate_words
from tunegate_reports.charts import histogram_chart, interval_chart
from tunegate_reports.markup import Markup, join, tag
from tunegate_reports.view import CaseView, Category, CheckView, GateView, duration

SIGNS = {Verdict.PASS: "✓", Verdict.FAIL: "×", Verdict.INVALID: "?", Verdict.INCONCLUSIVE: "≈", None: "…"}
COLUMNS = ((100, 10), (400, 20), (2500, 50))


def badge(verdict: Verdict | None, words: str) -> Markup:
    """A verdict as a sign and a word, so that colour is never the only difference."""
    sign = tag("span", SIGNS[verdict], aria_hidden="true", class_="sign")
    return tag("span", sign, words, class_=f"badge {verdict or 'OPEN'}")


def gate_panel(gate: GateView, cases: Sequence[CaseView], *, opened: bool, heading: str) -> Markup:
    """The panel of a gate, folded unless `opened`; `heading` is the element of its title (h2 to h5)."""
    record = gate.record
    verdict = record.verdict if record.decided else None
    title = tag(heading, tag("span", "gate ", class_="quiet"), record.gate, class_="gate-name")
    summary = tag(
        "summary",
        title,
        badge(verdict, gate_words(record)),
        tag(
            "span",
            tag("strong", f"{record.passed}"),
            count_words(record).removeprefix(f"{record.passed}"),
            class_="count",
        ),
        tag("span", _reason(gate), class_="quiet reason"),
    )
    columns = (
        tag("div", grid(gate, [cases[number] for number in gate.cases]), class_="panel-grid"),
        tag("div", _interval(gate), _categories(gate), class_="panel-numbers"),
        tag("div", _checks(gate.checks), class_="panel-checks"),
    )
    body = tag("div", join(columns), class_="panel-body")
    return tag("details", summary, body, class_="gate", id=f"gate-{gate.number}", open=opened)


def _reason(gate: GateView) -> str:
    """What the count does not say already."""
    reason, record = gate.record.reason, gate.record
    return "" if reason == count_words(record) or not record.decided else reason


def grid(gate: GateView, cases: Sequence[CaseView]) -> Markup:
    """One cell per case, passes first, with the accept line drawn where the needed passes would end."""
    columns = next((wide for most, wide in COLUMNS if len(cases) <= most), 100)
    cells = [_cell(case, index, gate.record.accept, columns) for index, case in enumerate(cases)]
    counts = {verdict: sum(case.outcome.verdict is verdict for case in cases) for verdict in CASE_WORDS}
    told = ", ".join(f"{count} {CASE_WORDS[verdict]}" for verdict, count in counts.items())
    label = f"Cases of {gate.label}: {told}. Arrow keys move between them."
    key = [
        tag("li", tag("span", SIGNS[verdict], class_=f"swatch {verdict}", aria_hidden="true"), f"{count} {words}")
        for (verdict, words), count in zip(CASE_WORDS.items(), counts.values(), strict=True)
        if count
    ]
    spared, accept = gate.record.spared, gate.record.accept
    key.append(tag("li", f"{spared} not asked, for the verdict stood") if spared else Markup(""))
    drawn_line = accept <= len(cases)
    line = tag("li", tag("span", class_="swatch accept-key", aria_hidden="true"), f"line: {accept} needed")
    return join(
        [
            tag("div", join(cells), class_=f"grid wide-{columns}", role="group", aria_label=label),
            tag("ul", *key, line if drawn_line else None, class_="key"),
        ]
    )


def _cell(case: CaseView, index: int, accept: int, columns: int) -> Markup:
    outcome = case.outcome
    under_line = " above-line" if accept - columns <= index < accept else ""
    end = " line-end" if index == accept - 1 and accept % columns else ""
    return tag(
        "a",
        SIGNS[outcome.verdict],
        href=f"#case-{case.number}",
        class_=f"{outcome.verdict}{under_line}{end}",
        aria_label=f"{outcome.case_id}: {CASE_WORDS[outcome.verdict]}",
    )


def _interval(gate: GateView) -> Markup:
    record = gate.record
    if not record.decided:
        return tag("p", "No interval yet: this gate is under way.", class_="quiet")
    low, high = record.interval
    took = duration(record.seconds).replace(" ", "\u00a0")
    words = tag("p", f"95 % interval {low:.1%} to {high:.1%}, exact binomial; {took}", class_="quiet")
    return join([tag("p", "Pass rate", class_="caption"), interval_chart(record), words])


def _categories(gate: GateView) -> Markup:
    if not gate.categories:
        return Markup("")
    most = max(max(category.count, category.cap or 0) for category in gate.categories) or 1
    rows = [_category(category, most, gate.number) for category in gate.categories]
    return join([tag("p", "Error categories", class_="caption"), tag("ul", *rows, class_="bars")])


def _category(category: Category, most: int, gate: int) -> Markup:
    share, cap = category.count / most * 100, category.cap
    marks = [tag("rect", x=0, y=0, width=share, height=10, class_="bar")]
    if cap is not None:
        at = min(cap / most * 100, 99.2)
        marks.append(tag("line", x1=at, y1=0, x2=at, y2=10, class_="accept-line"))
    picture = tag("svg", *marks, viewBox="0 0 100 10", preserveAspectRatio="none", aria_hidden="true")
    over = cap is not None and category.count > cap
    told = f"{category.count}" if cap is None else f"{category.count}, {'over the cap' if over else 'cap'} {cap}"
    name = tag(
        "button", category.name, type="button", data_category=category.name, data_gate=gate, title="Show these cases"
    )
    return tag("li", name, picture, tag("span", told, class_="number"), class_="over" if over else None)


def _checks(checks: Sequence[CheckView]) -> Markup:
    return join([tag("p", "Checks", class_="caption"), *(_check(check) for check in checks)])


def _check(check: CheckView) -> Markup:
    counts = [(check.passed, "passed"), (check.missed, "missed"), (check.invalid, "not judged")]
    told = ", ".join(f"{count} {words}" for count, words in counts if count)
    parts = [tag("p", tag("code", check.name), tag("span", told, class_="quiet"), class_="check-name")]
    if check.histogram is not None:
        parts.append(histogram_chart(check.histogram, check.name))
    if check.labels:
        ranked = sorted(check.labels.items(), key=lambda item: -item[1])[:8]
        parts.append(tag("p", ", ".join(f"{label}: {count}" for label, count in ranked), class_="quiet"))
    return tag("div", *parts, class_="check")
