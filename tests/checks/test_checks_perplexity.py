"""perplexity: by the formula, on a real model by hand, and in comparison with another model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.check_helpers import FAIL, INVALID, PASS, ask
from tunegate.cases.case import Case
from tunegate.checks.check import Sample
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import ConfigError
from tunegate.models.model import ChoiceScore, GenerationSettings, Response, ScriptedModel
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check
from tunegate_suites.options import LocalModels
from tunegate_suites.perplexity import Perplexity, byte_perplexity

TEXT = "naïve"  # 6 bytes


def scored(log_likelihood: float, text: str = TEXT) -> Response:
    return Response(text, choice_scores=(ChoiceScore(log_likelihood, len(text.encode())),))


@pytest.mark.parametrize(
    ("response", "choices", "verdict", "value"),
    [
        (scored(-6 * math.log(2)), (TEXT,), PASS, 2.0),  # one bit a byte
        (scored(-6 * math.log(3)), (TEXT,), FAIL, 3.0),
        (scored(0.0), (TEXT,), PASS, 1.0),
        (scored(-math.inf), (TEXT,), INVALID, None),
        (scored(math.inf), (TEXT,), INVALID, None),
        (scored(6.0), (TEXT,), INVALID, None),  # more likely than certain
        (scored(math.nan), (TEXT,), INVALID, None),
        (scored(-6e5), (TEXT,), INVALID, None),
        (Response("", choice_scores=(ChoiceScore(0.0, 0),)), ("",), INVALID, None),
        (Response("no scores"), (TEXT,), INVALID, None),
        (scored(-1.0), (TEXT, "two"), INVALID, None),
        (scored(-1.0), (), INVALID, None),
    ],
)
def test_it_is_the_byte_perplexity(
    response: Response, choices: tuple[str, ...], verdict: object, value: float | None
) -> None:
    finding = ask({"perplexity": {"max": 2.0}}, response, choices=choices)
    assert finding.verdict is verdict
    assert finding.value == (value if value is None else pytest.approx(value))


def test_the_remedy_stands_in_the_reason() -> None:
    finding = ask({"perplexity": 2.0}, scored(-1.0), choices=("a", "b"))
    assert (
        'the case has 2 choices; perplexity needs exactly one text per case: write `prompt: "", choices: "{text}"`'
        in (finding.reason)
    )


class Other:
    """A model that gives each text so many bits a byte, and says how often it was opened and asked."""

    def __init__(self, bits: float | None = 1.0) -> None:
        self.bits, self.opened, self.asked = bits, 0, list[str]()

    def open(self, spec: str) -> ScriptedModel:
        self.opened += 1
        return ScriptedModel(self._answer)

    def _answer(self, case: Case) -> Response:
        self.asked.append(case.choices[0])
        if self.bits is None:
            return Response("", error="out of memory")
        return scored(-self.bits * math.log(2) * len(case.choices[0].encode()), case.choices[0])


def compared(
    other: Other, own_bits: Sequence[float], max_: float, sha256: str = "trained"
) -> Iterator[tuple[Verdict, Any]]:
    check = build_check(
        {"perplexity": {"max": max_, "than": "base"}}, Path(), LocalModels(other.open, lambda spec: f"sha of {spec}")
    )
    samples = [
        Sample(
            Case(str(number), "", choices=(f"{TEXT}{number}",)),
            scored(-bits * math.log(2) * 7, f"{TEXT}{number}"),
            sha256,
        )
        for number, bits in enumerate(own_bits)
    ]
    check.judge(samples)
    yield from ((finding.verdict, finding.value) for finding in check.judge(samples))


def test_the_score_is_the_ratio_to_the_other_model() -> None:
    other = Other(bits=1.0)
    [(first, lower), (second, higher)] = compared(other, [0.9, 1.1], max_=1.0)
    assert (first, second) == (PASS, FAIL)
    assert lower == pytest.approx(2**-0.1)
    assert higher == pytest.approx(2**0.1)
    assert other.opened == 1
    assert len(other.asked) == 2, "each text is asked once, however often it is judged"


def test_the_base_model_itself_is_not_asked_again() -> None:
    other = Other()
    assert list(compared(other, [0.7], 1.0, sha256="sha of base")) == [(PASS, pytest.approx(1.0))]
    assert other.opened == 0


def test_what_the_other_model_could_not_score_is_invalid() -> None:
    assert [verdict for verdict, _ in compared(Other(bits=None), [0.9], 1.0)] == [INVALID]


def test_the_other_model_is_part_of_the_fingerprint_and_must_be_there() -> None:
    def built(sha256: str) -> str:
        models = LocalModels(Other().open, lambda spec: sha256)
        return build_check({"perplexity": {"max": 1.0, "than": "base"}}, Path(), models).fingerprint

    assert built("a") != built("b")
    with pytest.raises(ConfigError, match=r"perplexity\.than: model '.*nowhere'.*no such file or folder"):
        build_check({"perplexity": {"max": 1.0, "than": "./nowhere"}}, Path())
    with pytest.raises(ConfigError, match="'min' or 'max' is missing"):
        build_check({"perplexity": {"than": "base"}}, Path())


def test_it_agrees_with_the_model_computed_by_hand(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from tests.support.tiny_model import make_tiny_model
    from tunegate.models.hf import HFModel

    model = HFModel.load(make_tiny_model(tmp_path / "model"), dtype="float32")
    case = Case("1", "", choices=("BRCA1 causes naïve cancer.",))
    [(_, response)] = model.score_choices([case], GenerationSettings())
    ids = model.tokenizer(" " + case.choices[0])["input_ids"]  # lm-evaluation-harness puts a space before
    with torch.no_grad():
        logits = model.model(torch.tensor([[model.tokenizer.bos_token_id, *ids]])).logits[0, :-1].double()
    total = torch.log_softmax(logits, -1)[range(len(ids)), ids].sum().item()
    assert byte_perplexity(case, response) == pytest.approx(math.exp(-total / 27), rel=1e-5)
    check = build_check({"perplexity": {"max": 1.0, "than": str(tmp_path / "model")}}, Path())
    assert isinstance(check, Perplexity)
    [finding] = check.judge([Sample(case, response, "other weights")])
    assert finding.value == pytest.approx(1.0, rel=2e-2)  # the same model, in the number type of this machine


def test_a_text_file_is_a_bank(tmp_path: Path) -> None:
    (tmp_path / "held.txt").write_text("First page.\n\nSecond page,\nof two lines.\n")
    (tmp_path / "domain.yaml").write_text(
        "cases: {path: held.txt, id: '{line}', prompt: '', choices: '{text}'}\n"
        "checks: [{perplexity: {max: 2}}]\nplan: {draw: 2, accept: 1}\n"
    )
    suite = load_suite(tmp_path / "domain.yaml", build_check)
    assert [(case.id, case.choices) for case in suite.cases] == [
        ("1", ("First page.",)),
        ("3", ("Second page,\nof two lines.",)),
    ]
