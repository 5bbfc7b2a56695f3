"""Runs in the layout of the library marl-eval (InstaDeep), which other frameworks write too."""

from __future__ import annotations

from typing import Any

from rllib_qatten.messages import printable
from rllib_qatten.report.run import Run
from rllib_qatten.report.scores import SCORES


def layout(runs: list[Run]) -> dict[str, Any]:
    """Environment -> task -> algorithm -> run -> step_0, step_1, ..., absolute_metrics.

    A step holds the env steps so far and a list for each score, here with one number: the mean over
    that evaluation's games. marl-eval's absolute metric is one long evaluation of the best policy;
    here it is the final number, the mean of the last five evaluations.
    """
    content: dict[str, Any] = {}
    for run in runs:
        algorithm = (
            content.setdefault(run.environment, {})
            .setdefault(run.task, {})
            .setdefault(run.label, {})
        )
        steps: dict[str, Any] = {}
        for i, count in enumerate(run.steps):
            steps[f"step_{i}"] = {"step_count": int(count)} | {
                SCORES[score].marl_eval: [float(values[i])] for score, values in run.scores.items()
            }
        steps["absolute_metrics"] = {
            SCORES[score].marl_eval: [run.final(score)] for score in run.scores
        }
        seed = run.config.get("seed")
        name = f"run_{len(algorithm)}" if seed is None else printable(f"seed_{seed}", 100)
        if name in algorithm:  # seeds that look alike
            name = f"{name}_{len(algorithm)}"
        algorithm[name] = steps
    return content
