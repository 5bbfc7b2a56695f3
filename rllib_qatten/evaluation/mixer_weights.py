"""How a trained mixer weighs the agents, step by step in recorded games.

Acting does not need the mixer: its weights are stored next to the team's in the checkpoint, and
are read the same way, without a pickle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from scipy.special import entr

from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.checkpoints.team_files import StoredMixer, read, read_mixer
from rllib_qatten.envs.battles.battle import Battle
from rllib_qatten.envs.team import TeamSpace, TeamSpec
from rllib_qatten.errors import BadInput
from rllib_qatten.messages import printable
from rllib_qatten.mixers import Mixer
from rllib_qatten.rollout.episode import TeamEpisode
from rllib_qatten.training.batch import pack
from rllib_qatten.training.effective_weights import effective_weights
from rllib_qatten.training.rl_module import ValueDecompositionRLModule


@dataclass(frozen=True)
class Weights:
    """A mixer's outputs for the T joint actions of one game.

    Attributes:
        q_tot: [T] value of the joint action.
        utilities: [T, N] of the actions taken.
        effective_weights: [T, N] dQ_tot/dQ_i at these utilities.
        attention: [T, H, N], or None if the mixer has none; so is `head_weights`.
        head_weights: [T, H] w_h of Q_tot = c(s) + sum_h w_h Q^h; 1 if heads are added unweighted.
    """

    q_tot: np.ndarray
    utilities: np.ndarray
    effective_weights: np.ndarray
    attention: np.ndarray | None = None
    head_weights: np.ndarray | None = None

    @property
    def entropies(self) -> np.ndarray | None:
        """[T, H] entropy of each head's attention over the agents, in nats: log N if uniform."""
        return None if self.attention is None else entr(self.attention).sum(-1)


def load_module(checkpoint: Any) -> ValueDecompositionRLModule:
    """The agent network and the mixer of a checkpoint, on the CPU, without starting Ray.

    Args:
        checkpoint: As for `TeamPolicy.from_checkpoint`.

    Raises:
        BadInput: If the checkpoint is damaged, or holds no mixer.
    """
    network, metadata = read(checkpoint)
    mixer = read_mixer(checkpoint)
    name = metadata["algorithm"]
    if lost := metadata.get("mixer_options_lost"):
        raise BadInput(
            f"{checkpoint}: holds no mixer: {', '.join(lost)}, given as its options, cannot be "
            "written as text. The team acts without it."
        )
    if mixer is None:
        raise BadInput(
            f"{checkpoint}: holds no mixer that can be read without running its code; checkpoints "
            "of this version do. If you trust it, save it again with a few lines of Python: "
            f"from rllib_qatten import {name}; {name}.from_checkpoint({str(checkpoint)!r})"
            f".save_to_path({f'{checkpoint}_again'!r})"
        )
    if name not in ALGORITHMS:
        raise BadInput(
            f"{checkpoint}: the algorithm {name} is not one of {', '.join(ALGORITHMS)}. If it is "
            f"your own, name its class: rllib attention --run my_module:{name}, or in Python "
            "import it and call register_algorithm."
        )
    try:
        module = _module(name, metadata, mixer)
        if isinstance(module.mixer, Mixer):
            module.agent.load_state_dict(network.network.state_dict())
            _assert_kinds(mixer.weights, module.mixer)
            module.mixer.load_state_dict(mixer.weights)
    except Exception as error:  # made-up options may make a mixer raise anything
        raise BadInput(f"{checkpoint}: its mixer cannot be built: {error}") from error
    if not isinstance(module.mixer, Mixer):
        raise BadInput(
            f"{name} has no mixer: its utilities are not mixed into a Q_tot, so it has no "
            "weights to show. Use a checkpoint of Qatten, QMIX, VDN, QLinear, QPLEX or WQMIX."
        )
    return module


def _assert_kinds(weights: dict[str, torch.Tensor], mixer: Mixer) -> None:
    """Whole numbers, such as a batch norm's count, must be so in both: torch would round others."""
    for name, wanted in mixer.state_dict().items():
        if name in weights and weights[name].is_floating_point() != wanted.is_floating_point():
            raise ValueError(f"{name} holds {weights[name].dtype}, not {wanted.dtype}")


def _module(name: str, metadata: dict[str, Any], mixer: StoredMixer) -> ValueDecompositionRLModule:
    """The algorithm's policy, with initial weights."""
    inputs, settings = metadata["inputs"], metadata["agent"]
    units, types = mixer.about["unit_features"], settings.get("unit_types")
    spec = TeamSpec(
        agents=tuple(metadata["agents"]),
        n_actions=inputs["n_actions"],
        observation_size=inputs["observation_size"],
        state_size=mixer.about["state_size"],
        unit_features=None if units is None else slice(*units),
        unit_types=None if types is None else tuple(types),
    )
    config: Any = ALGORITHMS[name].get_default_config()
    for option in config.rl_module_class.mixer_options().values():
        option.check(mixer.about["options"].get(option.name, option.default))
    agent = {key: settings[key] for key in settings if key not in ("hidden_size", "unit_types")}
    model_config = config._model_config_auto_includes | {
        "hidden_size": settings.get("hidden_size", 64),
        "agent": agent | {"orthogonal_init": False},
        "standardize_rewards": False,
        "mixer": mixer.about["options"],
    }
    with torch.device("meta"):  # only shapes, which take no memory
        expected = _count(config.rl_module_class.make_mixer(spec, model_config).state_dict())
    found = _count(mixer.weights)
    if found != expected:
        raise ValueError(f"its options imply {expected:,} weights, but the file has {found:,}")
    module: ValueDecompositionRLModule = config.rl_module_class(
        observation_space=TeamSpace(spec),
        action_space=gym.spaces.MultiDiscrete([spec.n_actions] * spec.n_agents),
        model_config=model_config,
    )
    module.make_target_networks()  # loading WQMIX's state needs them
    return module


def _count(weights: dict[str, torch.Tensor]) -> int:
    return sum(weight.numel() for weight in weights.values())


def weigh(module: ValueDecompositionRLModule, episode: TeamEpisode) -> Weights:
    """The mixer's outputs for a game's joint actions.

    Args:
        module: From `load_module`.
        episode: A game of its team, of T steps.
    """
    packed = pack([episode])  # of one episode, so entries are in order of time
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
    """A game with the mixer's outputs; figures, pages and files are made from it.

    Attributes:
        title: Who played where, and how the game ended.
        spec: The team's spec.
        episode: The game.
        weights: The mixer's outputs.
        battle: The units' positions; None if unknown.
    """

    title: str
    spec: TeamSpec
    episode: TeamEpisode
    weights: Weights
    battle: Battle | None

    @property
    def labels(self) -> list[str]:
        """[N] the agents' types and indices, or their ids if types are unknown."""
        if self.battle is None:
            return [printable(agent, 60) for agent in self.spec.agents]
        return [f"{kind} {i}" for i, kind in enumerate(self.battle.types[: self.spec.n_agents])]

    @property
    def vitality(self) -> tuple[str, np.ndarray] | None:
        """Health [T, N] of the agents, or whether they are alive; None if that never changes."""
        steps, n = len(self.episode), self.spec.n_agents
        if self.battle is not None:
            return "health", self.battle.health[:steps, :n]
        alive = self.episode.alive[:steps]
        return None if alive.all() else ("alive", alive.astype(np.float32))

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, with the shapes of their sources; absent if unknown."""
        weights, battle = self.weights, self.battle
        found = {
            **vars(weights),
            "entropies": weights.entropies,
            "agents": np.array([str(agent) for agent in self.spec.agents]),
            "alive": self.episode.alive,
            "actions": self.episode.actions,
            "rewards": self.episode.rewards,
        }
        if battle is not None:
            names = ("health", "positions", "shoots", "targets", "types", "causes", "radii")
            found |= {name: np.asarray(getattr(battle, name)) for name in names}
        return {name: array for name, array in found.items() if array is not None}
