"""The arithmetic of ppo, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from tunegate_trainers import ppo_loss  # noqa: E402

ONES = torch.ones(1, 3)


def rows(*values: list[float]):
    return torch.tensor(values)


def test_an_answer_goes_up_to_its_first_end() -> None:
    """Ends are 7 and 9, and 9 also pads."""
    tokens = torch.tensor([[1, 2, 7, 9], [9, 9, 9, 9], [1, 2, 3, 4], [1, 7, 2, 7]])
    expected = [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0]]
    assert ppo_loss.answer_mask(tokens, torch.tensor([7, 9])).tolist() == expected


def test_advantages_of_three_tokens() -> None:
    """gamma 0.9, lambda 0.5: delta = r + 0.9 V' - V = 0.4, -0.1, 1.7; A3 = 1.7, A2 = -0.1 + 0.45 * 1.7, and so on."""
    estimate = ppo_loss.advantages(rows([0.0, 0.0, 2.0]), rows([0.05, 0.5, 0.3]), ONES, 0.9, 0.5)
    third = 2.0 - 0.3
    second = 0.9 * 0.3 - 0.5 + 0.45 * third
    first = 0.9 * 0.5 - 0.05 + 0.45 * second
    assert estimate.tolist()[0] == pytest.approx([first, second, third])
    assert [first, second, third] == pytest.approx([0.640750, 0.535, 1.7])


def test_padding_is_worth_nothing_and_lends_no_value() -> None:
    mask = rows([1.0, 1.0, 0.0])
    padded = ppo_loss.advantages(rows([0.0, 1.0, 9.0]) * mask, rows([0.5, 0.5, 9.0]), mask, 1.0, 0.95)
    alone = ppo_loss.advantages(rows([0.0, 1.0]), rows([0.5, 0.5]), torch.ones(1, 2), 1.0, 0.95)
    assert padded.tolist()[0] == pytest.approx([*alone.tolist()[0], 0.0])


def test_with_lambda_1_the_advantage_is_what_was_got_less_what_was_expected() -> None:
    values = rows([0.1, 0.2, 0.3])
    estimate = ppo_loss.advantages(rows([1.0, 2.0, 3.0]), values, ONES, 1.0, 1.0)
    assert (estimate + values).tolist()[0] == pytest.approx([6.0, 5.0, 3.0])


def test_the_clipped_objective() -> None:
    """Ratio 1.5 of a good token counts as 1.2; of a bad one in full; 0.5 of a bad one as 0.8; of a good one in full."""
    ratio, advantage = rows([1.5, 1.5, 0.5, 0.5]), rows([1.0, -1.0, -1.0, 1.0])
    loss, clipped = ppo_loss.policy_loss(ratio, advantage, torch.ones(1, 4), 0.2)
    assert loss.item() == pytest.approx((-1.2 + 1.5 + 0.8 - 0.5) / 4)
    assert clipped.item() == pytest.approx(2 / 4)


def test_a_clipped_token_has_no_gradient() -> None:
    ratio = rows([1.5, 1.1]).requires_grad_()
    ppo_loss.policy_loss(ratio, rows([1.0, 1.0]), torch.ones(1, 2), 0.2)[0].backward()
    assert ratio.grad is not None
    assert ratio.grad.tolist()[0] == pytest.approx([0.0, -0.5])


def test_the_value_may_not_run_away_in_one_batch() -> None:
    """New value 1.0, old 0.0, return 0.5, clip 0.2: errors 0.25 and 0.09, the worse one counts, halved. Then, with
    return 1.0, the clipped value 0.2 is the worse one: 0.64."""
    one = torch.ones(1, 1)
    loss = ppo_loss.value_loss(rows([1.0]), rows([0.0]), rows([0.5]), one, 0.2)
    assert loss.item() == pytest.approx(0.125)
    assert ppo_loss.value_loss(rows([1.0]), rows([0.0]), rows([1.0]), one, 0.2).item() == pytest.approx(0.32)


def test_the_reward_of_a_token() -> None:
    logps, reference, mask = rows([-1.0, -2.0, 0.0]), rows([-1.5, -1.0, -9.0]), rows([1.0, 1.0, 0.0])
    rewards = ppo_loss.token_rewards(torch.tensor([3.0]), logps, reference, mask, 0.1)
    assert rewards.tolist()[0] == pytest.approx([-0.05, 3.0 + 0.1, 0.0])


def test_an_answer_without_reward_gets_none_anywhere() -> None:
    nothing = torch.zeros(1, 3)
    assert ppo_loss.token_rewards(torch.tensor([3.0]), ONES, nothing, nothing, 0.1).tolist() == [[0.0, 0.0, 0.0]]


def test_whitening() -> None:
    values, mask = rows([1.0, 2.0, 3.0, 99.0]), rows([1.0, 1.0, 1.0, 0.0])
    assert ppo_loss.whiten(values, mask).tolist()[0] == pytest.approx([-1.0, 0.0, 1.0, 0.0])
    assert ppo_loss.whiten(values, mask, shift=False).tolist()[0] == pytest.approx([1.0, 2.0, 3.0, 0.0])
    one = ppo_loss.whiten(rows([2.0]), torch.ones(1, 1))
    assert one.isfinite().all()


def test_the_divergence_is_0_from_itself_and_near_the_true_one() -> None:
    logps = rows([-1.0, -2.0, -3.0])
    assert ppo_loss.kl_estimate(logps, logps, ONES).item() == 0.0
    generator = torch.Generator().manual_seed(0)
    policy, reference = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.5, 0.3, 0.2])
    drawn = torch.multinomial(policy, 20000, replacement=True, generator=generator)
    estimate = ppo_loss.kl_estimate(policy.log()[drawn][None], reference.log()[drawn][None], torch.ones(1, 20000))
    true = sum(p * math.log(p / q) for p, q in zip(policy.tolist(), reference.tolist(), strict=True))
    assert estimate.item() == pytest.approx(true, rel=0.05)


def test_the_penalty_follows_its_target() -> None:
    assert ppo_loss.adapted_beta(1.0, kl=0.1, target=0.1) == 1.0
    assert ppo_loss.adapted_beta(1.0, kl=0.105, target=0.1) == pytest.approx(1.005)
    assert ppo_loss.adapted_beta(1.0, kl=9.0, target=0.1) == pytest.approx(1.02)
    assert ppo_loss.adapted_beta(1.0, kl=0.0, target=0.1) == pytest.approx(0.98)
