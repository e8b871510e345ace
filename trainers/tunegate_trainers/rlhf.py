"""Method rlhf, entry: the model answers prompts, a reward rates each answer, and good ones become more likely.

The reward comes from a reward model that an earlier stage trained, or from a suite's checks. A penalty on the KL
divergence keeps the policy near the stage's input model. `rloo` and `grpo` are TRL's trainers
(`group_policy.py`); `ppo`, which TRL no longer has, is in `ppo.py`.
"""

from __future__ import annotations

from tunegate_trainers import common
from tunegate_trainers.policy_options import Options as Options
from tunegate_trainers.task import Task


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """Train on rows with a prompt and optionally a completion. Returns (log, summary)."""
    if task.options.algorithm == "ppo":
        from tunegate_trainers.ppo import build
    else:
        from tunegate_trainers.group_policy import build
    from tunegate_trainers.policy_log import named_alike, summary_of

    try:
        _, summary = common.run(task, build)
    finally:
        task.log[:] = [named_alike(entry) for entry in task.log]
    return task.log, {**summary, **summary_of(task.log)}
