"""`judge`: an LLM decides by a rubric."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar

from pydantic import Field

from tunegate.checks import Sample
from tunegate.exceptions import TunegateError, nearest
from tunegate.outcomes import Finding
from tunegate_suites.base import NumericCheck
from tunegate_suites.judge_local import LocalJudge, Opinion
from tunegate_suites.judge_prompt import judge_messages
from tunegate_suites.judge_server import ServerJudge, ServerOptions, api_key
from tunegate_suites.options import require
from tunegate_suites.rubric import RubricFile

ITSELF = "the judge is the model under test: name another one, or say in words why not (allow_self_judging)"


class Judge(NumericCheck):
    """An LLM judges the answer by a rubric file: a local model or an OpenAI-compatible server.

    What is no verdict of the rubric (a server that is down, a malformed or empty reply) makes the case INVALID, with
    the raw reply kept. The model under test is not asked to judge itself.
    """

    example: ClassVar[str] = "judge: {rubric: rubrics/helpful.yaml, model: ./judge, min: 4}"
    passes_when: ClassVar[str] = "`min` <= verdict <= `max` on a scale; the verdict is in `accept` for labels"
    extra: ClassVar[str | None] = "judge (server) or hf (model)"
    bounds_required: ClassVar[bool] = False

    rubric: RubricFile
    """file with criterion, scale or labels, meanings, examples"""
    model: str | None = None
    """a local model (folder, .gguf file, hub id): the verdict is the label it finds likeliest"""
    server: ServerOptions | None = None
    """an OpenAI-compatible server (its options are below)"""
    accept: list[str] | None = None
    """labels that pass"""
    allow_self_judging: Annotated[str, Field(min_length=10)] | None = None
    """why the model under test may judge itself, in words"""

    def prepare(self) -> None:
        self._check_pass_condition()
        if (self.model is None) == (self.server is None):
            raise self.config_error("model", "name a judge: either 'model', a local one, or 'server'")
        if self.server is not None:
            require("judge with a server", "judge", "openai")
            api_key(self.server, self.name)
        else:
            _ = self._sha256

    def _check_pass_condition(self) -> None:
        menu, scale = self.rubric.menu, self.rubric.scale
        if scale is None:
            if not self.accept or self.cutoff is not None:
                raise self.config_error("accept", f"the rubric has labels: say which pass, as accept: [{menu[0]}]")
            for label in self.accept:
                if label not in menu:
                    raise self.config_error("accept", f"{label!r} is not a label of the rubric{nearest(label, menu)}")
            if set(menu) <= set(self.accept):
                raise self.config_error("accept", f"nothing fails: all labels are accepted, {', '.join(menu)}")
            return
        if self.cutoff is None or self.accept is not None:
            raise self.config_error("min", f"the rubric has a scale: say what passes, as min: {scale.max - 1}")
        for option, bound in (("min", self.min), ("max", self.max)):
            if bound is not None and not scale.min <= bound <= scale.max:
                message = f"expected a number on the rubric's scale, {scale.min} to {scale.max}, got {bound:g}"
                raise self.config_error(option, message)
        if self.holds_for_all(scale.min, scale.max):
            option = "max" if self.min is None else "min"
            raise self.config_error(option, f"nothing fails: every verdict is from {scale.min} to {scale.max}")

    @property
    def batch_size(self) -> int:
        return 64

    @cached_property
    def _model_path(self) -> str:
        """The local model, with a path made relative to the suite file."""
        beside = self._context.base_dir / (self.model or "")
        return str(beside) if beside.exists() else self.model or ""

    @cached_property
    def _sha256(self) -> str | None:
        """The fingerprint of a local judge."""
        if self.model is None:
            return None
        try:
            return self._context.models.sha256(self._model_path)
        except TunegateError as error:
            raise self.config_error("model", str(error)) from error

    def further_facts(self) -> dict[str, Any]:
        return {"judge_sha256": self._sha256}

    def is_the_model(self, name: str, sha256: str | None) -> bool:
        """Whether a model under test is this judge: the same weights, or the same name on the same server.

        The name of a model on a server is written `http://host/v1#model`.
        """
        if self.server is not None:
            return name.replace("/#", "#") == f"{self.server.base_url.rstrip('/')}#{self.server.model}"
        return sha256 is not None and sha256 == self._sha256

    @cached_property
    def _backend(self) -> LocalJudge | ServerJudge:
        if self.server is not None:
            return ServerJudge(self.server, self.rubric.menu)
        return LocalJudge(self._model_path, self.rubric.menu, self._context.models)

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        if self.allow_self_judging is None and any(
            self.is_the_model(sample.model_name, sample.model_sha256) for sample in samples
        ):
            return [self.invalid(ITSELF) for _ in samples]
        as_json = self.server is not None
        questions = [
            judge_messages(self.rubric, sample.case, sample.response.text, as_json=as_json) for sample in samples
        ]
        opinions = self._backend.ask(questions)
        return [self._finding(opinion, sample) for opinion, sample in zip(opinions, samples, strict=True)]

    def _finding(self, opinion: Opinion, sample: Sample) -> Finding:
        if opinion.label is None:
            return self.invalid(opinion.reason, opinion.raw)
        if opinion.object and _squeezed(opinion.object) in _squeezed(sample.response.text):
            return self.invalid("the judge's verdict stands word for word in the answer: it was repeated", opinion.raw)
        note = f": {opinion.reason}" if opinion.reason else ""
        if self.rubric.scale is not None:
            return self.scored(float(opinion.label), note, opinion.raw)
        ok = opinion.label in (self.accept or ())
        return self.passed(ok, opinion.label, f"verdict {opinion.label}{note}", detail=opinion.raw)


def _squeezed(text: str) -> str:
    """The text without white space, which the prompt adds to control tokens and a judge to anything."""
    return "".join(text.split())
