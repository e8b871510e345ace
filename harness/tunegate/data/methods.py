"""The training methods: the parts of an example of each, and the use of its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tunegate.exceptions import ConfigError, nearest
from tunegate.extensions import extension, names

MethodName = Literal["cpt", "sft", "explain", "dpo", "kto", "orpo", "reward", "rlhf", "fewshot", "command"]

Role = Literal["step", "scorer", "baseline"]
"""The use of a stage's model.

step: the next stage starts from it, and the model of the last stage is promoted. scorer: it scores answers for a later
stage, and the next stage starts from the scorer's input model. baseline: it is only measured; later stages must not be
worse than it, and its verdict does not stop a run.
"""


@dataclass(frozen=True, slots=True)
class Method:
    """`answers` are the texts of an example in addition to its prompt; the first is the one to imitate.

    `optional`: whether a row may omit them. `prompted` is False if there is only text. `labelled`: whether an
    example says if its answer is good. `resumes` is False if a killed training begins again: Tunegate does not know the
    checkpoints of an external trainer. Such a method has no `answers` (`rows_as`).
    """

    answers: tuple[str, ...]
    optional: bool = False
    prompted: bool = True
    labelled: bool = False
    role: Role = "step"
    resumes: bool = True

    @property
    def reads(self) -> tuple[str, ...]:
        """The keys of a stage's `data` that locate the parts of a row."""
        prompt = ("prompt", "messages", "system") if self.prompted else ()
        return (*prompt, *self.answers, *(("label",) if self.labelled else ()))

    @property
    def use_of_rows(self) -> str:
        """The beginning of a line that ends with the number of rows: a baseline is not trained."""
        return "examples out of" if self.role == "baseline" else "training on"


OWN_TRAINER = Method((), prompted=False, resumes=False)
"""A method whose trainer is the user's own, or a package's."""

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
    "command": OWN_TRAINER,
}

ROW_METHODS = tuple(name for name, method in METHODS.items() if method.answers)
"""The methods that say what a row holds; a trainer of one's own takes rows as one of them does."""


def method_of(name: str) -> Method:
    """What the engine knows of a method, one that an installed package adds included."""
    return METHODS.get(name, OWN_TRAINER)


def check_method(name: str) -> str | None:
    """What is wrong with the name of a method, None where it is one."""
    try:
        found = extension("tunegate.methods", name, built_in=name in METHODS)
    except ConfigError as error:  # two packages claim it, or one a name of ours
        return str(error)
    if found is None and name not in METHODS:
        known = [*METHODS, *names("tunegate.methods")]
        return f"expected one of {', '.join(known)}, got {name!r}{nearest(name, known)}"
    return None


def rows_as(method: str, options: Mapping[str, Any]) -> str:
    """The method whose rows a stage's data hold: its own, or the format that `rows` names for an external trainer."""
    if method in ROW_METHODS:
        return method
    if method == "command":
        rows = options.get("rows", "sft")
        return rows if rows in ROW_METHODS else "sft"  # its options are checked elsewhere
    found = extension("tunegate.methods", method)
    rows = "sft" if found is None else getattr(found.load(), "rows", "sft")
    if rows not in ROW_METHODS:
        raise ConfigError(f"{method}: `rows` is {rows!r}; expected one of {', '.join(ROW_METHODS)}")
    return rows


def not_read(method: str, data: object) -> str | None:
    """The first key of a `DataSpec` (or of options of the same names) that the method ignores, in words."""
    for key in dict.fromkeys(key for known in METHODS.values() for key in known.reads):
        if getattr(data, key) is not None and key not in METHODS[method].reads:
            takers = [name for name, known in METHODS.items() if key in known.reads]
            return f"{key}: method {method} does not use it, {', '.join(takers)} {'does' if len(takers) == 1 else 'do'}"
    return None
