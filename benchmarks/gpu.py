"""One gradient update on a CUDA device beside the same on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from torch import Tensor

from benchmarks.teams import Size, random_episodes
from benchmarks.turns import Row, Spread, Work, rates, ratios, take_turns
from benchmarks.updaters import build_learner, updater
from rllib_qatten import QattenConfig, QMIXConfig
from rllib_qatten.training.batch import PackEpisodes
from rllib_qatten.training.losses import td_loss


def run(name: str, size: Size, rounds: int, seconds: float) -> list[Row]:
    """Milliseconds of wall time per update, batches already on the device; packing and moving them.

    Without a CUDA device, a row that says so.
    """
    if not torch.cuda.is_available():
        return [Row("gpu", f"{name} update", "", None, note="there is no CUDA device here")]
    contenders: dict[str, Work] = {}
    episodes = random_episodes(size, ragged=False)
    for config in (c().training(recipe="smax_recurrent") for c in (QattenConfig, QMIXConfig)):
        learner = build_learner(config, size)
        for device in ("cpu", "cuda"):
            module = copy.deepcopy(learner.module).to(device)
            pack = partial(PackEpisodes(), rl_module=module, batch={}, episodes=episodes)
            loss = partial(_loss, batch=pack()[DEFAULT_MODULE_ID], config=config)
            update = updater(config, module[DEFAULT_MODULE_ID].unwrapped(), loss)
            contenders[f"{config.name} on {device}"] = _waiting(update, device)
            contenders[f"{config.name} packing for {device}"] = _waiting(pack, device)
    taken = take_turns(contenders, rounds, seconds)
    speeds = {who: rates(turns, "wall") for who, turns in taken.items()}
    return [_row(name, who, speeds) for who in contenders]


def _loss(module: Any, batch: dict[str, Any], config: Any) -> Tensor:
    return td_loss(module.forward_train(batch), batch, config)[0]


def _waiting(work: Callable[[], Any], device: str) -> Work:
    """The work until the device is done with it."""

    def waited() -> float:
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        return 1

    return waited


def _row(size: str, who: str, speeds: dict[str, list[float]]) -> Row:
    milliseconds = Spread.of([1e3 / speed for speed in speeds[who]])
    of = who.replace("cuda", "cpu")
    if of == who:
        return Row("gpu", f"{size} {who}", "ms (wall)", milliseconds)
    return Row(
        "gpu", f"{size} {who}", "ms (wall)", milliseconds, ratios(speeds[who], speeds[of]), of
    )
