"""Fitting a comparing judge: logistic regression on half of the questions, with the cut at the largest kappa.

No library is needed: the data are a few hundred or thousand rows of a few numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tunegate.stats.agreement import kappa
from tunegate_suites.judges.compare import FORMAT

RIDGE = 1.0
"""A prior with variance 1 on each standardised weight, which keeps weights finite if the answers are separable."""
ROUNDS = 30


def in_fitting_half(prompt: str) -> bool:
    """Whether a question, with all its answers, belongs to the half for fitting judges."""
    return hashlib.sha256(f"fit\x00{prompt}".encode("utf-8", "surrogatepass")).digest()[0] % 2 == 0


def fit(rows: Sequence[Mapping[str, float]], passed: Sequence[bool]) -> dict[str, Any]:
    """Weights, bias and cut from the numbers of answers and people's verdicts on them. Deterministic."""
    names = sorted(rows[0])
    means = {name: math.fsum(row[name] for row in rows) / len(rows) for name in names}
    scales = {name: _deviation([row[name] for row in rows], means[name]) for name in names}
    inputs = [[1.0, *((row[name] - means[name]) / scales[name] for name in names)] for row in rows]
    bias, *weights = _logistic(inputs, [float(ok) for ok in passed])
    raw = {name: weight / scales[name] for name, weight in zip(names, weights, strict=True)}
    bias -= math.fsum(raw[name] * means[name] for name in names)
    scores = [bias + math.fsum(raw[name] * row[name] for name in names) for row in rows]
    return {"weights": raw, "bias": bias, "cut": best_cut(scores, passed)}


def fitted_json(found: Mapping[str, Any], questions: Sequence[str], labels: Mapping[str, str]) -> str:
    """The text of the file of weights."""
    data = {"format": FORMAT, **found, "labels": dict(labels), "questions": sorted(set(questions))}
    return json.dumps(data, indent=1) + "\n"


def best_cut(scores: Sequence[float], passed: Sequence[bool]) -> float:
    """The cut with the best agreement with people, by kappa, if scores at or above it pass."""
    order = sorted(zip(scores, passed, strict=True), reverse=True)
    people_pass, above, right = sum(passed), 0, 0
    best, cut = -2.0, 0.0
    for index, (score, ok) in enumerate(order):
        above, right = above + 1, right + ok
        below = order[index + 1][0] if index + 1 < len(order) else -math.inf
        if below == score:
            continue
        wrong, missed = above - right, people_pass - right
        value = kappa([[right, missed], [wrong, len(order) - above - missed]])
        if value is not None and value > best:
            best, cut = value, score if below == -math.inf else (score + below) / 2.0
    return cut


def _deviation(values: Sequence[float], mean: float) -> float:
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values)) or 1.0


def _logistic(inputs: Sequence[Sequence[float]], targets: Sequence[float]) -> list[float]:
    """Newton's method with a ridge on all but the first weight; stops when no weight moves by 1e-9."""
    size = len(inputs[0])
    weights = [0.0] * size
    for _ in range(ROUNDS):
        gradient = [0.0] + [-RIDGE * weight for weight in weights[1:]]
        hessian = [[RIDGE if i == j and i else 0.0 for j in range(size)] for i in range(size)]
        for row, target in zip(inputs, targets, strict=True):
            chance = _sigmoid(math.fsum(weight * value for weight, value in zip(weights, row, strict=True)))
            spread = max(chance * (1.0 - chance), 1e-9)
            for i in range(size):
                gradient[i] += (target - chance) * row[i]
                for j in range(size):
                    hessian[i][j] += spread * row[i] * row[j]
        step = _solve(hessian, gradient)
        weights = [weight + change for weight, change in zip(weights, step, strict=True)]
        if max(map(abs, step)) < 1e-9:
            break
    return weights


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value)) if value >= 0 else math.exp(value) / (1.0 + math.exp(value))


def _solve(matrix: list[list[float]], vector: list[float]) -> list[float]:
    """Gaussian elimination with pivoting, for a positive definite matrix."""
    size = len(vector)
    rows = [[*matrix[i], vector[i]] for i in range(size)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda i: abs(rows[i][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for i in range(column + 1, size):
            factor = rows[i][column] / rows[column][column]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[column], strict=True)]
    found = [0.0] * size
    for i in reversed(range(size)):
        found[i] = (rows[i][size] - math.fsum(rows[i][j] * found[j] for j in range(i + 1, size))) / rows[i][i]
    return found
