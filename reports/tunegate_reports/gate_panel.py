"""HTML of one draw, the main part: verdict and count, the grid of its cases, interval, error categories, scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tunegate.checks.outcome import Verdict, never_ended
from tunegate.progress import duration
from tunegate.verdicts.passes_when import condition_of, passes_when
from tunegate.verdicts.terms import MEASURED
from tunegate.verdicts.words import interval_words, weighted_in_words
from tunegate_reports.answer import CASE_WORDS, DRAW_WORDS, STATE_WORDS, beyond_count, count_words, gate_state
from tunegate_reports.charts import histogram_chart, interval_chart
from tunegate_reports.gate_details import diversity, judge, kept, slices
from tunegate_reports.gate_view import CaseView, Category, CheckView, GateView, terms_of
from tunegate_reports.limits import limits
from tunegate_reports.markup import Markup, join, tag

SIGNS = {"PASS": "✓", "FAIL": "×", "INVALID": "?", "INCONCLUSIVE": "≈", "OPEN": "…", "MEASURED": "•"}
COLUMNS = ((100, 10), (400, 20), (2500, 50))
SIGNS_UP_TO = 20
"""More columns make cells so small that their signs cannot be read, and ten thousand signs slow the page down."""


def badge(state: str) -> Markup:
    """A state as a sign and a word, so that no reader depends on colour."""
    sign = tag("span", SIGNS[state], aria_hidden="true", class_="sign")
    return tag("span", sign, STATE_WORDS[state], class_=f"badge {state}")


def gate_panel(gate: GateView, cases: Sequence[CaseView], *, opened: bool, heading: str) -> Markup:
    """The panel of a draw, folded unless `opened`; `heading` is the element of its title (h2 to h5)."""
    record = gate.record
    kind = tag("span", f"{DRAW_WORDS.get(record.purpose, record.purpose)} ", class_="quiet")
    summary = tag(
        "summary",
        tag(heading, kind, record.gate, class_="gate-name"),
        badge(gate_state(record)),
        *_in_short(gate),
        _flag(f"waived until {gate.waiver['expires']}") if gate.waiver else None,
        *(_flag(f"allowed: {guard}: {found}") for guard, found in record.terms.get("allowed", {}).items()),
        *(_flag(f"note: {remark}") for remark in record.terms.get("remarks", ())),
        _flag("possible leak") if gate.kept and gate.kept.comparison.suspicious else None,
        _flag("every passing answer was cut off") if never_ended(record.outcomes) else None,
        _flag(f"{record.reused} cases asked before") if record.reused else None,
        *(_flag(f"continued: {look}") for look in record.looks_in_words),
        _flag(again) if (again := record.asked_or_judged_again) else None,
    )
    columns = (
        _rule(gate),
        tag("div", grid(gate, [cases[number] for number in gate.cases]), class_="panel-grid"),
        tag(
            "div",
            *(kept(gate.kept) if gate.kept else _interval(gate), _categories(gate), diversity(gate), limits(record)),
            class_="panel-numbers",
        ),
        tag("div", *(slices(gate), _checks(gate.checks), _people(gate)), class_="panel-checks"),
    )
    body = tag("div", join(columns), class_="panel-body")
    return tag("details", summary, body, class_="gate", id=f"gate-{gate.number}", open=opened)


def _rule(gate: GateView) -> Markup | None:
    """What has to be true of the answers for the draw to pass."""
    terms = terms_of(gate.record)
    if terms is None or gate.record.purpose in MEASURED:
        return None
    return tag(
        "p", f"{passes_when(terms, [condition_of(name) for name in gate.record.checks])}.", class_="panel-rule quiet"
    )


def _people(gate: GateView) -> Markup | None:
    """The pass rate that people's labels lead to."""
    if gate.people is None:
        return None
    words = gate.people.in_words
    return tag("p", f"{words[:1].upper()}{words[1:]}.", class_="notice")


def _in_short(gate: GateView) -> tuple[Markup, Markup]:
    """The count of a draw, or the cases lost and won, and the rest of its reason."""
    words, more = count_words(gate.record), beyond_count(gate.record)
    if gate.kept and (counts := gate.kept.comparison.counts):
        words = f"{counts.lost} lost, {counts.won} won"
        more = f"compared with {gate.kept.before}, {counts.n} cases"
    first, _, rest = words.partition(" ")
    return tag("span", tag("strong", first), f" {rest}", class_="count"), tag("span", more, class_="quiet reason")


def _flag(words: str) -> Markup:
    return tag("span", words, class_="flag")


def grid(gate: GateView, cases: Sequence[CaseView]) -> Markup:
    """One cell per registered case, passes first, then hollow cells for cases that were not asked. A line is drawn
    where the needed passes would end."""
    never = gate.kept.never if gate.kept else frozenset[str]()
    registered = len(cases) + len(gate.spared)
    columns = next((wide for most, wide in COLUMNS if registered <= most), 100)
    accept = gate.record.accept if gate.record.purpose in ("gate", "confirm") else 0
    signs = SIGNS if columns <= SIGNS_UP_TO else None
    cells = [_cell(case, _place(index, accept, columns), never, signs) for index, case in enumerate(cases)]
    cells += [_hollow(name, _place(index, accept, columns)) for index, name in enumerate(gate.spared, len(cases))]
    counts = {verdict: sum(case.outcome.verdict is verdict for case in cases) for verdict in CASE_WORDS}
    told = ", ".join(f"{count} {CASE_WORDS[verdict]}" for verdict, count in counts.items())
    label = f"Cases of {gate.label}: {told}. Arrow keys move between them."
    again = sum(case.outcome.verdict is Verdict.FAIL and case.outcome.case_id in never for case in cases)
    told_of = {verdict: (counts[verdict], words) for verdict, words in CASE_WORDS.items()}
    if gate.kept:
        told_of[Verdict.FAIL] = counts[Verdict.FAIL] - again, "lost"
    key = [_key(verdict, SIGNS[verdict], f"{count} {words}") for verdict, (count, words) in told_of.items() if count]
    if again:
        key.append(_key("FAIL never", SIGNS[Verdict.FAIL], f"{again} missed as before"))
    if gate.spared:
        key.append(_key("spared", "", f"{len(gate.spared)} not asked: the verdict was already certain"))
    if accept:
        key.append(_key("accept-key", "", f"line: {accept} needed"))
    return join(
        [
            tag("div", join(cells), class_=f"grid wide-{columns}", role="group", aria_label=label),
            tag("ul", *key, class_="key"),
        ]
    )


def _key(class_: str, sign: str, words: str) -> Markup:
    return tag("li", tag("span", sign, class_=f"swatch {class_}", aria_hidden="true"), words)


def _place(index: int, accept: int, columns: int) -> str:
    """The classes of a cell that the accept line touches."""
    under_line = " above-line" if accept - columns <= index < accept else ""
    return under_line + (" line-end" if index == accept - 1 and accept % columns else "")


def _cell(case: CaseView, place: str, never: Collection[str], signs: Mapping[str, str] | None) -> Markup:
    outcome = case.outcome
    again = outcome.verdict is Verdict.FAIL and outcome.case_id in never
    return tag(
        "a",
        signs[outcome.verdict] if signs else None,
        href=f"#case-{case.number}",
        class_=f"{outcome.verdict}{' never' if again else ''}{place}",
        aria_label=f"{outcome.case_id}: {CASE_WORDS[outcome.verdict]}{', as before' if again else ''}",
    )


def _hollow(case_id: str, place: str) -> Markup:
    told = f"{case_id}: not asked, the verdict was already certain"
    return tag("span", class_=f"spared{place}", role="img", aria_label=told, title=told)


def _interval(gate: GateView) -> Markup:
    record = gate.record
    if not record.decided:
        return tag("p", "No interval yet: this gate is under way.", class_="quiet")
    took = duration(record.seconds).replace(" ", "\u00a0")
    weighted = [] if record.weighted is None else [tag("p", weighted_in_words(record.weighted), class_="quiet")]
    if gate.confirmed:
        took = f"The interval of this gate is that of its confirming draw; {took}"
        return join([tag("p", took, class_="quiet"), *weighted])
    kind = "for its independent cases" if record.grouped else "exact"
    words = f"{interval_words(record.interval, selected=record.selected)}; {kind}; {took}"
    caption = tag("p", "Pass rate", class_="caption")
    return join([caption, interval_chart(record), tag("p", words, class_="quiet"), *weighted])


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
    if check.judge is not None:
        parts.append(judge(check.judge))
    if check.histogram is not None:
        parts.append(histogram_chart(check.histogram, check.name))
    if check.labels:
        ranked = sorted(check.labels.items(), key=lambda item: -item[1])[:8]
        parts.append(tag("p", ", ".join(f"{label}: {count}" for label, count in ranked), class_="quiet"))
    return tag("div", *parts, class_="check")
