"""The training methods: the parts of an example of each, and the use of its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MethodName = Literal["cpt", "sft", "explain", "dpo", "kto", "orpo", "reward", "rlhf", "fewshot"]

Role = Literal["step", "scorer", "baseline"]
"""The use of a stage's model.

step: the next stage starts from it, and the model of the last stage is promoted. scorer: it scores answers for a later
stage, and the next stage starts from the scorer's input model. baseline: it is only measured; later stages must not be
worse than it, and its verdict does not stop a run.
"""


@dataclass(frozen=True, slots=True)
class Method:
    """`answers` are the texts of an example in addition to its prompt; the first is the one to imitate.

    `optional`: whether a row may omit them. `prompted` is False if there is only text. `labelled`: whether an example
    says if its answer is good.
    """

    answers: tuple[str, ...]
    optional: bool = False
    prompted: bool = True
    labelled: bool = False
    role: Role = "step"

    @property
    def reads(self) -> tuple[str, ...]:
        """The keys of a stage's `data` that locate the parts of a row."""
        prompt = ("prompt", "messages", "system") if self.prompted else ()
        return (*prompt, *self.answers, *(("label",) if self.labelled else ()))

    @property
    def use_of_rows(self) -> str:
        """The beginning of a line that ends with the number of rows: a baseline is not trained."""
        return "examples out of" if self.role == "baseline" else "training on"


METHODS: dict[str, Method] = {
    "cpt": Method(("text",), prompted=False),
    "sft": Method(("completion",)),
    "explain": Method(("completion", "explanation")),
    "dpo": Method(("chosen", "rejected")),
    "kto": Method(("completion",), labelled=True),
    "orpo": Method(("chosen", "rejected")),
    "reward": Method(("chosen", "rejected"), role="scorer"),
    "rlhf": Method(("completion",), optional=True),
    "fewshot": Method(("completion",), role="baseline"),
}


def not_read(method: str, data: object) -> str | None:
    """The first key of a `DataSpec` (or of options of the same names) that the method ignores, in words."""
    for key in dict.fromkeys(key for known in METHODS.values() for key in known.reads):
        if getattr(data, key) is not None and key not in METHODS[method].reads:
            takers = [name for name, known in METHODS.items() if key in known.reads]
            return f"{key}: method {method} does not use it, {', '.join(takers)} {'does' if len(takers) == 1 else 'do'}"
    return None
