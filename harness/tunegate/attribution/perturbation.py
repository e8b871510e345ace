"""Methods that leave out parts of the prompt and watch the answer's log-probability, on captum.

Sources: feature ablation, M. D. Zeiler, R. Fergus, ECCV 2014; Shapley values by sampling permutations, J. Castro et
al., Computers & Operations Research 36 (2009), and S. M. Lundberg, S.-I. Lee, NeurIPS 2017; LIME, M. T. Ribeiro, S.
Singh, C. Guestrin, KDD 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunegate.attribution.scorer import Scorer
from tunegate.models.loading import hf_import
from tunegate.optional import optional_import

SHAPLEY_PASSES = 128
"""Permutations are drawn until they would take this many passes; at least four of them."""
LIME_SAMPLES = 96
LIME_RIDGE = 1e-3
AT_ONCE = 16


def captum() -> Any:
    """The attribution methods of captum, from the extra `attribution`."""
    return optional_import("captum.attr", "attribution", "explaining a case")


def permutations_for(pieces: int) -> int:
    """How many orders of the pieces are drawn."""
    return max(4, SHAPLEY_PASSES // max(pieces, 1))


class Perturbation:
    """The three methods on one question: `members` are the places in the prompt of each piece."""

    def __init__(self, scorer: Scorer, members: Sequence[Sequence[int]], seed: int) -> None:
        self._scorer = scorer
        self._members = [frozenset(places) for places in members]
        self._seed = seed

    def ablation(self) -> list[float]:
        """By how much the log-probability falls when one piece is left out."""
        method = captum().FeatureAblation(self._value)
        return self._attributed(method, perturbations_per_eval=AT_ONCE)

    def shapley(self) -> list[float]:
        """The mean change that a piece makes when the pieces are added in random orders."""
        method = captum().ShapleyValueSampling(self._value)
        orders = permutations_for(len(self._members))
        return self._attributed(method, n_samples=orders, perturbations_per_eval=AT_ONCE)

    def lime(self) -> list[float]:
        """The weights of a linear model of the log-probability, fitted to prompts with random pieces left out."""
        method = captum().Lime(self._value, interpretable_model=_ridge(len(self._members)))
        return self._attributed(method, n_samples=LIME_SAMPLES, perturbations_per_eval=AT_ONCE)

    def _attributed(self, method: Any, **options: Any) -> list[float]:
        torch = hf_import("torch")
        every = torch.ones((1, len(self._members)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            return method.attribute(every, baselines=0.0, **options)[0].tolist()

    def _value(self, kept: Any) -> Any:
        """captum's forward function: rows of ones and zeros, one for each piece, to log-probabilities."""
        torch = hf_import("torch")
        left_out = [
            frozenset[int]().union(*(places for places, one in zip(self._members, row, strict=True) if not one))
            for row in kept.bool().tolist()
        ]
        return torch.tensor(self._scorer.without(left_out))


def _ridge(pieces: int) -> Any:
    """A weighted ridge regression for captum's LIME: solved exactly, so that it needs no other library and no seed."""
    torch = hf_import("torch")
    model = optional_import("captum._utils.models.model", "attribution", "explaining a case").Model

    class Ridge(model):
        weights: Any = None

        def fit(self, train_data: Any, **_: Any) -> None:
            rows = [tuple(part.double() for part in row) for row in train_data]
            x, y, w = (torch.cat([row[place].reshape(len(row[1]), -1) for row in rows]) for place in range(3))
            x = torch.cat([x, torch.ones((len(x), 1), dtype=x.dtype)], dim=1)
            penalty = LIME_RIDGE * torch.eye(pieces + 1, dtype=x.dtype)
            penalty[-1, -1] = 0.0  # the constant is not shrunk
            self.weights = torch.linalg.lstsq(x.T @ (w * x) + penalty, x.T @ (w * y)).solution[:-1, 0]

        def representation(self) -> Any:
            return self.weights.float()

        def __call__(self, x: Any) -> Any:
            return x.double() @ self.weights

    return Ridge()
