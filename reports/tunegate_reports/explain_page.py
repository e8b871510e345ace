"""The page of `tunegate explain-case`, in one file: words first, then tokens, strips, layers and heads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunegate.attribution.explanation import METHODS, Explanation, Focus, Lens, Method, TokenScore
from tunegate.attribution.words import LIMITS, NAMES, deletion_words, in_words, lens_words, quoted
from tunegate_reports.answer import capitalised
from tunegate_reports.files import write_atomically
from tunegate_reports.markup import Markup, join, tag
from tunegate_reports.page import page_without_script
from tunegate_reports.strips import heat_strip

SHOWN_TOKENS = 24
BEFORE_PARTING, AFTER_PARTING = 8, 5
MOST_HEADS = 640
"""With more heads, only the most focused head of each layer is shown."""

WAYS_TO_READ = (
    "A blue background and a solid line mark what speaks for the answer; an orange background and a dashed line mark "
    "what speaks against it. The thicker the line, the larger the weight. The highest pieces are numbered and listed "
    "below."
)


def write_explanations(found: Sequence[Explanation], path: Path) -> None:
    """Write the page of one answer, explained by one model or by several; raises CannotJudge when the disk is full."""
    write_atomically(path, render(found))


def render(found: Sequence[Explanation]) -> str:
    """The page, which has no script."""
    first = found[0]
    title = f"Why {quoted(first.answer)}: case {first.case_id} of gate {first.gate}"
    content = (*_first_screen(found), *_strips(found), *_inside(found), *_sources(found))
    return page_without_script(title, "Tunegate: one case", *content)


def _first_screen(found: Sequence[Explanation]) -> Iterator[Markup]:
    for one in found:
        yield tag("h2", _label(found, one))
        yield join([tag("p", line) for line in in_words(one)])
        yield _tokens(one)


def _label(found: Sequence[Explanation], one: Explanation) -> str:
    if len(found) == 1:
        return "In words"
    return f"The model that answered: {one.model}" if one is found[0] else f"The other model: {one.model}"


def _section(title: str, *parts: Markup | None) -> Markup:
    return tag("section", tag("h2", title), *parts)


# --- tokens --------------------------------------------------------------------------------------------------------


def _tokens(one: Explanation) -> Markup:
    """Answer and reference beside each other, token by token, with the row where they part marked in words."""
    count = max(len(one.answer_tokens), len(one.reference_tokens))
    start = max(0, (one.parting or 0) - BEFORE_PARTING)
    end = start + SHOWN_TOKENS if one.parting is None else one.parting + 1 + AFTER_PARTING
    shown = range(start, min(count, end))
    names = ("token", "answer", "p", "most likely there", "reference", "p", "")
    head = tag("tr", *(tag("th", name, scope="col") for name in names))
    rows = [_token_row(one, place) for place in shown]
    left = count - len(shown)
    caption = "Log-probabilities, token by token" + (f"; {left} more are not shown" if left else "")
    table = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *rows), class_="tokens")
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label=caption)


def _token_row(one: Explanation, place: int) -> Markup:
    answer, reference = (_at(tokens, place) for tokens in (one.answer_tokens, one.reference_tokens))
    here = place == one.parting
    top = f"{_text(answer.top)} {_p(answer.top_log_probability)}" if answer and answer.top != answer.text else ""
    cells = (*_cells(answer), top, *_cells(reference), "first difference" if here else "")
    return tag(
        "tr",
        tag("th", place + 1, scope="row"),
        *(tag("td", cell) for cell in cells),
        class_="parting" if here else None,
    )


def _cells(token: TokenScore | None) -> tuple[str, str]:
    return ("", "") if token is None else (_text(token.text), _p(token.log_probability))


def _at(tokens: Sequence[TokenScore], place: int) -> TokenScore | None:
    return tokens[place] if place < len(tokens) else None


def _text(token: str) -> str:
    """A token in which spaces can be seen."""
    return token.replace(" ", "␣").replace("\n", "⏎") or "(nothing)"


def _p(log_probability: float) -> str:
    return f"{math.exp(log_probability):.3f}"


# --- strips --------------------------------------------------------------------------------------------------------


def _strips(found: Sequence[Explanation]) -> Iterator[Markup]:
    parts = [part for method in METHODS if (part := _method(found, method)) is not None]
    if parts:
        title = tag("h2", "What the answer depends on")
        yield tag("section", title, tag("p", WAYS_TO_READ, class_="quiet"), *parts, class_="strips")


def _method(found: Sequence[Explanation], method: Method) -> Markup | None:
    """The strip of a method for each model, with its deletion test and what the method cannot tell."""
    own = [(one, strip) for one in found for strip in one.strips if strip.method == method]
    if not own:
        return None
    parts: list[Markup | None] = [tag("h3", capitalised(NAMES[method])), tag("p", LIMITS[method], class_="quiet")]
    for one, strip in own:
        if len(found) > 1:
            parts.append(tag("p", _label(found, one), class_="caption"))
        label = f"Prompt by {NAMES[method]}, {one.model}"
        parts.append(heat_strip(one, strip, label))
        told = [f"By {strip.unit}; {strip.passes} passes."]
        if strip.deletion is not None:
            told.append(f"Deletion test: {deletion_words(strip.deletion, strip.unit)}.")
        if strip.gap is not None:
            told.append(f"The weights miss {abs(strip.gap):.2f} of the difference of the log-odds.")
        if strip.outside is not None:
            told.append(f"{strip.outside:.0%} of the weight is on the chat template, which is not shown.")
        weak = strip.deletion is not None and not strip.deletion.beats_random
        parts.append(tag("p", " ".join(told), class_="notice" if weak else "quiet"))
    return tag("article", *parts)


# --- layers and heads ----------------------------------------------------------------------------------------------


def _inside(found: Sequence[Explanation]) -> Iterator[Markup]:
    for one in found:
        parts = [
            _layers(one.lens) if one.lens is not None else None,
            _heads(one, one.heads) if one.heads else None,
        ]
        if any(parts):
            name = "Layers and heads" if len(found) == 1 else f"Layers and heads of {one.model}"
            yield _section(name, *parts)


def _layers(lens: Lens) -> Markup:
    head = tag("tr", *(tag("th", name, scope="col") for name in ("layer", "most likely", "p answer", "p right", "")))
    rows: list[Markup] = []
    for guess in lens.layers:
        right = "" if guess.reference is None else _p(guess.reference)
        told = [
            *(["the answer's token leads from here on"] if guess.layer == lens.appears else []),
            *(["the right one falls behind here"] if guess.layer == lens.lost else []),
        ]
        cells = (_text(guess.top), _p(guess.answer), right, "; ".join(told))
        rows.append(tag("tr", tag("th", guess.layer, scope="row"), *(tag("td", cell) for cell in cells)))
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="tokens")
    summary = tag("summary", lens_words(lens))
    wide = tag("div", table, class_="wide", tabindex="0", role="region", aria_label="Guesses of the layers")
    return tag("details", summary, tag("p", LIMITS["logit_lens"], class_="quiet"), wide)


def _heads(one: Explanation, heads: Sequence[Focus]) -> Markup:
    """A row for each layer and a cell for each head: the token that it looks at most."""
    texts = one.texts("token")
    layers = {focus.layer: [head for head in heads if head.layer == focus.layer] for focus in heads}
    few = len(heads) <= MOST_HEADS
    shown = layers if few else {layer: [max(own, key=lambda one: one.weight)] for layer, own in layers.items()}
    strongest = max(heads, key=lambda focus: focus.weight)
    rows = [
        tag("tr", tag("th", layer, scope="row"), *(_head(focus, texts, few) for focus in own))
        for layer, own in shown.items()
    ]
    caption = "Attention: what each head looks at most" if few else "Attention: the most focused head of each layer"
    words = (
        f"{caption}; the most focused is head {strongest.head} of layer {strongest.layer}, on "
        f"{quoted(texts[strongest.piece])} ({strongest.weight:.0%})"
    )
    table = tag("table", tag("tbody", *rows), class_="tokens")
    return tag("details", tag("summary", words), tag("div", table, class_="wide", tabindex="0", role="region",
               aria_label=caption))  # fmt: skip


def _head(focus: Focus, texts: Sequence[str], few: bool) -> Markup:
    number = "" if few else f"head {focus.head}: "
    return tag("td", f"{number}{_text(texts[focus.piece][:20])} {focus.weight:.0%}")


def _sources(found: Sequence[Explanation]) -> Iterator[Markup]:
    for one in found:
        told = [f"Model {one.model}", f"SHA-256 {one.model_sha256 or 'unknown'}", one.dtype, f"seed {one.seed}"]
        where = f", stage {one.stage}, attempt {one.attempt}" if one.stage is not None else ""
        yield tag("p", f"{', '.join(told)}; gate {one.gate}{where}.", class_="quiet")
