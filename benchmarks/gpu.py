"""Gradient updates on a CUDA device beside those on the CPU, and beside TorchRL's on the device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from torch import Tensor

from benchmarks import entity, torchrl_peer
from benchmarks.teams import Size, random_episodes
from benchmarks.turns import Row, Spread, Work, rates, ratios, take_turns
from benchmarks.updaters import build_learner, learner_update, updater
from rllib_qatten import QattenConfig, QMIXConfig
from rllib_qatten.envs.battles.smax import installed
from rllib_qatten.rollout.env_runner import TeamEnvRunner
from rllib_qatten.rollout.episode import TeamEpisode
from rllib_qatten.training.batch import PackEpisodes
from rllib_qatten.training.losses import td_loss

CPU, CUDA, TORCHRL = "on cpu", "on cuda", "TorchRL's QMIX, update on cuda"


def run(name: str, size: Size, rounds: int, seconds: float) -> list[Row]:
    """Milliseconds of wall time per update of the recurrent agent, and of TorchRL's QMIX.

    Without a CUDA device, a row that says so.
    """
    if not torch.cuda.is_available():
        return [Row("gpu", f"{name} update", "", None, note="there is no CUDA device here")]
    episodes = random_episodes(size, ragged=False)
    contenders: dict[str, Work] = {}
    for config_class in (QattenConfig, QMIXConfig):
        config = config_class().training(recipe="smax_recurrent")
        build = partial(build_learner, size=size)
        contenders |= _on_both(config.name, config, build, episodes)
    if torchrl_peer.installed():
        theirs = torchrl_peer.updater(config, episodes, size, "cuda")
        contenders[TORCHRL] = _waiting(theirs)
    return _rows(name, contenders, rounds, seconds)


def run_entity(battle: str, rounds: int, seconds: float) -> list[Row]:
    """The same of Qatten's entity agent, on games of a SMAX battle."""
    if not (torch.cuda.is_available() and installed()):
        note = "needs a CUDA device and the extra smax"
        return [Row("gpu", f"{battle}, entity agent", "", None, note=note)]
    config = entity.config_of(battle, "entity")
    runner = TeamEnvRunner(config=config)
    episodes = runner.sample(num_episodes=entity.BATCH)[: entity.BATCH]
    build = partial(entity.learner_of, spec=runner.env.spec)
    return _rows(battle, _on_both("entity agent", config, build, episodes), rounds, seconds)


def _on_both(
    name: str,
    config: QMIXConfig,
    build: Callable[[QMIXConfig], TorchLearner],
    episodes: list[TeamEpisode],
) -> dict[str, Work]:
    """The update of a batch that is there already, and all of RLlib's `Learner.update`."""
    found: dict[str, Work] = {}
    for where, gpus in ((CPU, 0), (CUDA, 1)):
        learner = build(config.copy(copy_frozen=False).learners(num_gpus_per_learner=gpus))
        packed = PackEpisodes()(rl_module=learner.module, batch={}, episodes=episodes)
        loss = partial(_loss, batch=packed[DEFAULT_MODULE_ID], config=config)
        update = updater(config, learner.module[DEFAULT_MODULE_ID].unwrapped(), loss)
        found[f"{name}, update {where}"] = _waiting(update)
        found[f"{name}, Learner.update {where}"] = _waiting(learner_update(learner, episodes))
    return found


def _loss(module: Any, batch: dict[str, Any], config: QMIXConfig) -> Tensor:
    return td_loss(module.forward_train(batch), batch, config)[0]


def _waiting(work: Work) -> Work:
    """The work until the device is done with it."""

    def waited() -> float:
        done = work()
        torch.cuda.synchronize()
        return done

    return waited


def _rows(of: str, contenders: dict[str, Work], rounds: int, seconds: float) -> list[Row]:
    turns = take_turns(contenders, rounds, seconds)
    speeds = {who: rates(turns[who], "wall") for who in contenders}
    rows = []
    for who, speed in speeds.items():
        milliseconds = Spread.of([1e3 / x for x in speed])
        more: dict[str, Any] = {}
        if CUDA in who:
            against = "QMIX, update on cuda" if who == TORCHRL else who.replace(CUDA, CPU)
            more = {"ratio": ratios(speed, speeds[against]), "against": against}
        rows.append(Row("gpu", f"{of} {who}", "ms (wall)", milliseconds, **more))
    return rows
