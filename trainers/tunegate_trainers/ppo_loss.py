"""Method rlhf, algorithm `ppo`: the arithmetic of its losses.

Tensors have shape (answers, tokens); `mask` is 1 for the tokens of an answer and 0 for padding. Sources:
clipped objective: J. Schulman et al., Proximal Policy Optimization Algorithms, arXiv:1707.06347 (2017), equation 7.
advantages: J. Schulman et al., High-Dimensional Continuous Control Using GAE, ICLR 2016, equation 16.
penalty on the KL in each token's reward: N. Stiennon et al., NeurIPS 2020; L. Ouyang et al., NeurIPS 2022, equation 2.
adaptive penalty: D. Ziegler et al., arXiv:1909.08593 (2019), section 2.2.
clipped value loss, whitening: S. Huang et al., The N Implementation Details of RLHF with PPO (2023).
"""

from __future__ import annotations

import torch
from torch import Tensor


def answer_mask(tokens: Tensor, ends: Tensor) -> Tensor:
    """1 up to and including the first token in `ends`: the policy chose to stop there."""
    ended = torch.isin(tokens, ends).long()
    return (ended.cumsum(1) - ended == 0).float()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over the tokens of answers; 0 if there are none."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def whiten(values: Tensor, mask: Tensor, *, shift: bool = True) -> Tensor:
    """Divided by the standard deviation over all tokens (unbiased), with mean 0, or with the original mean."""
    mean = masked_mean(values, mask)
    variance = ((values - mean) ** 2 * mask).sum() / (mask.sum() - 1).clamp(min=1)
    whitened = (values - mean) * torch.rsqrt(variance + 1e-8)
    return (whitened if shift else whitened + mean) * mask


def token_rewards(scores: Tensor, logps: Tensor, reference_logps: Tensor, mask: Tensor, beta: float) -> Tensor:
    """The score of an answer (answers,) at its last token, and at each token -beta log(policy / reference)."""
    rewards = -beta * (logps - reference_logps) * mask
    last = (mask.sum(1) - 1).clamp(min=0).long()
    rewards[torch.arange(len(scores), device=scores.device), last] += scores
    return rewards * mask


def advantages(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimates; an answer ends with its last token, after which the value is 0."""
    values = values * mask
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    deltas = rewards + gamma * following - values
    estimate = torch.zeros_like(values[:, 0])
    columns: list[Tensor] = []
    for delta in reversed(deltas.unbind(1)):
        estimate = delta + gamma * lam * estimate
        columns.append(estimate)
    return torch.stack(columns[::-1], dim=1) * mask


def policy_loss(ratio: Tensor, advantage: Tensor, mask: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """The clipped objective, negated, and the share of tokens without a gradient because of the clip."""
    free = -advantage * ratio
    clipped = -advantage * ratio.clamp(1 - clip, 1 + clip)
    return masked_mean(torch.max(free, clipped), mask), masked_mean((clipped > free).float(), mask)


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Half the squared error of the value or of the clipped value, whichever is worse."""
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * masked_mean(torch.max((values - returns) ** 2, (clipped - returns) ** 2), mask)


def kl_estimate(logps: Tensor, reference_logps: Tensor, mask: Tensor) -> Tensor:
    """Mean KL(policy, reference) per token in nats, never negative.

    The third estimator of J. Schulman, Approximating KL Divergence (2020): r - 1 - log r, r = reference / policy.
    """
    log_ratio = reference_logps - logps
    return masked_mean(log_ratio.exp() - 1 - log_ratio, mask)


def adapted_beta(beta: float, kl: float, target: float) -> float:
    """The penalty after a batch: raised if the KL is above its target, lowered if below, by at most 2 %."""
    error = min(max(kl / target - 1, -0.2), 0.2)
    return beta * (1 + 0.1 * error)
