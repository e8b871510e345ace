"""Models that run locally from their weights: a safetensors folder, a PEFT adapter on its base, a converted GGUF file.

A plain prompt becomes one user message if the tokenizer has a chat template; otherwise it stays raw text
(`prompting.py` has the details, including multiple choice). Answers are greedy unless the settings say otherwise;
sampling settings in a model's generation_config.json are not applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.models import decoding, loading, placement, prompting, sampling
from tunegate.models.adapters import load_adapter
from tunegate.models.chat_template import NO_GENERATION_PROMPT, lacks_generation_prompt
from tunegate.models.loading import Dtype, hf_import
from tunegate.models.model import ChoiceScore, Fault, GenerationSettings, Response
from tunegate.models.timing import HowTimed, Timing, timing_of

BATCH_SIZE_CPU, BATCH_SIZE_GPU = 32, 128
BATCH_TOKENS = 65_536  # prompt tokens in a batch, with padding: limits the memory for long prompts
BATCH_SCORED = 8_192  # scored tokens in a batch: each needs one number per entry of the vocabulary


@dataclass(frozen=True, slots=True)
class _Job:
    """A case prepared for the model: `length` is the number of tokens that it adds to a batch."""

    index: int
    length: int
    prompt: list[int]
    choices: list[list[int]]

    @property
    def batch(self) -> int:
        """How many such jobs fit into a batch; at least one."""
        scored = max(map(len, self.choices), default=0) * len(self.choices)
        return max(1, min(BATCH_TOKENS // self.length, BATCH_SCORED // max(scored, 1)))


@dataclass
class _Room:
    """How much at once memory has allowed so far: how many cases, and the limits on tokens divided by `parts`."""

    cases: int
    parts: int = 1


_Work = Callable[[Sequence[_Job]], Iterator[tuple[int, Response]]]


@dataclass(frozen=True)
class HFModel:
    """A causal language model of transformers with its tokenizer; `open_model` makes one from a path."""

    name: str
    sha256: str | None
    model: Any
    tokenizer: Any
    batch_size: int
    target_delimiter: str = " "
    sha256_now: Callable[[], str] | None = None
    """Hashes the files again that it was loaded from."""
    size_bytes: int | None = None
    """The bytes of its weights on disk, adapters included."""

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        name: str | None = None,
        sha256: str | None = None,
        adapters: Sequence[Path] = (),
        device: str | None = None,
        dtype: Dtype = "auto",
        batch_size: int | None = None,
    ) -> HFModel:
        """Load the model in `folder` and merge `adapters` into it, in order.

        Adapters are merged in float32, then the model is cast: merging in bfloat16 would round the weights twice.
        """
        device = loading.choose_device(device)
        torch_dtype = loading.choose_dtype(dtype, device)
        tokenizer = loading.load_tokenizer(*reversed(adapters), folder)
        model = loading.load_weights(folder, hf_import("torch").float32 if adapters else torch_dtype)
        for adapter in adapters:
            model = load_adapter(model, adapter)
        default_batch = BATCH_SIZE_GPU if device.startswith("cuda") else BATCH_SIZE_CPU
        model = placement.place(model.to(torch_dtype), device)
        return cls(name or str(folder), sha256, model, tokenizer, batch_size or default_batch)

    @property
    def dtype(self) -> str:
        """The number type of its computations: `float32`, `bfloat16` or `float16`."""
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def notes(self) -> tuple[str, ...]:
        """Oddities of the model that do not prevent a verdict."""
        if self.tokenizer.chat_template and lacks_generation_prompt(prompting.render_by(self.tokenizer)):
            return (f"{self.name}: {NO_GENERATION_PROMPT}",)
        return ()

    @property
    def chat_templates(self) -> tuple[str, ...]:
        """The chat templates of its tokenizer: one, or several by name."""
        own: Any = self.tokenizer.chat_template
        return tuple(cast(dict[str, str], own).values()) if isinstance(own, dict) else (own,) if own else ()

    @property
    def block_size(self) -> int:
        """One block of the runner is one batch of this model."""
        return self.batch_size

    @property
    def halved_batch(self) -> int | None:
        """The size that batches were reduced to when GPU memory ran out; None if it never did, or only for batches that
        were smaller anyway because their prompts are long."""
        return self._room.cases if self._room.cases < self.batch_size else None

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        """Answer the cases, longest prompts first; each answer is yielded when it is complete."""
        jobs, misfits = self._questions(cases, settings)
        yield from misfits
        yield from self._run(jobs, lambda batch: self._answer(batch, cases, settings))

    def timed(self, cases: Sequence[Case], settings: GenerationSettings, how: HowTimed) -> Iterator[Timing]:
        """Answer the cases one at a time and time each, from its prompt's text to its last token.

        The clock is read after a token is in main memory, so a GPU has finished its work by then.
        """
        for case in cases:
            heard: list[float] = []

            def on_token(heard: list[float] = heard) -> None:
                if not heard:
                    heard.append(how.clock())

            started = how.clock()
            jobs, misfits = self._questions([case], settings)

            def answer(batch: Sequence[_Job], case: Case = case, on_token: Callable[[], None] = on_token):
                return self._answer(batch, [case], settings, on_token)

            [(_, response)] = [*misfits, *self._run(list(jobs), answer)]
            seconds = how.clock() - started
            first = heard[0] - started if heard else None
            yield timing_of(response, seconds, first, len(jobs[0].prompt) if jobs else None)

    def _questions(
        self, cases: Sequence[Case], settings: GenerationSettings
    ) -> tuple[list[_Job], list[tuple[int, Response]]]:
        if settings.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens: expected 1 or more, got {settings.max_new_tokens}")
        prompting.check_settings(self.tokenizer, settings)

        def prepare(index: int, case: Case) -> _Job:
            prompt = prompting.answer_prompt(self.tokenizer, case, settings)
            return _Job(index, len(prompt), prompt, [])

        return self._prepared(cases, prepare, settings.max_new_tokens)

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        """Log-likelihood of every choice as the prompt's continuation; the text is the most likely choice.

        Numbers agree with lm-evaluation-harness's `acc` (sum over tokens) and, divided by length, `acc_norm`.
        """
        prompting.check_settings(self.tokenizer, settings)

        def prepare(index: int, case: Case) -> _Job:
            if not case.choices:
                raise ValueError("the case has no choices")
            prompt, choices = prompting.choice_prompt(self.tokenizer, case, settings, self.target_delimiter)
            if not all(choices):
                raise ValueError("the case has an empty choice")
            # The context is computed once, but its cache is copied for every choice.
            return _Job(index, (len(prompt) + max(map(len, choices))) * len(choices), prompt, choices)

        jobs, misfits = self._prepared(cases, prepare, 0)
        yield from misfits
        yield from self._run(jobs, lambda batch: self._score(batch, cases))

    def _prepared(
        self, cases: Sequence[Case], prepare: Callable[[int, Case], _Job], new_tokens: int
    ) -> tuple[list[_Job], list[tuple[int, Response]]]:
        """The cases that the model can be asked, and INVALID responses for the others: a prompt is never cut."""
        limit = self._max_positions
        jobs: list[_Job] = []
        misfits: list[tuple[int, Response]] = []
        for index, case in enumerate(cases):
            try:
                job = prepare(index, case)
            except ConfigError:
                raise
            except Exception as error:  # a chat template is a program: it may refuse a role, or fail on a message
                misfits.append((index, _invalid(f"the prompt could not be built: {loading.one_line(error)}")))
                continue
            new = max(map(len, job.choices), default=new_tokens)
            if limit is not None and len(job.prompt) + new > limit:
                reason = f"{len(job.prompt)} prompt tokens and {new} new tokens exceed the model's {limit} positions"
                misfits.append((index, _invalid(reason)))
            else:
                jobs.append(job)
        return jobs, misfits

    def _run(self, jobs: list[_Job], work: _Work) -> Iterator[tuple[int, Response]]:
        """Work in batches of similar length, the longest first.

        The rest of a batch that raised is tried again in halves, so that one case that cannot be computed does not
        affect the others. After GPU memory ran out, batches stay small, also in later calls: all of them, or, if
        the limits on tokens had made the batch small, only those of prompts as long.
        """
        out_of_memory = hf_import("torch").OutOfMemoryError
        todo = sorted(jobs, key=lambda job: (-job.length, job.prompt))
        room = self._room
        size = room.cases
        while todo:
            most = max(1, todo[0].batch // room.parts)
            batch = todo[: min(size, most)]
            waiting = {job.index: job for job in batch}
            del todo[: len(batch)]
            try:
                for index, response in work(batch):
                    del waiting[index]
                    yield index, response
                size = room.cases
            except (RuntimeError, IndexError, MemoryError) as error:
                if len(batch) == 1:
                    yield batch[0].index, _invalid(f"the model failed: {loading.one_line(error)}", Fault.NO_REPLY)
                    size = room.cases
                    continue
                size = len(batch) // 2
                todo[:0] = waiting.values()
                if isinstance(error, out_of_memory) and most < room.cases:
                    room.parts *= 2
                elif isinstance(error, out_of_memory):
                    room.cases = size

    def _answer(
        self,
        batch: Sequence[_Job],
        cases: Sequence[Case],
        settings: GenerationSettings,
        on_token: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[int, Response]]:
        stop_window = max((len(stop.encode()) for stop in settings.stop), default=0) + 8

        def ended(row: int, tokens: Sequence[int]) -> bool:
            on_token()
            if tokens[-1] in self._end_ids:
                return True
            # A stop string that ends here is within the last few tokens: every token adds at least one byte.
            return bool(settings.stop) and _stop_at(self._text(tokens[-stop_window:]), settings.stop) is not None

        prompts = [job.prompt for job in batch]
        pick = sampling.picker(prompts, [cases[job.index].id for job in batch], settings)
        limit = settings.max_new_tokens
        for done in decoding.decode(self.model, prompts, max_new_tokens=limit, pick=pick, ended=ended):
            text = self._text(done.tokens)
            text = text[: _stop_at(text, settings.stop)]
            yield batch[done.row].index, Response(text, done.finish_reason, len(done.tokens))

    def _score(self, batch: Sequence[_Job], cases: Sequence[Case]) -> Iterator[tuple[int, Response]]:
        scores = decoding.continuation_log_likelihoods(
            self.model, [job.prompt for job in batch], [job.choices for job in batch]
        )
        for job, values in zip(batch, scores, strict=True):
            choices = cases[job.index].choices
            best = choices[max(range(len(values)), key=values.__getitem__)]
            pairs = zip(values, choices, strict=True)
            yield (
                job.index,
                Response(best, "stop", choice_scores=tuple(ChoiceScore(v, len(c.encode())) for v, c in pairs)),
            )

    def _text(self, tokens: Sequence[int]) -> str:
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    @cached_property
    def _room(self) -> _Room:
        return _Room(self.batch_size)

    @cached_property
    def _end_ids(self) -> frozenset[int]:
        """Token ids that end an answer: from generation_config.json, or from the tokenizer if it has none."""
        ids = getattr(self.model.generation_config, "eos_token_id", None)
        if ids is None:
            ids = self.tokenizer.eos_token_id
        return frozenset([ids] if isinstance(ids, int) else ids or ())

    @cached_property
    def _max_positions(self) -> int | None:
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)


def _stop_at(text: str, stops: Sequence[str]) -> int | None:
    """The start of the first stop string, or None."""
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return min(places, default=None)


def _invalid(reason: str, fault: Fault = Fault.REJECTED) -> Response:
    return Response("", error=reason, fault=fault)
