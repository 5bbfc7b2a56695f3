"""The RLModules ("policies"): agent network, mixer and their targets."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from rllib_qatten import columns, keys
from rllib_qatten.agents import AGENTS, Agent, EpisodeInputs, InputLayout, make_agent, unroll
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.errors import BadInput
from rllib_qatten.mixers import Mixed, attention_entropy
from rllib_qatten.mixers.options import Option, options_of
from rllib_qatten.rollout.exploration import ILLEGAL
from rllib_qatten.training.reward_standardizer import RewardStandardizer
from rllib_qatten.training.selection import greedy_actions, utilities_of
from rllib_qatten.training.weights import weight_faults


class ValueDecompositionRLModule(TorchRLModule, InferenceOnlyAPI, TargetNetworkAPI):
    """The base of all policies: agent networks, by default one that all agents share, and a mixer.

    Built `inference_only`, as on env runners, it holds only the agent network. A subclass names the
    mixer.
    """

    #: The mixer, whose options are settings of the algorithm; None if there is nothing to set.
    mixer_class: ClassVar[Any] = None

    @override(TorchRLModule)
    def setup(self) -> None:
        """Builds the networks from the team's space and the model config."""
        spec = self.spec
        kind = AGENTS[self.model_config["agent"].get("kind", "recurrent")]
        self.layout = InputLayout(
            spec.observation_size, spec.n_actions, spec.n_agents, agent_id=kind.agent_id
        )
        self.agent = self.make_agent()
        if not self.inference_only:
            self.mixer = self.make_mixer(spec, self.model_config)
            if self.model_config["standardize_rewards"]:
                self.standardize_rewards = RewardStandardizer()

    def make_agent(self) -> Agent:
        """The agents' networks, according to the settings."""
        spec = self.spec
        agent = make_agent(self.layout.size, spec.n_actions, spec.n_agents, **self.agent_settings)
        # Older checkpoints, from before there was a choice, do not name it.
        agent.precision = getattr(torch, self.model_config.get("precision", "float32"))
        return agent

    @classmethod
    def mixer_options(cls) -> dict[str, Option]:
        """The mixer's options by name."""
        return options_of(cls.mixer_class) if cls.mixer_class else {}

    @classmethod
    def make_mixer(cls, spec: TeamSpec, settings: dict[str, Any]) -> nn.Module:
        """The mixer for a team.

        Args:
            spec: The team's sizes.
            settings: The model config; its "mixer" holds the mixer's options.

        Raises:
            ValueError: One of the mixer's settings is out of range, or a weight has no size yet.
        """
        sizes = {"n_actions": spec.n_actions} if cls.mixer_class.uses_actions else {}
        # Keys are computed from the declared unit features, else from the agent's own observation.
        unit_size = spec.unit_feature_size or spec.observation_size
        mixer: nn.Module = cls.mixer_class(
            spec.n_agents, spec.state_size, unit_size, **sizes, **settings["mixer"]
        )
        if any(is_lazy(weight) for weight in mixer.parameters()):
            raise ValueError(
                f"{cls.mixer_class.__name__} has weights without a size (a lazy layer of torch): "
                "make them from n_agents, state_dim and unit_dim, so that they can be copied and "
                "saved before the first batch"
            )
        return mixer

    @property
    def spec(self) -> TeamSpec:
        """The team's sizes."""
        return self.observation_space.spec

    @property
    def agent_settings(self) -> dict[str, Any]:
        """The agent network's settings; checkpoints keep a copy for acting."""
        settings = self.model_config["agent"]
        types, entities = self.spec.unit_types, self.spec.entities
        if entities and AGENTS[settings.get("kind", "recurrent")].needs_entities:
            settings = {**settings, "entities": entities.model_dump(mode="json")}
        return {
            "hidden_size": self.model_config["hidden_size"],
            "unit_types": None if types is None else list(types),
            **settings,
        }

    # Acting.

    def get_initial_state(self) -> dict[str, np.ndarray]:
        """One game's hidden state: zeros [N, hidden]."""
        return {
            columns.HIDDEN: np.zeros((self.spec.n_agents, self.model_config["hidden_size"]), "f4")
        }

    def _forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step of G games.

        Args:
            batch: Columns.OBS [G, N, O], "last_actions" [G, N] (-1: none), Columns.STATE_IN
                {"hidden": [G, N, hidden]}; without the last two, games begin.

        Returns:
            "utilities" [G, N, A] of all actions, legal or not, and Columns.STATE_OUT.

        Raises:
            BadInput: If observations are not [G, N, O], or if one of the last two is missing.
        """
        going_on = [name for name in (columns.LAST_ACTIONS, Columns.STATE_IN) if name in batch]
        if len(going_on) < 2:
            if going_on and self.layout.last_action:
                raise BadInput(
                    f"A game that goes on needs both {columns.LAST_ACTIONS!r} [G, N] and "
                    f"{Columns.STATE_IN!r}, got {going_on[0]!r} alone; without both, games begin."
                )
            batch = self._begun(batch)
        given = (torch.as_tensor(batch[name]) for name in (Columns.OBS, columns.LAST_ACTIONS))
        inputs = EpisodeInputs(self.layout, *given)
        hidden = torch.as_tensor(batch[Columns.STATE_IN][columns.HIDDEN])
        utilities, hidden = self.agent.step(inputs, hidden)
        return {columns.UTILITIES: utilities, Columns.STATE_OUT: {columns.HIDDEN: hidden}}

    def _begun(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Adds what a batch lacks at a game's start: last actions of -1, zero hidden states."""
        n, o = self.spec.n_agents, self.spec.observation_size
        obs = batch.get(Columns.OBS, [])
        obs = torch.as_tensor([] if isinstance(obs, dict) else obs)
        if obs.ndim != 3 or obs.shape[1:] != (n, o):
            raise BadInput(
                f"'obs' must hold the observations of all agents in G games, [G, N, O], here "
                f"[G, {n}, {o}]; got {list(obs.shape) if obs.numel() else 'none'}. To act for one "
                "agent alone: TeamPolicy.from_checkpoint(CHECKPOINT).agent(AGENT)."
            )
        hidden = torch.from_numpy(self.get_initial_state()[columns.HIDDEN])
        begun = {
            columns.LAST_ACTIONS: torch.full((len(obs), n), -1),
            Columns.STATE_IN: {columns.HIDDEN: hidden.expand(len(obs), *hidden.shape)},
        }
        return begun | batch | {Columns.OBS: obs.to(next(self.parameters()).dtype)}

    # Learning.

    @override(TorchRLModule)
    def train(self, mode: bool = True) -> ValueDecompositionRLModule:
        """See base class; RLlib asks at every update, and to walk all networks takes a while."""
        return self if self.training == mode else super().train(mode)

    def _forward_train(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Unrolls live and target networks over a packed batch and mixes both.

        See `mix` for what comes out.

        Raises:
            BadInput: If it is no packed batch.
        """
        if columns.BATCH_SIZES not in batch:
            raise BadInput(
                "forward_train takes a batch of whole games as rllib_qatten.training.batch.pack "
                "makes it, with mixer and targets; for utilities alone: "
                'forward_inference({"obs": observations}).'
            )
        inputs = EpisodeInputs(self.layout, batch[Columns.OBS], batch[columns.LAST_ACTIONS])
        utilities, target_utilities = unroll(
            self.agent, self.target_agent, inputs, batch[columns.BATCH_SIZES]
        )
        return self.mix(batch, utilities, target_utilities)

    def mix(
        self, batch: dict[str, Any], utilities: Tensor, target_utilities: Tensor
    ) -> dict[str, Any]:
        """Joint action values of the actions taken, and of greedy ones one step later.

        Args:
            batch: A packed batch, see `rllib_qatten.training.batch.pack`.
            utilities: [P, N, A] of the live agent network.
            target_utilities: [P, N, A] of the target network.

        Returns:
            Q_TOT [M] of the taken actions (with gradient), NEXT_Q_TOT [M] the target mixer's value
            of the greedy legal actions (of the live network with double Q), REGULARIZER, and STATS.
            For Q(lambda) also the target networks' values of this step: TARGET_Q_TOT [M] of the
            taken actions and TARGET_GREEDY_Q_TOT [M] of the greedy ones.
        """
        now, mask, actions = batch[columns.NOW], batch[columns.MASK], batch[Columns.ACTIONS]
        mixed = self.live_value(batch, now, utilities, actions, mask)
        following = slice(len(utilities) - len(now), None)
        with torch.no_grad():
            judge = utilities if self.model_config["double_q"] else target_utilities

            def target(rows: Tensor | slice, chosen: Tensor | None = None) -> Tensor:
                if chosen is None:
                    chosen = greedy_actions(judge[rows], batch[columns.LEGAL_ACTIONS][rows])
                return self.target_value(batch, rows, target_utilities, chosen).q_tot

            forward = {
                columns.Q_TOT: mixed.q_tot,
                columns.NEXT_Q_TOT: target(following),
                columns.REGULARIZER: mixed.regularizer,
                columns.STATS: {},
            }
            if self.model_config["returns"] == "q_lambda":
                forward[columns.TARGET_Q_TOT] = target(now, actions)
                forward[columns.TARGET_GREEDY_Q_TOT] = target(now)
            if mixed.attention is not None:
                entropies = attention_entropy(mixed.attention, mask).unbind()
                forward[columns.STATS] = {
                    keys.HEAD_ENTROPY.format(h): e for h, e in enumerate(entropies)
                }
        return forward

    def live_value(
        self,
        batch: dict[str, Any],
        rows: Tensor | slice,
        utilities: Tensor,
        actions: Tensor,
        mask: Tensor | None = None,
    ) -> Mixed:
        """The live mixer's values of joint actions: see `joint_value`.

        `utilities` are the live agent network's.
        """
        return self.joint_value(self.mixer, batch, rows, utilities, actions, mask=mask)

    def target_value(
        self, batch: dict[str, Any], rows: Tensor | slice, utilities: Tensor, actions: Tensor
    ) -> Mixed:
        """The target mixer's values of joint actions, which targets build on: see `joint_value`.

        `utilities` are the target agent network's.
        """
        return self.joint_value(self.target_mixer, batch, rows, utilities, actions)

    def joint_value(
        self,
        mixer: Any,
        batch: dict[str, Any],
        rows: Tensor | slice,
        utilities: Tensor,
        actions: Tensor,
        mask: Tensor | None = None,
    ) -> Mixed:
        """A mixer's values of some entries' joint actions.

        Args:
            mixer: The mixer.
            batch: The packed batch.
            rows: The entries, R of P.
            utilities: [P, N, A].
            actions: [R, N].
            mask: [R] bool, the entries that a regularizer averages over; None means all.
        """
        inputs: dict[str, Tensor] = self._mixer_inputs(batch, rows)
        if mixer.uses_actions:
            legal = batch[columns.LEGAL_ACTIONS][rows]
            best = (utilities[rows].detach() + (~legal) * ILLEGAL).amax(-1)
            inputs |= {"actions": actions, "best_utilities": best}
        mixed: Mixed = mixer(utilities_of(utilities, rows, actions), **inputs, mask=mask)
        return mixed

    def _mixer_inputs(self, batch: dict[str, Any], rows: Tensor | slice) -> dict[str, Tensor]:
        """State, unit features and alive mask of some entries."""
        state = batch[columns.STATE][rows]
        declared = self.spec.unit_features
        if declared is None:
            units = batch[Columns.OBS][rows]
        else:
            units = state[:, declared].unflatten(1, (self.spec.n_agents, -1))
        return {"state": state, "unit_features": units, "alive": batch[columns.ALIVE][rows]}

    # RLlib's interfaces.

    @override(TorchRLModule)
    def set_state(self, state: dict[str, Any]) -> None:
        """Takes all weights or none; RLlib takes those whose names it knows.

        Raises:
            BadInput: If names or shapes differ.
        """
        own = self.state_dict()
        if self.inference_only:  # what acting has no use for may be there
            state = {name: weight for name, weight in state.items() if name in own}
        if faults := weight_faults(state, own):
            raise BadInput(
                f"These weights are not of such a policy: {'; '.join(faults)}. Nothing was changed."
            )
        super().set_state(state)

    @override(TargetNetworkAPI)
    def make_target_networks(self) -> None:
        """Copies the live networks."""
        self.target_agent = make_target_network(self.agent)
        self.target_mixer = make_target_network(self.mixer)

    @override(TargetNetworkAPI)
    def get_target_network_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """See base class."""
        return [(self.agent, self.target_agent), (self.mixer, self.target_mixer)]

    @override(TargetNetworkAPI)
    def forward_target(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Target utilities [P, N, A] of a packed batch; training gets them from `forward_train`."""
        inputs = EpisodeInputs(self.layout, batch[Columns.OBS], batch[columns.LAST_ACTIONS])
        with torch.no_grad():
            utilities = self.target_agent(inputs, batch[columns.BATCH_SIZES])
        return {columns.UTILITIES: utilities}

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """What env runners do without."""
        return ["mixer", "target_agent", "target_mixer", "standardize_rewards"]
