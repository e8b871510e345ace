"""The search for what misses have in common: how often a planted slice is found, false rules, and its time by size.

It is held against a decision tree of scikit-learn with two levels, tested in the same way. The picture of
docs/misses.md is drawn by `python -m tests.bench.misses docs/misses.png`.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scipy import stats

from tests.stats.test_rule_search import null, planted
from tests.support.fake_pipeline import carry_out, tools
from tests.training.test_shared_misses import answers, write_files
from tests.verdicts.test_in_common import at_random, bank, missing
from tunegate.stats.rule_search import find_rule
from tunegate.verdicts.in_common import in_common
from tunegate_reports import write_html

SEARCHES, PERMUTATIONS, LEVEL = 100, 60, 0.02
AT_RANDOM = 3000
"""Searches in misses at random: enough for an interval of about one percentage point."""


def main() -> None:
    for name, search in (("rules of two features", _rule_p), ("tree of two levels", _tree_p)):
        began = time.process_time()
        found, false = (sum(search(*make(seed), seed) <= LEVEL for seed in range(SEARCHES)) for make in (planted, null))
        took = (time.process_time() - began) / (2 * SEARCHES)
        shown = f"{found} of {SEARCHES} planted pairs found, {false} of {SEARCHES} false rules"
        print(f"{name}: {shown}, {took:.3f} s of processor time each")
    false = sum(_rule_p(*null(seed), seed) <= LEVEL for seed in range(AT_RANDOM))
    print(f"50 features, misses at random: {_share(false, AT_RANDOM)} searches report a rule at the level {LEVEL}")
    false = sum(in_common(at_random(seed, misses=6 + seed % 20)) is not None for seed in range(1000))
    print(f"questions of the demo, misses at random: {_share(false, 1000)} draws tell a rule")
    times()


def times() -> None:
    """The time of one search by the number of cases; of the processor, because the machine may have other work."""
    for cases in (100, 1000, 10_000):
        every = [replace(one, case_id=f"{one.case_id}/{n // len(bank())}") for n, one in _repeated(cases)]
        for what, missed in (("planted", _prevalence(every)), ("at random", _some(cases))):
            began = time.process_time()
            rule = in_common(missing(every, missed))
            took, told = time.process_time() - began, "no rule" if rule is None else "a rule"
            print(f"{cases} cases, misses {what}: {took:.2f} s of processor time, {told}")


def _share(found: int, of: int) -> str:
    """`64 of 3000 (95 %: 1.64% to 2.72%)`"""
    low, high = stats.binomtest(found, of).proportion_ci(method="exact")
    return f"{found} of {of} (95 %: {low:.2%} to {high:.2%})"


def _repeated(cases: int) -> list[tuple[int, Any]]:
    return [(n, bank()[n % len(bank())]) for n in range(cases)]


def _prevalence(every: Sequence[Any]) -> set[int]:
    return {n for n, one in enumerate(every) if "task=prevalence" in one.tags}


def _some(cases: int) -> set[int]:
    return set(random.Random(cases).sample(range(cases), cases // 7))


def _rule_p(columns: Mapping[str, Sequence[bool]], missed: Sequence[bool], seed: int) -> float:
    rule = find_rule(columns, missed, seed, LEVEL, PERMUTATIONS)
    return 1.0 if rule is None else rule.p_value


def _tree_p(columns: Mapping[str, Sequence[bool]], missed: Sequence[bool], seed: int) -> float:
    """The p-value of the leaf with the most surprising misses of a tree grown on one half, tested on the other."""
    import numpy as np
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(seed)
    features, verdicts = np.array(list(columns.values()), dtype=float).T, np.array(missed)
    first = np.zeros(len(verdicts), dtype=bool)
    for verdict in (True, False):
        own = np.flatnonzero(verdicts == verdict)
        rng.shuffle(own)
        first[own[::2]] = True

    def surprise(at: Any, own: Any) -> float:
        return float(stats.hypergeom.logsf((at & own).sum() - 1, len(own), own.sum(), at.sum()))

    def searched(grown: Any, tested: Any) -> float:
        tree = DecisionTreeClassifier(max_depth=2, class_weight="balanced", min_samples_leaf=3, random_state=0)
        leaves = tree.fit(features[first], grown).apply(features[first])
        best = min(set(leaves), key=lambda leaf: surprise(leaves == leaf, grown))
        return surprise(tree.apply(features[~first]) == best, tested)

    observed, as_good = searched(verdicts[first], verdicts[~first]), 0
    made = 0
    while made < PERMUTATIONS and (1 + as_good) / (1 + PERMUTATIONS) <= LEVEL:
        made += 1
        again = searched(rng.permutation(verdicts[first]), rng.permutation(verdicts[~first]))
        as_good += again <= observed + 1e-9
    return (1 + as_good) / (1 + made)


def picture(path: Path) -> None:
    """The report of a run whose model misses the questions with a percentage, as a picture."""
    from playwright.sync_api import sync_playwright

    from tests.support.report_page import CHROMIUM

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        given = replace(tools({"sft#1": 0.5, "sft#2": 0.5}), open_model=_never_learns)
        run = carry_out(write_files(Path(folder) / "project"), given)
        write_html(run, Path(folder) / "report.html")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 760}, color_scheme="light")
        page.goto((Path(folder) / "report.html").as_uri())
        page.screenshot(path=path)
        browser.close()


def _never_learns(path: str) -> Any:
    return answers(str(Path(path).parent.parent / "attempt-1" / "model"), weights=path)


if __name__ == "__main__":
    picture(Path(sys.argv[1]))
