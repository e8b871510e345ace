"""What was tested, and what was not: one folded section below the answer."""

from __future__ import annotations

from tunegate.record.tested import areas_tested
from tunegate.record.tested_words import AREA_WORDS, LIMITS, TITLE, evidence_words, open_words, summary_words
from tunegate_reports.answer import capitalised
from tunegate_reports.markup import Markup, tag
from tunegate_reports.view import View


def tested_section(shown: View) -> Markup | None:
    """The areas with what was found in each; None for a run that decided nothing about its model yet."""
    found = areas_tested(shown.run)
    if not found.draws:
        return None
    rows = [
        tag(
            "tr",
            tag("th", capitalised(AREA_WORDS[area]), scope="row"),
            tag("td", tag("ul", *(tag("li", evidence_words(one)) for one in found.evidence if one.area == area))),
        )
        for area in found.areas
    ]
    rows += [
        tag("tr", tag("th", capitalised(AREA_WORDS[area]), scope="row"), tag("td", "not tested"))
        for area in found.untested
    ]
    opened = open_words(found)
    return tag(
        "section",
        tag(
            "details",
            tag("summary", tag("strong", TITLE), " ", tag("span", summary_words(found), class_="quiet")),
            tag("p", f"Draws of this model: {', '.join(found.draws)}. {LIMITS} {opened}".rstrip(), class_="quiet"),
            tag("table", tag("tbody", *rows), class_="tested"),
            class_="card",
        ),
        id="tested",
        aria_label=TITLE,
    )
