"""Explanations made without a model, for pages: every field is filled, no number is measured."""

from __future__ import annotations

import random
import re

from tunegate.attribution.deletion import RANDOM_SETS
from tunegate.attribution.explanation import (
    METHODS,
    Deletion,
    Explanation,
    Focus,
    LayerGuess,
    Lens,
    Method,
    MethodFault,
    Pieces,
    Strip,
    TokenScore,
)
from tunegate.attribution.pieces import pieces_of

BY_PARTS = ("ablation", "shapley", "lime")


def made_explanation(
    case_id: str = "case-1",
    prompt: str = "Wolfram syndrome is rare. It is passed on by both parents. How is it inherited?",
    *,
    gate: str = "facts",
    stage: str | None = None,
    attempt: int | None = None,
    methods: tuple[Method, ...] = METHODS,
    layers: int = 4,
    heads: int = 2,
    good: bool = True,
    flipped: bool = False,
    model: str = "models/expert",
    faults: tuple[MethodFault, ...] = (),
    seed: int = 0,
) -> Explanation:
    """An explanation of `autosomal dominant` where `autosomal recessive` was right."""
    rng = random.Random(f"{case_id}{seed}")
    parts = pieces_of(prompt)
    tokens = Pieces("token", tuple(match.span() for match in re.finditer(r"\S+\s*", prompt)))
    test = Deletion(2, 2.4, 0.3, RANDOM_SETS if good else 9, RANDOM_SETS)

    def strip(method: Method) -> Strip:
        pieces = parts if method in BY_PARTS else tokens
        weights = tuple(rng.uniform(-1, 2) for _ in pieces.spans)
        return Strip(method, pieces.unit, weights, 33, test)

    guesses = tuple(
        LayerGuess(n, " dominant" if n > layers // 2 else " recessive", -5.0 + n, -2.5, n > layers // 2)
        for n in range(1, layers + 1)
    )
    return Explanation(
        case_id=case_id,
        gate=gate,
        stage=stage,
        attempt=attempt,
        model=model,
        model_sha256="ab" * 32,
        dtype="float32",
        prompt=prompt,
        answer="autosomal dominant",
        reference="autosomal recessive",
        answer_tokens=(
            TokenScore("autosomal", -0.1, "autosomal", -0.1),
            TokenScore(" dominant", -0.34, " dominant", -0.34),
        ),
        reference_tokens=(
            TokenScore("autosomal", -0.1, "autosomal", -0.1),
            TokenScore(" recessive", -2.12, " dominant", -0.34),
        ),
        parting=1,
        target=(1, 2),
        pieces=(parts, tokens),
        strips=tuple(strip(method) for method in methods if method != "logit_lens"),
        heads=tuple(
            Focus(layer, head, rng.randrange(len(tokens.spans)), rng.random())
            for layer in range(1, layers + 1)
            for head in range(1, heads + 1)
        )
        if "attention_rollout" in methods
        else (),
        lens=Lens(guesses) if "logit_lens" in methods else None,
        faults=faults,
        seed=seed,
        flipped=flipped,
    )
