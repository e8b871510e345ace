"""How often an answer depends on the batch size: 100 genes prompts, answered in batches of 32, 8 and 1.

Usage: python -m tests.bench.determinism [MODEL [COUNT [DTYPE...]]] (five minutes on two cores that know bfloat16).
Prints one JSON object a line.
docs/determinism.md says what to make of the numbers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace

from tests.bench.generation import MODEL, genes_cases, tunegate_answers
from tunegate.models.hf import HFModel
from tunegate.models.loading import Dtype
from tunegate.models.open_model import open_model

DTYPES: tuple[Dtype, ...] = ("bfloat16", "float32")
BATCH_SIZES = (32, 8, 1)


def main(spec: str = MODEL, count: int = 100, dtypes: Sequence[Dtype] = DTYPES) -> None:
    cases = genes_cases(count)
    for dtype in dtypes:
        model = open_model(spec, dtype=dtype)
        assert isinstance(model, HFModel)
        answers = {size: tunegate_answers(replace(model, batch_size=size), cases) for size in BATCH_SIZES}
        reference = answers[BATCH_SIZES[0]]
        differing = {
            size: sum(a != b for a, b in zip(reference, answers[size], strict=True)) for size in BATCH_SIZES[1:]
        }
        print(json.dumps({"dtype": dtype, "answers": count, "differ_from_batch_32": differing}), flush=True)


if __name__ == "__main__":
    model, number, *wanted = [*sys.argv[1:], *(MODEL, "100")[len(sys.argv) - 1 :]]
    main(model, int(number), [dtype for dtype in DTYPES if dtype in wanted or not wanted])
