"""Explanations of a model whose reasons are known: trained to answer with the word after a marker.

Every method must point to that word and the marker before it. By chance they are the two highest of 6 to 10 pieces in
one case of 28; that they are in 12 of 20 cases has a probability below 1e-11 by chance.
"""

from __future__ import annotations

import json
import math
import random

import pytest

from tests.support.copy_model import MARKER, WORDS, make_copy_model, prompt_of
from tests.support.one_thread import one_thread as one_thread
from tunegate.attribution.deletion import deletion_test
from tunegate.attribution.explain import explain
from tunegate.attribution.explanation import METHODS, Explanation, explanation_from_json
from tunegate.attribution.question import question_of
from tunegate.attribution.scorer import Scorer
from tunegate.attribution.stored_case import StoredCase
from tunegate.attribution.words import in_words
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.models.hf import HFModel
from tunegate.models.model import GenerationSettings

torch = pytest.importorskip("torch")
pytest.importorskip("captum", reason="the extra attribution is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # the training, on a busy machine
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
]
CASES, BOTH, ENOUGH = 20, 12, 16


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return HFModel.load(make_copy_model(tmp_path_factory.mktemp("models") / "copy"), dtype="float32")


def stored(prompt: str, answer: str, reference: str | None) -> StoredCase:
    references = () if reference is None else (reference,)
    return StoredCase(
        case=Case("c", prompt, references),
        answer=answer,
        reference=reference,
        verdict=Verdict.FAIL,
        gate="words",
        stage=None,
        attempt=None,
        settings=GenerationSettings(max_new_tokens=3),
        scored=False,
        ended=True,
        place="copy",
        model_sha256=None,
        dtype="float32",
    )


@pytest.fixture(scope="module")
def explained(model: HFModel) -> list[tuple[str, Explanation]]:
    """(the word after the marker, the explanation of the model's answer, which is that word)"""
    rng = random.Random(9)
    found: list[tuple[str, Explanation]] = []
    for _ in range(CASES):
        prompt, word = prompt_of(rng)
        other = rng.choice([one for one in WORDS if one != word])
        found.append((word, explain(model, stored(prompt, word, other))))
    return found


@pytest.mark.parametrize("method", [method for method in METHODS if method != "logit_lens"])
def test_the_strip_points_to_the_word_after_the_marker(explained: list[tuple[str, Explanation]], method: str) -> None:
    """To the word and to the marker: the answer needs both, and which of them is higher is a matter of the method."""
    both = 0
    for word, one in explained:
        [strip] = [strip for strip in one.strips if strip.method == method]
        highest = [one.texts(strip.unit)[place].strip() for place in strip.strongest[:2]]
        both += set(highest) == {MARKER, word}
    assert both >= BOTH, both


@pytest.mark.parametrize("method", ["lime", "shapley", "input_x_gradient", "attention_rollout"])
def test_the_word_itself_comes_first(explained: list[tuple[str, Explanation]], method: str) -> None:
    first = 0
    for word, one in explained:
        [strip] = [strip for strip in one.strips if strip.method == method]
        first += one.texts(strip.unit)[strip.strongest[0]].strip() == word
    assert first >= ENOUGH, first


def test_no_method_fails_and_every_answer_is_rebuilt(explained: list[tuple[str, Explanation]]) -> None:
    assert all(not one.faults and one.rebuilt for _, one in explained)


def test_answer_and_reference_part_where_they_differ(explained: list[tuple[str, Explanation]]) -> None:
    for word, one in explained:
        assert one.parting == 0
        assert one.answer_tokens[0].text == one.answer_tokens[0].top == word
        assert math.exp(one.answer_tokens[0].log_probability) > 0.9
        assert math.exp(one.reference_tokens[0].log_probability) < 0.1
        assert in_words(one)[0].startswith(f"The answer and the reference first differ at token 1: “{word}” (p ")


def test_removing_the_highest_pieces_matters_more_than_random_ones(explained: list[tuple[str, Explanation]]) -> None:
    for method in METHODS[:-1]:
        tests = [strip.deletion for _, one in explained for strip in one.strips if strip.method == method]
        above, of = sum(test.above for test in tests if test), sum(test.of for test in tests if test)
        assert above / of > 0.75, (method, above, of)


def test_a_strip_that_points_elsewhere_fails_the_deletion_test(
    model: HFModel, explained: list[tuple[str, Explanation]]
) -> None:
    """The test can tell: the lowest pieces matter no more than random ones."""
    above = 0
    for _, one in explained[:5]:
        question = question_of(
            model, Case("c", one.prompt), GenerationSettings(), one.answer, None, scored=False, ended=True
        )
        scorer = Scorer(model, question, (0, 1), lambda passes: None)
        strip = next(strip for strip in one.strips if strip.method == "shapley")
        right, wrong = (
            deletion_test(scorer, question.members[0], order, seed=1)
            for order in (strip.strongest, strip.strongest[::-1])
        )
        assert right is not None
        assert wrong is not None
        assert not wrong.beats_random
        above += right.above > wrong.above
    assert above == 5


def test_the_lens_ends_at_the_answer_and_reads_one_guess_from_each_layer(
    explained: list[tuple[str, Explanation]],
) -> None:
    for word, one in explained:
        assert one.lens is not None
        assert [guess.layer for guess in one.lens.layers] == [1, 2]
        assert one.lens.layers[-1].top == word
        assert one.lens.appears in (1, 2)
        assert one.lens.layers[-1].answer == pytest.approx(one.answer_tokens[0].log_probability, abs=1e-3)


def test_a_head_looks_at_the_word(explained: list[tuple[str, Explanation]]) -> None:
    found = 0
    for word, one in explained:
        texts = one.texts("token")
        found += any(texts[head.piece].strip() == word and head.weight > 0.3 for head in one.heads)
    assert found >= ENOUGH


def test_the_same_seed_gives_the_same_explanation(model: HFModel) -> None:
    one, again, other = (explain(model, stored("oak ash @ elm fir yew", "elm", None), seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert explanation_from_json(json.loads(json.dumps(one.to_json()))).to_json() == one.to_json()


def test_an_answer_without_a_reference_is_explained_as_a_whole(model: HFModel) -> None:
    one = explain(model, stored("oak ash @ elm fir yew", "elm", None), ["ablation"])
    assert (one.parting, one.target) == (None, (0, 2))
    assert in_words(one)[0].startswith("There is no reference; the log-probability of the answer is -0.0")


def test_random_states_and_weights_are_left_as_they_were(model: HFModel) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    explain(model, stored("oak ash @ elm fir yew", "elm", None))
    assert torch.equal(torch.rand(1), expected)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.model.parameters())
    assert model.model.config._attn_implementation == "sdpa"
