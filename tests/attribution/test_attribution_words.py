"""What an explanation says in words."""

from __future__ import annotations

import pytest

from tunegate.attribution.explanation import Deletion
from tunegate.attribution.words import deletion_words


@pytest.mark.parametrize(
    ("test", "says"),
    [
        (
            Deletion(5, fall=2.313, random_fall=0.4, above=20, of=20),
            "without its 5 highest words, the log-probability falls by 2.31; without random ones, it falls by 0.40; "
            "the fall is larger than for 20 of 20 random sets (100%, 95 %: 83% to 100%): better than random",
        ),
        (
            Deletion(1, fall=-0.44, random_fall=1.48, above=0, of=20),
            "without its highest word, the log-probability rises by 0.44; without random ones, it falls by 1.48; "
            "the fall is larger than for 0 of 20 random sets (0%, 95 %: 0% to 17%): NOT shown to be better than random",
        ),
        (
            Deletion(1, fall=7.58, random_fall=0.13, above=5, of=5),
            "without its highest word, the log-probability falls by 7.58; without random ones, it falls by 0.13; "
            "the fall is larger than for 5 of 5 random sets (100%, 95 %: 48% to 100%): NOT shown to be better than "
            "random; there are too few words for that",
        ),
    ],
    ids=["better", "no fall", "five sets cannot show it"],
)
def test_the_deletion_test_in_words(test: Deletion, says: str) -> None:
    assert deletion_words(test, "word") == says


def test_groups_in_the_plural() -> None:
    assert "its 5 highest groups of sentences, " in deletion_words(Deletion(5, 1.0, 0.5, 20, 20), "group of sentences")
