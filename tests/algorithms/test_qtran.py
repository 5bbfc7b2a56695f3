"""QTRAN's two conditions, against loops over every joint action of small games."""

import itertools

import pytest
import torch
from ray.rllib.core.columns import Columns

from rllib_qatten import QTRANConfig, columns
from rllib_qatten.algorithms.qtran import NOPT_GAP, OPT_GAP, TARGET_HIDDEN
from rllib_qatten.training.batch import pack
from tests.training.test_rl_module import SPEC, build, episodes, tensors

N, A = SPEC.n_agents, SPEC.n_actions


def forward_of(variant):
    module = build("QTRAN", variant=variant)
    batch = tensors(pack(episodes()))
    inputs = module.layout(batch[Columns.OBS], batch[columns.LAST_ACTIONS])
    with torch.no_grad():
        hidden = module.agent.hidden_states(inputs, batch[columns.BATCH_SIZES])
        utilities = module.agent.utilities(hidden, inputs)
        batch |= {columns.HIDDEN: hidden, TARGET_HIDDEN: hidden}
        return module, batch, utilities, module.mix(batch, utilities, utilities)


def per_transition(batch, utilities):
    for m, row in enumerate(batch[columns.NOW].tolist()):
        yield (
            m,
            batch[columns.STATE][row],
            batch[columns.HIDDEN][row],
            utilities[row],
            batch[columns.LEGAL_ACTIONS][row],
            batch[Columns.ACTIONS][m],
        )


def best_of(utilities, legal):
    return torch.tensor(
        [max((a for a in range(A) if legal[i, a]), key=lambda a: utilities[i, a]) for i in range(N)]
    )


def test_base():
    module, batch, utilities, forward = forward_of("base")
    critic = module.mixer
    for m, state, hidden, q, legal, taken in per_transition(batch, utilities):
        best, value = best_of(q, legal), critic.state_value(state)
        opt = sum(q[i, best[i]] for i in range(N)) - critic.joint_value(state, hidden, best) + value
        torch.testing.assert_close(forward[OPT_GAP][m], opt)
        gap = sum(q[i, taken[i]] for i in range(N)) - critic.joint_value(state, hidden, taken)
        torch.testing.assert_close(forward[NOPT_GAP][m], min(gap + value, torch.zeros(()).double()))


def test_alt_over_all_own_actions():
    module, batch, utilities, forward = forward_of("alt")
    critic = module.mixer
    for m, state, hidden, q, legal, taken in per_transition(batch, utilities):
        value = critic.state_value(state, hidden)
        best = best_of(q, legal)
        for i in range(N):
            estimate = critic.joint_values(state, hidden, best)[i, best[i]]
            opt = sum(q[j, best[j]] for j in range(N)) - estimate + value
            torch.testing.assert_close(forward[OPT_GAP][m, i], opt)
            gaps = []
            for own in range(A):
                if legal[i, own]:
                    joint = taken.clone()
                    joint[i] = own
                    # The value of exactly this joint action, by the network of agent i.
                    estimate = critic.joint_values(state, hidden, joint)[i, own]
                    gaps.append(sum(q[j, joint[j]] for j in range(N)) - estimate + value)
            torch.testing.assert_close(forward[NOPT_GAP][m, i], min(gaps))


@pytest.mark.parametrize("variant", ["base", "alt"])
def test_the_conditions_train_utilities_and_not_the_critic(variant):
    module = build("QTRAN", variant=variant)
    forward = module.forward_train(tensors(pack(episodes())))
    conditions = forward[OPT_GAP].square().mean() + forward[NOPT_GAP].square().mean()
    parts = {"head": module.agent.head, "joint": module.mixer.joint_net}
    for name, part in parts.items():
        found = torch.autograd.grad(
            conditions, list(part.parameters()), retain_graph=True, allow_unused=True
        )
        assert any(g is not None and g.abs().sum() > 0 for g in found) == (name == "head")


@pytest.mark.parametrize("settings", [{"qtran_arch": "coma_critic"}, {"network_size": "big"}])
def test_architectures_arrive(settings):
    config = QTRANConfig().environment("two_step_game").training(**settings)
    config.validate()
    assert config._model_config_auto_includes["mixer"].items() >= settings.items()


def test_greedy_actions_of_all_agents_decide_not_the_critic():
    """No claim that utilities and critic agree: only learning brings them together."""
    module, batch, utilities, _ = forward_of("base")
    disagree = 0
    for _, state, hidden, q, _, _ in per_transition(batch, utilities):
        values = {
            joint: module.mixer.joint_value(state, hidden, torch.tensor(joint)).item()
            for joint in itertools.product(range(A), repeat=N)
        }
        disagree += max(values, key=values.get) != tuple(q.argmax(-1).tolist())
    assert disagree
