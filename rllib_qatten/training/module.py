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

from rllib_qatten.agents import InputLayout, RecurrentAgent, unroll
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.mixers import MIXERS, attention_entropy
from rllib_qatten.rollout.exploration import ILLEGAL
from rllib_qatten.training import batch as columns

UTILITIES = "utilities"
Q_TOT = "q_tot"
NEXT_Q_TOT = "next_q_tot"
REGULARISER = "regulariser"
#: Prefix of by-products that are logged as they are.
STATS = "stats"


class QMIXRLModule(TorchRLModule, InferenceOnlyAPI, TargetNetworkAPI):
    """The policy of QMIX: one recurrent agent network shared by all agents, and a mixer.

    Built `inference_only`, as on env runners, it holds the agent network alone. A subclass brings
    another mixer.
    """

    #: Which of `MIXERS`.
    mixer_name: ClassVar[str] = "qmix"

    @override(TorchRLModule)
    def setup(self) -> None:
        """Builds the networks from the team's space and the model config."""
        spec = self.spec
        self.layout = InputLayout(spec.observation_size, spec.n_actions, spec.n_agents)
        self.agent = RecurrentAgent(self.layout.size, spec.n_actions, **self.agent_settings)
        if not self.inference_only:
            # Keys come from the declared unit features, else from the agent's own observation.
            unit_size = spec.unit_feature_size or spec.observation_size
            options = self.model_config["mixer"]
            self.mixer = MIXERS[self.mixer_name](
                spec.n_agents, spec.state_size, unit_size, **options
            )

    @property
    def spec(self) -> TeamSpec:
        """The team's sizes."""
        return self.observation_space.spec

    @property
    def agent_settings(self) -> dict[str, Any]:
        """The agent network's settings, of which checkpoints keep a copy for acting."""
        return {"hidden_size": self.model_config["hidden_size"]}

    # Acting.

    def get_initial_state(self) -> dict[str, np.ndarray]:
        """One game's hidden state: zeros [N, hidden]."""
        return {"hidden": np.zeros((self.spec.n_agents, self.model_config["hidden_size"]), "f4")}

    def _forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step of G games.

        Args:
            batch: Columns.OBS [G, N, O], "last_actions" [G, N] (-1: none), Columns.STATE_IN
                {"hidden": [G, N, hidden]}.

        Returns:
            "utilities" [G, N, A] of all actions, legal or not, and Columns.STATE_OUT.
        """
        inputs = self.layout(
            torch.as_tensor(batch[Columns.OBS]), torch.as_tensor(batch[columns.LAST_ACTIONS])
        )
        hidden = torch.as_tensor(batch[Columns.STATE_IN]["hidden"])
        games_and_agents = inputs.shape[:-1]
        utilities, hidden = self.agent.step(inputs.flatten(0, 1), hidden.flatten(0, 1))
        return {
            UTILITIES: utilities.view(*games_and_agents, -1),
            Columns.STATE_OUT: {"hidden": hidden.view(*games_and_agents, -1)},
        }

    # Learning.

    def _forward_train(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Unrolls live and target networks over a packed batch and mixes both.

        See `mix` for what comes out.
        """
        inputs = self.layout(batch[Columns.OBS], batch[columns.LAST_ACTIONS])
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
            of the greedy legal actions (of the live network with double Q), REGULARISER, and STATS.
        """
        now, mask = batch[columns.NOW], batch[columns.MASK]
        n, a = utilities.shape[1:]
        # One flat look-up: indexing rows first would copy, and scatter back, all A utilities.
        agents = now.unsqueeze(-1) * n + torch.arange(n, device=now.device)
        chosen = agents * a + batch[Columns.ACTIONS]
        taken = utilities.flatten().gather(0, chosen.flatten()).view_as(chosen)
        mixed = self.mixer(taken, mask=mask, **self._mixer_inputs(batch, now))
        following = slice(len(utilities) - len(now), None)
        with torch.no_grad():
            legal = batch[columns.LEGAL_ACTIONS][following]
            judge = utilities if self.model_config["double_q"] else target_utilities
            best = (judge[following] + (~legal) * ILLEGAL).argmax(-1, keepdim=True)
            values = target_utilities[following].gather(-1, best).squeeze(-1)
            target = self.target_mixer(values, **self._mixer_inputs(batch, following))
            stats = {}
            if mixed.attention is not None:
                entropies = attention_entropy(mixed.attention, mask).unbind()
                stats = {f"head_{h}_entropy": entropy for h, entropy in enumerate(entropies)}
        return {
            Q_TOT: mixed.q_tot,
            NEXT_Q_TOT: target.q_tot,
            REGULARISER: mixed.regulariser,
            STATS: stats,
        }

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
        inputs = self.layout(batch[Columns.OBS], batch[columns.LAST_ACTIONS])
        with torch.no_grad():
            return {
                UTILITIES: self.target_agent(inputs, batch[columns.BATCH_SIZES]),
            }

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """What env runners go without."""
        return ["mixer", "target_agent", "target_mixer"]
