"""`prepare`: prepares training rows before training, and lists every row that it leaves out.

In this order: personal data is refused or masked, repeated rows are left out, then rows that are too long, and the rest
is split. The same rows and the same settings give the same examples, on every machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tunegate.data.faults import ranges, usable_words
from tunegate.data.near_duplicates import Repeats, exact_repeats, near_repeats
from tunegate.data.spec import DataSpec, PrepareSpec
from tunegate.data.split import split_by_group
from tunegate.data.token_lengths import CountTokens, is_chunked
from tunegate.data.training_data import (
    Example,
    LeftOut,
    TrainingData,
    TrainingFile,
    check_labels,
    digest,
    load_training_data,
)
from tunegate.exceptions import ConfigError
from tunegate.models.pii_names import name_finder
from tunegate.progress import Progress
from tunegate.reading.rows import MAX_BYTES_BY_LINE
from tunegate.text.pii import FindNames, Found, find_pii, mask

REPEATED, NEARLY, TOO_LONG, SAME = "repeats a row", "nearly repeats a row", "too long", "no preference once masked"
"""Why a row is left out; a row of another part has the reason `part: test`."""


@dataclass(frozen=True, slots=True)
class PrepareTools:
    """What preparing needs from outside: a counter of tokens for `max_tokens`, and a callback for progress.

    `masking` is what a user must write instead of `prepare` to have personal data masked.
    """

    count_tokens: CountTokens | None = None
    progress: Progress | None = None
    masking: str = "pii: mask"


def load_prepared(spec: DataSpec, method: str, base_dir: Path, tools: PrepareTools | None = None) -> TrainingData:
    """A stage's training data, prepared as in the pipeline file; raises ConfigError, including DataFaults."""
    method = spec.rows_for(method)
    data = load_training_data(spec, method, base_dir)
    return data if spec.prepare is None else prepare(data, method, spec.prepare, tools or PrepareTools())


def open_prepared(
    spec: DataSpec, method: str, base_dir: Path, tools: PrepareTools | None = None
) -> TrainingData | TrainingFile:
    """Like `load_prepared`, but rows that do not change are left in their file; only the first of them is read here."""
    if spec.prepare is not None and spec.prepare.changes_rows:
        return load_prepared(spec, method, base_dir, tools)
    file = TrainingFile(spec, spec.rows_for(method), base_dir, MAX_BYTES_BY_LINE)
    next(iter(file))
    return file


def prepare(data: TrainingData, method: str, spec: PrepareSpec, tools: PrepareTools) -> TrainingData:
    """The rows to train on, with the others in `left_out`; raises ConfigError if none are left."""
    if spec.pii != "keep":
        data = _without_pii(data, spec, tools)
    if spec.duplicates != "keep":
        data = _leave_out_repeats(data, REPEATED, exact_repeats(data.examples))
    if spec.duplicates == "near":
        data = _leave_out_repeats(data, NEARLY, near_repeats(data.examples, tools.progress))
    if spec.max_tokens is not None:
        data = _leave_out_long(data, method, spec.max_tokens, tools)
    if spec.split is not None:
        parts = split_by_group(data.examples, spec.split.shares, spec.split.seed)
        train = parts.pop("train")
        left_out = [LeftOut(f"part: {part}", _numbers(own)) for part, own in parts.items() if own]
        data = replace(data, examples=train, left_out=(*data.left_out, *left_out), held_out=parts)
    if not data.examples:
        raise ConfigError(f"{data.path}: `prepare` left out every row: {left_out_words(data)}")
    check_labels(data.path, Counter(example.label for example in data.examples))
    return replace(data, sha256=digest(data.examples))


def left_out_words(data: TrainingData) -> str:
    """`1,080 rows, 900 usable; left out: repeats a row 80, part: test 100`."""
    return usable_words(data.rows_in, {one.why: len(one.rows) for one in data.left_out})


def _numbers(examples: Sequence[Example]) -> tuple[int, ...]:
    return tuple(example.number for example in examples)


def _leave_out(data: TrainingData, left_out: LeftOut) -> TrainingData:
    if not left_out.rows:
        return data
    gone = set(left_out.rows)
    kept = tuple(example for example in data.examples if example.number not in gone)
    return replace(data, examples=kept, left_out=(*data.left_out, left_out))


def _leave_out_repeats(data: TrainingData, why: str, repeats: Repeats) -> TrainingData:
    return _leave_out(data, LeftOut(why, tuple(repeats), tuple(repeats.values())))


def _leave_out_long(data: TrainingData, method: str, max_tokens: int, tools: PrepareTools) -> TrainingData:
    if is_chunked(method):
        raise ConfigError(
            f"{data.path}: prepare.max_tokens: method {method} cuts long texts into chunks and leaves no row out; "
            "write options.chunk_tokens instead"
        )
    if tools.count_tokens is None:
        raise ConfigError(
            f"{data.path}: prepare.max_tokens: the model's tokenizer must count the tokens, but the model is not on "
            "this machine; name a model folder or file"
        )
    counts = tools.count_tokens(data.examples, tools.progress)
    long = [example.number for example, count in zip(data.examples, counts, strict=True) if count > max_tokens]
    return _leave_out(data, LeftOut(TOO_LONG, tuple(long)))


# --- personal data -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RowPii:
    """Personal data in one row: the count of each kind, and the example with it masked."""

    kinds: Counter[str]
    masked: Example


def row_pii(example: Example, find_names: FindNames | None = None) -> RowPii:
    """Find personal data in the prompt and the answers of an example."""
    kinds: Counter[str] = Counter()

    def clean(text: str) -> str:
        found: list[Found] = find_pii(text, find_names)
        kinds.update(one.kind for one in found)
        return mask(text, found) if found else text

    prompt = example.prompt
    if isinstance(prompt, str):
        prompt = clean(prompt)
    elif prompt is not None:
        prompt = tuple({**turn, "content": clean(turn["content"])} for turn in prompt)
    answers = {name: clean(text) for name, text in example.answers.items()}
    return RowPii(kinds, replace(example, prompt=prompt, answers=answers) if kinds else example)


def _without_pii(data: TrainingData, spec: PrepareSpec, tools: PrepareTools) -> TrainingData:
    find_names = None if spec.names is None else name_finder(spec.names)
    examples: list[Example] = []
    rows_of: dict[str, list[int]] = {}
    counts: Counter[str] = Counter()
    for done, example in enumerate(data.examples):
        if tools.progress is not None and done % 1000 == 0:
            tools.progress("personal data", done, len(data.examples), "rows")
        found = row_pii(example, find_names)
        examples.append(found.masked)
        counts += found.kinds
        for kind in found.kinds:
            rows_of.setdefault(kind, []).append(example.number)
    if rows_of and spec.pii == "refuse":
        told = "; ".join(f"{kind} in rows {ranges(rows)}" for kind, rows in rows_of.items())
        raise ConfigError(f"{data.path}: personal data: {told}; remove it, or write `{tools.masking}`")
    same = [e.number for e in examples if "rejected" in e.answers and e.answers["chosen"] == e.answers["rejected"]]
    masked = replace(data, examples=tuple(examples), masked=dict(counts))
    return _leave_out(masked, LeftOut(SAME, tuple(same)))
