"""Every option of the agent network through the whole algorithm, and in the policy alone."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.tune.registry import register_env

from rllib_qatten.agents import AGENTS, SHARING, Entities
from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.envs.team import TeamSpec
from tests.algorithms import tiny as every
from tests.teams import ScriptedBattle
from tests.training import test_rl_module as policy

#: An observation of three numbers as a teammate's, an enemy's, and one about oneself.
ENTITIES = {
    "own": [(2, 3)],
    "enemies": {"start": 1, "count": 1, "size": 1},
    "teammates": {"start": 0, "count": 1, "size": 1},
    "attacks": 3,
}
TYPED = TeamSpec(
    ("a", "b"), 4, 3, 5, unit_features=slice(0, 4), unit_types=(1, 0),
    entities=Entities.read(ENTITIES),
)  # fmt: skip
OPTIONS = [
    {"agent": kind, "parameter_sharing": sharing, "layer_norm": extra, "orthogonal_init": extra}
    for (kind, sharing), extra in zip(
        itertools.product(AGENTS, SHARING), itertools.cycle([True, False]), strict=False
    )
]
every_option = pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda o: f"{o['agent']}-{o['parameter_sharing']}"
)
#: Networks in a team of three, two of them of one type.
NETWORKS = {"all": 1, "unit_type": 2, "none": 3}


class TypedBattle(ScriptedBattle):
    unit_types = (5, 3, 5)
    entities = ENTITIES


@pytest.fixture
def build(ray_session):
    register_env("typed_battle", TypedBattle)

    def build(**settings):
        config = {"agents": 3, "lengths": [4, 7], "wins": [True, False]}
        return every.build("QMIX", "typed_battle", env_config=config, **settings)

    return build


@every_option
def test_trains_and_evaluates(build, options):
    algorithm = build(**options, target_update_episodes=10**6)
    for _ in range(2):
        result = algorithm.train()
    assert np.isfinite(result["learners"]["default_policy"]["total_loss"])
    assert result["num_updates_lifetime"] > 5
    assert result["evaluation"]["env_runners"]["num_episodes"] == 5
    state = every.weights(algorithm)
    live = {name for name in state if name.startswith("agent.")}
    heads = [name for name in live if name.endswith("head.weight")]
    assert len(heads) == NETWORKS[options["parameter_sharing"]]
    # Learning reached every network; the targets are still what they began with.
    for name in live:
        assert not np.array_equal(state[name], state[f"target_{name}"]), name
    assert any("norm" in name for name in live) == options["layer_norm"]
    algorithm.stop()


def test_separate_agents_are_saved_and_restored(build, tmp_path):
    algorithm = build(agent="recurrent", parameter_sharing="none", layer_norm=True)
    algorithm.train()
    path = algorithm.save_to_path(tmp_path / "checkpoint")
    restored = Algorithm.from_checkpoint(path)
    every.assert_equal(every.weights(algorithm), every.weights(restored))
    assert restored.evaluate()["env_runners"]["num_episodes"] == 5
    inputs = torch.randn(2, 3, restored.get_module().layout.size)
    hidden = torch.zeros(2, 3, 16)
    ours, theirs = (a.get_module().agent.step(inputs, hidden)[0] for a in (algorithm, restored))
    assert torch.equal(ours, theirs)
    restored.train()
    algorithm.stop()
    restored.stop()


@every_option
def test_acting_equals_unrolling(options):
    policy.assert_acting_equals_unrolling(policy.build("QMIX", TYPED, **options).float())


@pytest.mark.parametrize("kind", AGENTS)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_learns_with_every_agent(name, kind):
    module = policy.build(name, TYPED, agent=kind)
    batch = policy.tensors(policy.pack(policy.episodes()))
    loss, gradients, _ = policy.loss_of(module, batch, name)
    assert torch.isfinite(loss)
    names = [name for name, p in module.named_parameters() if p.requires_grad]
    for parameter, gradient in zip(names, gradients, strict=True):
        assert not parameter.startswith("agent.") or gradient.any(), parameter


def test_the_entity_agent_needs_a_declaration():
    spec = dataclasses.replace(TYPED, entities=None)
    with pytest.raises(ValueError, match="entity sees units as a set, and this env does not say"):
        policy.build("QMIX", spec, agent="entity")


def test_unit_types_must_be_declared():
    with pytest.raises(ValueError, match="needs the unit type of each agent"):
        policy.build("QMIX", parameter_sharing="unit_type")
