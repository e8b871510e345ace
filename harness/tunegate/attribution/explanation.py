"""What an explanation of one answer consists of, as values; `to_json` and `explanation_from_json` are inverse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tunegate.record.typed_json import read_as
from tunegate.stats.sampling import exact_interval

Method = Literal[
    "ablation",
    "shapley",
    "lime",
    "integrated_gradients",
    "input_x_gradient",
    "attention_rollout",
    "logit_lens",
]
METHODS: tuple[Method, ...] = (
    *("ablation", "shapley", "lime", "integrated_gradients", "input_x_gradient", "attention_rollout", "logit_lens"),
)
UNSIGNED: tuple[Method, ...] = ("input_x_gradient", "attention_rollout")
QUICK: tuple[Method, ...] = ("ablation", "input_x_gradient", "logit_lens")
"""The cheapest method of each kind, for the many cases of a run."""

Unit = Literal["sentence", "group of sentences", "word", "group of words", "token"]


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A token of a text, its log-probability (natural log) at its place, and the token that was most likely there."""

    text: str
    log_probability: float
    top: str
    top_log_probability: float


@dataclass(frozen=True, slots=True)
class Deletion:
    """The deletion test of a strip: the `removed` highest pieces are left out, and so are random sets of the same size.

    `fall` is how far the log-probability of the answer falls without the highest pieces, `random_fall` how far it falls
    on average without the pieces of a random set. With `above` of the `of` random sets it falls less than `fall`.
    """

    removed: int
    fall: float
    random_fall: float
    above: int
    of: int

    @property
    def share(self) -> float:
        """The share of random sets that matter less than the pieces of the strip."""
        return self.above / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """95 % (Clopper-Pearson)."""
        return exact_interval(self.above, self.of)

    @property
    def beats_random(self) -> bool:
        """Whether the strip is shown to be better than a random choice of pieces."""
        return self.interval[0] > 0.5

    @property
    def can_show(self) -> bool:
        """Whether there are enough random sets to show it; a prompt of up to six words has five or fewer."""
        return exact_interval(self.of, self.of)[0] > 0.5


@dataclass(frozen=True, slots=True)
class Strip:
    """The weight of each piece of the prompt by one method. `passes` counts the sequences that the model computed.

    A weight above 0 speaks for the answer, one below 0 against it; the methods in `UNSIGNED` only tell how much a piece
    matters. `gap` is what integrated gradients leave unexplained of the log-odds. `outside` is the share of the weight
    on what is not shown: the chat template.
    """

    method: Method
    unit: Unit
    weights: tuple[float, ...]
    passes: int
    deletion: Deletion | None = None
    gap: float | None = None
    outside: float | None = None

    @property
    def strongest(self) -> list[int]:
        """The pieces from the highest weight to the lowest."""
        return sorted(range(len(self.weights)), key=lambda place: (-self.weights[place], place))


@dataclass(frozen=True, slots=True)
class Focus:
    """The piece of the prompt that one attention head looks at most when it computes the answer's token."""

    layer: int
    head: int
    piece: int
    weight: float


@dataclass(frozen=True, slots=True)
class LayerGuess:
    """What a layer would answer: its most likely token, and the log-probabilities of the answer's and the right one."""

    layer: int
    top: str
    answer: float
    reference: float | None
    leads: bool
    """Whether the answer's token is the most likely."""


@dataclass(frozen=True, slots=True)
class Lens:
    """The logit lens: the guesses after each layer, from 1. The last one is the model's own."""

    layers: tuple[LayerGuess, ...]

    @property
    def appears(self) -> int | None:
        """The layer from which the answer's token leads in every layer; None if it does not lead in the last."""
        found = None
        for guess in reversed(self.layers):
            if not guess.leads:
                break
            found = guess.layer
        return found

    @property
    def lost(self) -> int | None:
        """The layer at which the right token falls behind the answer's for good; None if it was never ahead of it."""
        ahead = [one.layer for one in self.layers if one.reference is not None and one.reference > one.answer]
        return ahead[-1] + 1 if ahead and ahead[-1] < self.layers[-1].layer else None


@dataclass(frozen=True, slots=True)
class MethodFault:
    """A method that gave no result, and why."""

    method: Method
    reason: str


@dataclass(frozen=True, slots=True)
class Pieces:
    """Pieces of the prompt, as character offsets (start, end) that follow each other without a gap."""

    unit: Unit
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Explanation:
    """One answer of one model, explained. `prompt` is what the pieces are offsets in; the chat template is left out.

    `parting` is the place, from 0, of the first token that differs between answer and reference; None if there is no
    reference, or no difference. The strips explain the answer's tokens from `target[0]` up to `target[1]`, given those
    before. `rebuilt` is whether a greedy answer, encoded again, is what the model finds most likely at every place.
    """

    case_id: str
    gate: str
    stage: str | None
    attempt: int | None
    model: str
    model_sha256: str | None
    dtype: str
    prompt: str
    answer: str
    reference: str | None
    answer_tokens: tuple[TokenScore, ...]
    reference_tokens: tuple[TokenScore, ...]
    parting: int | None
    target: tuple[int, int]
    pieces: tuple[Pieces, ...]
    strips: tuple[Strip, ...] = ()
    heads: tuple[Focus, ...] = ()
    lens: Lens | None = None
    faults: tuple[MethodFault, ...] = ()
    seed: int = 0
    rebuilt: bool = True
    flipped: bool = False
    """Whether the base model answered this case right."""

    @property
    def best(self) -> Strip | None:
        """The strip that the deletion test supports most; None if no method gave one."""
        tested = [strip for strip in self.strips if strip.deletion is not None]
        return max(tested, key=_support, default=self.strips[0] if self.strips else None)

    def texts(self, unit: Unit) -> list[str]:
        """The pieces of a unit, as text."""
        [pieces] = [one for one in self.pieces if one.unit == unit]
        return [self.prompt[start:end] for start, end in pieces.spans]

    def to_json(self) -> dict[str, Any]:
        """As a file holds it: weights and log-probabilities to four digits."""
        return _rounded(asdict(self))


def _support(strip: Strip) -> tuple[float, float]:
    test = strip.deletion
    return (0.0, 0.0) if test is None else (test.share, test.fall - test.random_fall)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return [_rounded(one) for one in value] if isinstance(value, Sequence) and not isinstance(value, str) else value  # pyright: ignore[reportUnknownVariableType]


def explanation_from_json(data: Mapping[str, Any]) -> Explanation:
    """The explanation that `to_json` wrote; raises ValueError for anything else."""
    return read_as(Explanation, data)
