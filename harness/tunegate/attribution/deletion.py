"""The deletion test of a strip: does leaving out its highest pieces matter more than leaving out random ones?"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from tunegate.attribution.explanation import Deletion
from tunegate.attribution.scorer import Scorer
from tunegate.seeds import derived_seed

RANDOM_SETS = 20
MOST_REMOVED = 10


def deletion_test(
    scorer: Scorer, members: Sequence[Sequence[int]], strongest: Sequence[int], seed: int
) -> Deletion | None:
    """Leave out the highest pieces, then random ones; None if there is only one piece.

    `members` are the places in the prompt of each piece, `strongest` the pieces from the highest weight down.
    """
    size = removed_of(len(members))
    if size >= len(members):
        return None
    top = frozenset(strongest[:size])
    others = random_sets(len(members), size, top, derived_seed(seed, len(members)))
    sets = (frozenset[int](), top, *others)
    full, without, *rest = scorer.without(
        [frozenset(place for piece in left_out for place in members[piece]) for left_out in sets]
    )
    falls = [full - value for value in rest]
    above = sum(fall < full - without for fall in falls)
    return Deletion(size, full - without, sum(falls) / len(falls), above, len(falls))


def removed_of(pieces: int) -> int:
    """How many pieces the deletion test leaves out: a fifth, but at least one and at most ten.

    >>> removed_of(2), removed_of(26), removed_of(400)
    (1, 5, 10)
    """
    return min(MOST_REMOVED, max(1, round(pieces / 5)))


def random_sets(pieces: int, size: int, but_not: frozenset[int], seed: int) -> list[frozenset[int]]:
    """Up to 20 different sets of pieces, drawn with a seed; all sets, if there are fewer."""
    rng = random.Random(seed)
    wanted = min(RANDOM_SETS, math.comb(pieces, size) - 1)
    found: dict[frozenset[int], None] = {}
    while len(found) < wanted:
        one = frozenset(rng.sample(range(pieces), size))
        if one != but_not:
            found[one] = None
    return list(found)
