"""A panel of judges: the verdict of more than half of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunegate.checks.check import Sample
from tunegate.checks.outcome import Finding, Verdict
from tunegate.exceptions import ENDS_GATE
from tunegate_suites.judges.opinion import Opinion

Member = Callable[[Sequence[Sample]], Sequence[Finding]]


@dataclass(frozen=True)
class Panel:
    """`pass` or `fail` if more than half of all members say so; a tie gives no opinion.

    A member without a verdict still counts as a member: two of three are needed even if the third is down.
    """

    members: Sequence[Member]

    def opinions(self, samples: Sequence[Sample]) -> list[Opinion]:
        return [self._majority(votes) for votes in zip(*(_asked(one, samples) for one in self.members), strict=True)]

    def _majority(self, votes: Sequence[Finding]) -> Opinion:
        counts = Counter(vote.verdict for vote in votes)
        raw = "\n".join(f"{vote.verdict}: {vote.reason}" for vote in votes)
        votes_by_verdict = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
        for verdict, label in ((Verdict.PASS, "pass"), (Verdict.FAIL, "fail")):
            if 2 * counts[verdict] > len(votes):
                return Opinion(label, votes_by_verdict, raw)
        return Opinion(None, f"no majority in the panel: {votes_by_verdict}", raw)


def _asked(member: Member, samples: Sequence[Sample]) -> Sequence[Finding]:
    """Ask a member; if it raises, it has no opinion on these samples, and the others may still form a majority."""
    try:
        return member(samples)
    except ENDS_GATE:
        raise
    except Exception as error:
        reason = f"raised {type(error).__name__}: {error}"
        return [Finding("judge", Verdict.INVALID, reason=reason) for _ in samples]
