"""Explains one answer of one model by several methods, and tests each of them: does what it points to matter?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tunegate.attribution.deletion import RANDOM_SETS, deletion_test
from tunegate.attribution.explanation import (
    METHODS,
    Deletion,
    Explanation,
    Focus,
    Lens,
    Method,
    MethodFault,
    Strip,
)
from tunegate.attribution.gradients import STEPS, Gradients
from tunegate.attribution.inside import attended, logit_lens
from tunegate.attribution.perturbation import LIME_SAMPLES, Perturbation, permutations_for
from tunegate.attribution.question import Question, question_of
from tunegate.attribution.scorer import Scorer, token_scores
from tunegate.attribution.stored_case import StoredCase
from tunegate.cases.case import Case
from tunegate.exceptions import CannotJudge, ConfigError, MissingExtra, message_of
from tunegate.models.fewshot import FewShotModel
from tunegate.models.hf import HFModel
from tunegate.models.loaded_model import undisturbed
from tunegate.models.loading import one_line
from tunegate.models.model import Model
from tunegate.models.wrapped import WrappedModel
from tunegate.progress import Progress, no_progress
from tunegate.seeds import derived_seed

LONGEST_TARGET = 16
"""Of an answer without a reference, or equal to it, this many tokens are explained."""
PARTS, TOKENS = 0, 1
"""The two kinds of pieces of a question: words or sentences, and tokens."""


def explain(
    model: Model,
    stored: StoredCase,
    methods: Sequence[Method] = METHODS,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Explanation:
    """Explain the recorded answer to a case by the model that gave it, or by another one.

    A method that fails is named in `faults`. Raises CannotJudge for a case without an answer or a prompt, and
    ConfigError for a model whose weights are not on this machine: a server, a function, stored answers.
    """
    inner, case = _weights_of(model, stored)
    if not stored.answer:
        raise CannotJudge(f"case {stored.case.id!r}: its answer is empty, so there is nothing to explain")
    if not stored.has_prompt:
        raise CannotJudge(f"case {stored.case.id!r}: it has no prompt, so there is no text that it could be based on")
    with undisturbed(inner.model):
        question = question_of(
            inner,
            case,
            stored.settings,
            stored.answer,
            stored.reference,
            scored=stored.scored,
            ended=stored.ended,
        )
        if not question.answer:
            raise CannotJudge(f"case {stored.case.id!r}: its answer has no tokens")
        return _Work(inner, question, stored, tuple(dict.fromkeys(methods)), seed, progress).explained()


def _weights_of(model: Model, stored: StoredCase) -> tuple[HFModel, Case]:
    """The model with the weights, and the case as it reaches it: with its examples, where a stage made some."""
    case = stored.case
    while isinstance(model, WrappedModel):
        if isinstance(model, FewShotModel):
            case = model.with_shots(case, stored.settings.form)
        model = model.inner
    if not isinstance(model, HFModel):
        raise ConfigError(
            f"model {model.name!r}: an explanation needs the weights of a language model on this machine; name its "
            "folder with --model"
        )
    return model, case


@dataclass(frozen=True)
class _Found:
    """What one method found, before it is tested."""

    unit: int
    weights: list[float]
    passes: int
    gap: float | None = None
    outside: float | None = None


class _Work:
    """One explanation under way."""

    def __init__(
        self,
        model: HFModel,
        question: Question,
        stored: StoredCase,
        methods: Sequence[Method],
        seed: int,
        progress: Progress,
    ) -> None:
        self._model = model
        self._question = question
        self._stored = stored
        self._methods = methods
        self._seed = derived_seed("explain", seed, stored.case.id)
        self._given_seed = seed
        self._progress = progress
        self._target = _target_of(question)
        self._scorer = Scorer(model, question, self._target, self._count)
        self._done, self._planned = 0, planned_passes(question, methods)
        self._heads: tuple[Focus, ...] = ()
        self._lens: Lens | None = None

    def explained(self) -> Explanation:
        """Score the tokens, then run and test method after method."""
        question, stored = self._question, self._stored
        answer = token_scores(self._model, question.ids, question.answer)
        reference = token_scores(self._model, question.ids, question.reference or ())
        self._count(1 + bool(reference))
        strips: list[Strip] = []
        faults: list[MethodFault] = []
        for method in self._methods:
            try:
                strips += self._strip(method)
            except MissingExtra:
                raise
            except (CannotJudge, ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError,
                    ValueError, NotImplementedError) as error:  # fmt: skip
                # a library that has never seen this kind of network may raise anything of these
                faults.append(MethodFault(method, one_line(error) if message_of(error) else type(error).__name__))
        self._progress(self._label, self._planned, self._planned, "passes")
        greedy = stored.settings.temperature <= 0 and not stored.scored and not stored.by_another
        return Explanation(
            case_id=stored.case.id,
            gate=stored.gate,
            stage=stored.stage,
            attempt=stored.attempt,
            model=self._model.name,
            model_sha256=self._model.sha256,
            dtype=self._model.dtype,
            prompt=question.shown,
            answer=stored.answer,
            reference=stored.reference,
            answer_tokens=answer,
            reference_tokens=reference,
            parting=question.parting,
            target=self._target,
            pieces=question.units,
            strips=tuple(strips),
            heads=self._heads,
            lens=self._lens,
            faults=tuple(faults),
            seed=self._given_seed,
            rebuilt=not greedy or all(one.text == one.top for one in answer),
            flipped=stored.flipped,
        )

    # --- methods ---

    def _strip(self, method: Method) -> list[Strip]:
        """The strip of a method with its deletion test; the logit lens has none."""
        if method == "logit_lens":
            self._lens = logit_lens(self._model, self._question, self._target)
            self._count(1)
            return []
        found = self._found(method)
        if not all(map(math.isfinite, found.weights)):
            raise CannotJudge("its weights are not finite numbers")
        unit = self._question.units[found.unit].unit
        strip = Strip(method, unit, tuple(found.weights), found.passes, gap=found.gap, outside=found.outside)
        return [replace(strip, deletion=self._tested(strip, found.unit))]

    def _found(self, method: Method) -> _Found:
        members = self._question.members[PARTS]
        if not members:
            raise CannotJudge("the prompt is empty")
        leaving_out = Perturbation(self._scorer, members, self._seed)
        by_parts: Mapping[Method, Callable[[], list[float]]] = {
            "ablation": leaving_out.ablation,
            "shapley": leaving_out.shapley,
            "lime": leaving_out.lime,
        }
        if method in by_parts:
            before = self._scorer.passes
            weights = by_parts[method]()
            return _Found(PARTS, weights, self._scorer.passes - before)
        if method == "attention_rollout":
            seen = attended(self._model, self._question, self._target)
            self._heads = seen.heads
            self._count(1)
            return self._on_tokens(seen.rollout, 1, shares=True)
        following = Gradients(self._model, self._question, self._target)
        if method == "input_x_gradient":
            self._count(1)
            return self._on_tokens(following.input_x_gradient(), 1)
        weights, gap = following.integrated_gradients()
        self._count(STEPS + 2)
        return replace(self._on_tokens(weights, STEPS + 2), gap=gap)

    def _on_tokens(self, weights: Sequence[float], passes: int, *, shares: bool = False) -> _Found:
        """The weights of the shown tokens, out of those of the whole prompt."""
        shown = [sum(weights[place] for place in places) for places in self._question.members[TOKENS]]
        outside = 1.0 - sum(shown) / sum(weights) if shares and sum(weights) > 0 else None
        return _Found(TOKENS, shown, passes, outside=outside)

    def _tested(self, strip: Strip, unit: int) -> Deletion | None:
        return deletion_test(self._scorer, self._question.members[unit], strip.strongest, self._seed)

    # --- progress ---

    def _count(self, passes: int) -> None:
        self._done = min(self._done + passes, self._planned)
        self._progress(self._label, self._done, self._planned, "passes")

    @property
    def _label(self) -> str:
        return f"explaining {self._stored.case.id}"


def _target_of(question: Question) -> tuple[int, int]:
    """The first token that differs from the reference, or the beginning of an answer that does not differ."""
    parting = question.parting
    if parting is not None and parting < len(question.answer):
        return parting, parting + 1
    return 0, min(len(question.answer), LONGEST_TARGET)


def planned_passes(question: Question, methods: Sequence[Method]) -> int:
    """The largest number of sequences that are computed: each method has a bound, and they share what is computed."""
    parts = len(question.members[PARTS])
    costs: Mapping[Method, int] = {
        "ablation": parts + 1,
        "shapley": permutations_for(parts) * parts + 2,
        "lime": LIME_SAMPLES + 1,
        "integrated_gradients": STEPS + 2,
        "input_x_gradient": 1,
        "attention_rollout": 1,
        "logit_lens": 1,
    }
    tested = sum(method != "logit_lens" for method in methods)
    units = 2 if tested else 0
    return 2 + sum(costs[method] for method in methods) + tested + units * (RANDOM_SETS + 2)
