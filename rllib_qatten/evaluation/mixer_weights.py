"""How a trained mixer weighs the agents, step by step of recorded games.

The mixer is no part of what acts: it comes from RLlib's own files in the checkpoint, which are
pickled. Read only checkpoints you trust.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.core import (
    COMPONENT_LEARNER,
    COMPONENT_LEARNER_GROUP,
    COMPONENT_RL_MODULE,
    DEFAULT_MODULE_ID,
)
from scipy.special import entr

from rllib_qatten.checkpoints.folder import CheckpointError, verify_sums
from rllib_qatten.envs.battles.battle import Battle
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.errors import BadInput
from rllib_qatten.mixers import Mixer
from rllib_qatten.rollout.episode import TeamEpisode
from rllib_qatten.training.batch import pack
from rllib_qatten.training.effective_weights import effective_weights
from rllib_qatten.training.rl_module import ValueDecompositionRLModule

MODULE = Path(COMPONENT_LEARNER_GROUP, COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID)


@dataclass(frozen=True)
class Weights:
    """What a mixer made of the T joint actions of one game.

    Attributes:
        q_tot: [T] value of the joint action.
        utilities: [T, N] of the actions taken.
        effective_weights: [T, N] dQ_tot/dQ_i at these utilities.
        attention: [T, H, N], or None if the mixer has none, as of `head_weights`.
        head_weights: [T, H] w_h of Q_tot = c(s) + sum_h w_h Q^h; 1 where heads are simply added.
    """

    q_tot: np.ndarray
    utilities: np.ndarray
    effective_weights: np.ndarray
    attention: np.ndarray | None = None
    head_weights: np.ndarray | None = None

    @property
    def entropies(self) -> np.ndarray | None:
        """[T, H] of each head's attention over the agents, in nats: log N where all get alike."""
        return None if self.attention is None else entr(self.attention).sum(-1)


def load_module(checkpoint: str | Path) -> ValueDecompositionRLModule:
    """The agent network and the mixer of a checkpoint, on the CPU; Ray is not started.

    Raises:
        BadInput: If the checkpoint is damaged, or its algorithm has no mixer.
    """
    folder = Path(checkpoint)
    if not (folder / MODULE).is_dir():
        raise BadInput(
            f"{checkpoint}: holds the team for acting alone, not its mixer: give the checkpoint "
            "that `rllib train` wrote."
        )
    try:
        verify_sums(folder)
    except CheckpointError as error:
        raise BadInput(str(error)) from error
    module: Any = ValueDecompositionRLModule.from_checkpoint((folder / MODULE).resolve())
    if not isinstance(module.mixer, Mixer):
        name = type(module).__name__.removesuffix("RLModule")
        raise BadInput(
            f"{name} has no mixer: no Q_tot is made of its utilities, so that there are no weights "
            "to show. Take a checkpoint of Qatten, QMIX, VDN, QLinear, QPLEX or WQMIX."
        )
    module.make_target_networks()  # WQMIX's tells them apart
    return module


def weigh(module: ValueDecompositionRLModule, episode: TeamEpisode) -> Weights:
    """What the mixer makes of a game's joint actions.

    Args:
        module: As from `load_module`.
        episode: A game of its team, of T steps.
    """
    packed = pack([episode])  # of one episode: entries in order of time
    batch = {name: torch.from_numpy(array) for name, array in packed.items()}
    mixed, utilities, effective = effective_weights(module, batch)
    heads = mixed.head_weights
    if heads is None and mixed.attention is not None:
        heads = torch.ones(mixed.attention.shape[:-1])
    return Weights(
        q_tot=mixed.q_tot.numpy(force=True),
        utilities=utilities.numpy(),
        effective_weights=effective.numpy(),
        attention=None if mixed.attention is None else mixed.attention.numpy(force=True),
        head_weights=None if heads is None else heads.numpy(force=True),
    )


@dataclass(frozen=True)
class WeighedGame:
    """A game and what the mixer made of it; what pictures and files are made from.

    Attributes:
        title: What played where, and how it ended.
        spec: The team's.
        episode: The game.
        weights: The mixer's.
        battle: Where units stood; None if that is not known.
    """

    title: str
    spec: TeamSpec
    episode: TeamEpisode
    weights: Weights
    battle: Battle | None

    @property
    def labels(self) -> list[str]:
        """[N] the agents' types and places, or their ids where types are not known."""
        if self.battle is None:
            return list(map(str, self.spec.agents))
        return [f"{kind} {i}" for i, kind in enumerate(self.battle.types[: self.spec.n_agents])]

    @property
    def vitality(self) -> tuple[str, np.ndarray] | None:
        """Health [T, N] of the agents, or whether they live; None if that never changes."""
        steps, n = len(self.episode), self.spec.n_agents
        if self.battle is not None:
            return "health", self.battle.health[:steps, :n]
        alive = self.episode.alive[:steps]
        return None if alive.all() else ("alive", alive.astype(np.float32))

    def arrays(self) -> dict[str, np.ndarray]:
        """All numbers by name; shapes as where they come from, absent where not known."""
        weights, battle = self.weights, self.battle
        found = {
            **vars(weights),
            "entropies": weights.entropies,
            "agents": np.array(list(map(str, self.spec.agents))),
            "alive": self.episode.alive,
            "actions": self.episode.actions,
            "rewards": self.episode.rewards,
        }
        if battle is not None:
            found |= vars(battle) | {"types": np.array(battle.types)}
        return {name: array for name, array in found.items() if array is not None}
