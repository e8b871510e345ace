"""A serving check in words: what was compared, and each fault with the numbers that show it."""

from __future__ import annotations

from collections.abc import Iterator

from tunegate.serving.signature import SAME_GAP, Serving, ServingFault, Signature
from tunegate.stats.agreement import Share
from tunegate.verdicts.words import sentence

TEMPLATES = {
    "template": "wrong chat template: {differ} of {prompts} prompts differ from those of the model's own template",
    "tokens": (
        "other tokenizer: {differ} of {prompts} prompts have the same text and another number of tokens "
        "({fewest:+d} to {most:+d})"
    ),
    "context": "context too small: the server takes {context} tokens, but these cases need up to {needed}",
    "stop": "stop token missing: {continued} of {answers} answers go on where the model ends",
    "suspect": "the server gives {suspect}: its median gap is {suspect_gap:.3f}, that of the expected model {gap:.3f}",
    "quantised": "fewer bits: the median gap is {gap:.3f}, at most {allowed:g} is usual from 8 bits up",
    "other_weights": (
        "other weights (another base, adapter or revision): the median gap is {gap:.3f}, more than fewer bits explain"
    ),
    "mixed": (
        "other weights in some answers: {far} of {answers} first-token gaps are above {allowed:g}, although the median "
        "is {gap:.3f}; see whether several copies of the server answer"
    ),
    "verdicts": "worse answers: {lost} of {cases} cases lost and {won} won, {allowed:g} points are allowed",
}
UNCLEAR = {
    "not_judged": "a case was not answered or not judged on one side",
    "no_log_probabilities": "the server gives no log-probabilities for some answers that differ, as they may even on "
    "the same weights",
    "lost_by_chance": "more cases are lost than allowed, but that may be chance; ask more cases (--n)",
}
NAMES = {"PASS": "same", "FAIL": "differs", "INVALID": "INVALID"}


def fault_in_words(fault: ServingFault) -> str:
    """One fault, with its evidence."""
    if fault.kind == "template" and "fewest" in fault.evidence:
        words = "wrong chat template: {differ} of {prompts} prompts have another number of tokens"
        return f"{words} ({{fewest:+d}} to {{most:+d}})".format(**fault.evidence)
    told = fault.evidence.get("type")
    return TEMPLATES[fault.kind].format(**fault.evidence) + (f" (the server says {told})" if told else "")


def lines(serving: Serving) -> Iterator[str]:
    """What was compared, line by line, and the verdict with its faults."""
    yield from _compared(serving.signature)
    verdict = NAMES[serving.verdict]
    causes = [fault_in_words(fault) for fault in serving.faults]
    if serving.unclear:
        detail = (
            sentence(serving.signature.comparison.reasons)
            if serving.unclear in ("not_judged", "lost_by_chance")
            else ""
        )
        causes.insert(0, f"{UNCLEAR[serving.unclear]}{f' ({detail})' if detail else ''}")
    yield f"{verdict}: {causes[0] if causes else _same(serving.signature)}"
    yield from (f"  also: {cause}" for cause in causes[1:])


def _same(signature: Signature) -> str:
    if signature.equal.count == signature.equal.of:
        return "nothing that was compared differs"
    return "other software, or rounding to 8 bits or more, explains the differences"


def _compared(signature: Signature) -> Iterator[str]:
    yield f"equal answers: {_share(signature.equal)}; equal verdicts: {_share(signature.equal_verdicts)}"
    if signature.gaps:
        median, highest = signature.median_gap, signature.gaps[-1]
        yield f"first-token gap: median {median:.4f}, largest {highest:.4f} (same: median at most {SAME_GAP:g})"
    else:
        yield "first-token gap: unknown, the server gives no log-probabilities"
    prompts = _share(signature.prompts) if signature.prompts.of else "text unknown"
    lengths = _share(signature.lengths) if signature.lengths.of else "unknown"
    yield f"equal prompts: {prompts}; equal numbers of tokens: {lengths}"
    finished = ", ".join(f"{way} {count}" for way, count in signature.finished.items())
    server = signature.server
    context = server.context or "unknown"
    yield f"ended by: {finished}; context: {context} tokens ({signature.longest} needed)"
    if server.model_ids and signature.asked_id not in server.model_ids:
        yield f"note: the server lists {', '.join(server.model_ids)}, not {signature.asked_id}; it may ignore the name"


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{share.count} of {share.of} ({low:.0%} to {high:.0%})"
