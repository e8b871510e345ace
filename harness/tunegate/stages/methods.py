"""The training methods, as the engine knows them: what an example of each holds, and what its model is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MethodName = Literal["cpt", "sft", "explain", "dpo", "kto", "orpo", "reward", "rlhf", "fewshot"]

Role = Literal["step", "scorer", "baseline"]
"""What becomes of a stage's model.

step: the next stage starts from it, and the last one's is promoted. scorer: it scores answers for a later stage, and
the chain goes on from where it was. baseline: it is measured, what comes later must not fall behind it, and no verdict
on it holds a run up.
"""


@dataclass(frozen=True, slots=True)
class Method:
    """`answers` are the texts of an example beside its prompt; the first is the one to imitate.

    `optional`: whether a row may lack them. `prompted` is False where there is only text. `labelled`: whether an
    example says if its answer is wanted.
    """

    answers: tuple[str, ...]
    optional: bool = False
    prompted: bool = True
    labelled: bool = False
    role: Role = "step"

    @property
    def takes(self) -> frozenset[str]:
        """The settings of `data` that say where the parts of an example are; the method passes over all others."""
        prompt = {"prompt", "messages", "system"} if self.prompted else set[str]()
        return frozenset({*self.answers, *prompt, *(["label"] if self.labelled else [])})

    @property
    def use_of_rows(self) -> str:
        """What is done to the rows, for a line that goes on with how many they are: a baseline is not trained."""
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
