"""HTML of one draw, the details: slices and where the misses are, paired comparisons, how judges were admitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunegate.checks.outcome import Verdict
from tunegate.stats.agreement import Share
from tunegate.verdicts.diversity import DiversityFigure, DiversityRule, verdict_on
from tunegate.verdicts.words import p_words, sentence
from tunegate_reports.answer import capitalised
from tunegate_reports.charts import diversity_bars, drop_chart, rate_bar
from tunegate_reports.gate_view import GateView, JudgeView, Kept, SliceView
from tunegate_reports.markup import Markup, join, tag

SHOWN_SLICES = 6
"""How many tags without a minimum are shown, worst first; the others are folded."""


# --- slices --------------------------------------------------------------------------------------------------------


def slices(gate: GateView) -> Markup:
    """Where the misses are, the groups that were compared with each other, and the pass rate of every other tag."""
    parts: list[Markup] = []
    if gate.where:
        parts += [_caption("Where the misses are"), tag("p", f"{capitalised(gate.where)}.")]
    if gate.record.in_common:
        parts += [_caption("What they have in common"), tag("p", f"{gate.record.in_common.sentence}.")]
    groups = gate.gap.groups.keys() if gate.gap else ()
    if gate.gap:
        own = [part for part in gate.slices if part.tag in groups]
        told = tag("p", gate.gap.reason, class_="quiet")
        parts += [_caption("Gap between the groups"), _bars(own, gate.number), told]
    parts += _tags([part for part in gate.slices if part.tag not in groups], gate.number)
    return join(parts)


def _tags(others: Sequence[SliceView], gate: int) -> Iterator[Markup]:
    ruled = sum(part.rule is not None for part in others)
    first, rest = others[: ruled + SHOWN_SLICES], others[ruled + SHOWN_SLICES :]
    if first:
        yield _caption("Pass rate by tag, 95 % intervals")
        yield _bars(first, gate)
    if rest:
        yield tag("details", tag("summary", f"{len(rest)} more tags", class_="quiet"), _bars(rest, gate))


def _bars(parts: Sequence[SliceView], gate: int) -> Markup:
    return tag("ul", *(_bar(part, gate) for part in parts), class_="bars")


def _bar(part: SliceView, gate: int) -> Markup:
    name = tag("button", part.tag, type="button", data_tag=part.tag, data_gate=gate, title="Show these cases")
    least = part.rule.min if part.rule else None
    told = f"{part.share.count} of {part.share.of}"
    if part.rule:
        few = part.share.of < part.rule.at_least and not part.missed_it
        needed = f"too few: {part.rule.at_least} needed" if few else f"at least {part.rule.min:.0%}"
        told += f", short of {part.rule.min:.0%}" if part.missed_it else f", {needed}"
    count = tag("span", told, class_="number")
    return tag("li", name, rate_bar(part.share, least), count, class_="over" if part.missed_it else None)


# --- diversity -----------------------------------------------------------------------------------------------------


def diversity(gate: GateView) -> Markup:
    """How diverse the answers are by each measure, beside the texts that they are compared with."""
    rule = gate.record.registered.diversity if gate.record.diversity else None
    if rule is None:
        return Markup("")
    rows = [_diversity(rule, one) for one in gate.record.diversity]
    told = f"Lower bar: the answers; upper bar: {rule.against}; line: {rule.at_least:.0%} of the upper bar."
    return join([_caption("Diversity of the answers"), tag("ul", *rows, class_="bars"), tag("p", told, class_="quiet")])


def _diversity(rule: DiversityRule, one: DiversityFigure) -> Markup:
    verdict = verdict_on(rule, one)
    words = {Verdict.FAIL: ", too little", Verdict.INCONCLUSIVE: ", undecided"}.get(verdict, "")
    told = f"not measured: {one.fault}" if one.fault else f"{one.ratio:.2f}{words}"
    over = "over" if verdict is Verdict.FAIL else None
    bars = diversity_bars(one, rule.at_least)
    return tag("li", tag("span", one.measure), bars, tag("span", told, class_="number"), class_=over)


# --- compared with an earlier model --------------------------------------------------------------------------------


def kept(shown: Kept) -> Markup:
    """A paired comparison: the four kinds of case, the drop with its interval, and a warning if a jump looks like a
    leak."""
    comparison = shown.comparison
    counts = comparison.counts
    if counts is None:
        return tag("p", f"This cannot be compared with {shown.before}: {comparison.reason}.", class_="notice")
    head = tag("tr", tag("td"), *(tag("th", name, scope="col") for name in ("passes now", "missed now")))
    rows = (
        ("passed before", (counts.both, "kept"), (counts.lost, "lost")),
        ("missed before", (counts.won, "won"), (counts.neither, "never passed")),
    )
    low, high = counts.drop_interval
    change = f"{abs(counts.drop):.3g}"
    points = f"{change} point{'' if change == '1' else 's'} {'fewer' if counts.drop >= 0 else 'more'}"
    told = f"{points}, McNemar mid-{p_words(counts.mid_p)}; 95 % interval of the drop {low:.1f} to {high:.1f} (Tango's)"
    note = sentence(comparison.reasons[1:])
    return join(
        [
            _caption(f"Compared with {shown.before}, case by case"),
            tag("table", tag("thead", head), tag("tbody", *(_pairs(*row) for row in rows)), class_="paired"),
            drop_chart(counts, comparison.max_drop),
            tag("p", f"{told}; {note}" if note else told, class_="quiet"),
            tag("p", f"This rule: {shown.slips}.", class_="quiet") if shown.slips else None,
            tag("p", tag("strong", "Possible leak: "), comparison.suspicious, class_="notice")
            if comparison.suspicious
            else None,
        ]
    )


def _pairs(name: str, *cells: tuple[int, str]) -> Markup:
    shown = (tag("td", tag("strong", count), f" {word}", class_=word.split()[0]) for count, word in cells)
    return tag("tr", tag("th", name, scope="row"), *shown)


# --- judges --------------------------------------------------------------------------------------------------------


def judge(shown: JudgeView) -> Markup:
    """How well a judge agrees with people, the pass rate as it judged, and the rate corrected for its known errors."""
    fault = tag("p", tag("strong", "Does not count: "), shown.fault, class_="notice") if shown.fault else None
    rows = [tag("tr", tag("th", name, scope="row"), tag("td", told)) for name, told in _figures(shown)]
    return join([fault, tag("table", tag("tbody", *rows), class_="judge") if rows else None])


def _figures(shown: JudgeView) -> Iterator[tuple[str, str]]:
    if shown.kappa is not None and shown.kappa_low is not None:
        yield "agrees with people", f"kappa {shown.kappa:.2f}, at least {shown.kappa_low:.2f} with 95 % confidence"
    if shown.age:
        yield "its admission", shown.age
    for name, share in (("passes good answers", shown.sensitivity), ("fails bad answers", shown.specificity)):
        if share is not None:
            yield name, _rate(share)
    if shown.raw is not None:
        yield "pass rate as judged", _rate(shown.raw)
        if shown.corrected is not None:
            low, high = shown.corrected.interval
            least = "" if shown.corrected_min is None else f"; at least {shown.corrected_min:.0%} needed"
            yield "corrected for its errors", f"{shown.corrected.rate:.1%} ({low:.1%} to {high:.1%}){least}"
        elif shown.sensitivity is not None:
            yield "corrected for its errors", "not possible: the judge does not tell good answers from bad"


def _rate(share: Share) -> str:
    low, high = share.interval
    return f"{share.rate or 0.0:.1%} ({low:.1%} to {high:.1%}), {share.count} of {share.of}"


def _caption(words: str) -> Markup:
    return tag("p", words, class_="caption")
