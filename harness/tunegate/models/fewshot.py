"""A model with examples in its prompt: those in `fewshot.json`, next to its weights, most similar to the question.

Texts are similar if they share words, especially rare words: the cosine of TF-IDF vectors (Salton and Buckley 1988),
with scikit-learn's smoothed inverse document frequency. Or, if the stage says so, if they mean the same: the cosine of
sentence embeddings. Then the file names the embedding model's weights, and only those may choose.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

from tunegate.cases.case import Case, Prompt
from tunegate.exceptions import CannotJudge
from tunegate.models.loading import read_config
from tunegate.models.model import Form, GenerationSettings, Model, Response, as_messages
from tunegate.models.sentences import Embed, SentenceModel, default_model
from tunegate.models.wrapped import WrappedModel
from tunegate.reading.chats import Message
from tunegate.text.words import words_and_pairs

FILE = "fewshot.json"
EMBEDDING = "embedding_sha256"


@dataclass(frozen=True, slots=True)
class Shot:
    """A question without system messages, and its answer."""

    prompt: Prompt
    answer: str


class Index(Protocol):
    """Finds texts similar to a given text."""

    def nearest(self, text: str, k: int) -> list[int]:
        """The indices of at most `k` texts, the most similar first; equals stay in order."""
        ...


class WordIndex:
    """Finds the texts that share the most words with a text; texts that share none are never returned."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(_words(text)) for text in texts]
        texts_with = Counter(word for count in counts for word in count)
        self._weight = {word: math.log((1 + len(texts)) / (1 + n)) + 1 for word, n in texts_with.items()}
        self._places: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for place, count in enumerate(counts):
            for word, share in self._unit(count).items():
                self._places[word].append((place, share))

    def nearest(self, text: str, k: int) -> list[int]:
        cosines: dict[int, float] = defaultdict(float)
        for word, share in self._unit(Counter(_words(text))).items():
            for place, other in self._places[word]:
                cosines[place] += share * other
        return sorted(cosines, key=lambda place: (-round(cosines[place], 9), place))[:k]

    def _unit(self, count: Mapping[str, int]) -> dict[str, float]:
        """The vector of length 1 over the known words."""
        vector = {word: n * self._weight[word] for word, n in count.items() if word in self._weight}
        length = math.sqrt(sum(value * value for value in vector.values()))
        return {word: value / length for word, value in vector.items()}


class MeaningIndex:
    """Finds the texts with the most similar meaning."""

    def __init__(self, embed: Embed, texts: Sequence[str]) -> None:
        self._embed = embed
        vectors = embed(texts)
        self._vectors = [vectors[text] for text in texts]

    def nearest(self, text: str, k: int) -> list[int]:
        asked = self._embed([text])[text]
        cosines = [round(float(asked @ vector), 6) for vector in self._vectors]
        if not all(map(math.isfinite, cosines)):
            raise CannotJudge(
                "fewshot: the sentence embeddings contain NaN or infinity, so they cannot choose examples"
            )
        return sorted(range(len(cosines)), key=lambda place: (-cosines[place], place))[:k]


def _words(text: str) -> list[str]:
    return words_and_pairs(text.casefold())


@dataclass(frozen=True)
class FewShotModel(WrappedModel):
    """A model that is asked each question after the `k` most similar shots, the most similar last.

    With a chat template the shots are turns of the chat, after its system message; without one (`chat` False) they are
    plain text, separated by a blank line. An empty prompt asks nothing and gets no examples. `index` builds the index
    of the shots' questions.
    """

    shots: Sequence[Shot]
    k: int
    chat: bool = True
    index: Callable[[Sequence[str]], Index] = WordIndex

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self.inner.generate(self.as_asked(cases, settings), settings)

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self.inner.score_choices(self.as_asked(cases, settings), settings)

    def as_asked(self, cases: Sequence[Case], settings: GenerationSettings) -> Sequence[Case]:
        return [self.with_shots(case, settings.form) for case in cases]

    def with_shots(self, case: Case, form: Form = "auto") -> Case:
        """The case with the examples in its prompt."""
        question = _question(case.prompt)
        if not question.strip():
            return case
        chosen = [self.shots[place] for place in reversed(self._index.nearest(question, self.k))]
        if form == "chat" or (form == "auto" and self.chat) or not isinstance(case.prompt, str):
            return replace(case, prompt=_as_turns(chosen, as_messages(case.prompt)))
        texts = [f"{_question(shot.prompt)}{shot.answer}" for shot in chosen]
        return replace(case, prompt="\n\n".join([*texts, case.prompt]))

    @cached_property
    def _index(self) -> Index:
        return self.index([_question(shot.prompt) for shot in self.shots])


def _question(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else "\n".join(turn["content"] for turn in without_system(prompt))


def without_system(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The turns of user and assistant: a system message is allowed only at the start of a chat."""
    return tuple(message for message in messages if message["role"] != "system")


def _as_turns(shots: Sequence[Shot], asked: tuple[Message, ...]) -> tuple[Message, ...]:
    head = [message for message in asked if message["role"] == "system"]
    turns = [
        turn for shot in shots for turn in (*as_messages(shot.prompt), Message(role="assistant", content=shot.answer))
    ]
    return (*head, *turns, *without_system(asked))


def write_shots(folder: Path, shots: Sequence[Shot], k: int, chosen_by: SentenceModel | None = None) -> None:
    """Add examples to the model in a folder, to be chosen by their words or by their meaning."""
    similarity = {} if chosen_by is None else {EMBEDDING: chosen_by.weights_sha256}
    facts = {"k": k, **similarity, "shots": [asdict(shot) for shot in shots]}
    text = json.dumps(facts, ensure_ascii=False, indent=1)
    (folder / FILE).write_text(text + "\n", encoding="utf-8", errors="replace")


def with_shots_of(folder: Path, model: Model, *, chat: bool) -> Model:
    """The model with the examples next to its weights; the model itself if there are none."""
    path = folder / FILE
    if not path.exists():
        return model
    facts = read_config(path)
    try:
        shots = [Shot(_prompt(shot["prompt"]), str(shot["answer"])) for shot in facts["shots"]]
        examples = FewShotModel(model, shots, int(facts["k"]), chat)
    except (KeyError, TypeError, ValueError) as error:
        raise CannotJudge(
            f"{path}: this is not a file of examples from a stage with method fewshot: {error!r}; run the stage again"
        ) from error
    return replace(examples, index=partial(MeaningIndex, _embed_of(path, facts))) if EMBEDDING in facts else examples


def _embed_of(path: Path, facts: Mapping[str, Any]) -> Embed:
    """The embeddings that choose the examples; raises CannotJudge if the installed model is another."""
    chosen_by = default_model(f"{path}: examples chosen by embedding")
    if facts[EMBEDDING] != chosen_by.weights_sha256:
        raise CannotJudge(
            f"{path}: the examples are chosen with the embedding weights {facts[EMBEDDING]!s:.12}, but "
            f"{chosen_by.weights_sha256:.12} are installed; install the former, or run the stage again"
        )
    return chosen_by.embed


def _prompt(value: Any) -> Prompt:
    if isinstance(value, str):
        return value
    return tuple(Message(role=turn["role"], content=turn["content"]) for turn in value)
