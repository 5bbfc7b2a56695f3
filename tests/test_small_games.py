"""Games with known solutions, learned through the whole algorithm under full exploration."""

import itertools

import numpy as np
import pytest
import torch

from rllib_qatten import ALGORITHMS
from rllib_qatten.rollout.episode import TeamEpisode
from rllib_qatten.training.batch import pack

pytestmark = pytest.mark.usefixtures("ray_session")

UNIFORM = {
    "epsilon": 1.0,
    "num_envs_per_env_runner": 32,
    "updates_per_episode": 0.5,
    "train_batch_size_episodes": 128,
    "target_update_episodes": 256,
    "optimizer_name": "adam",
    "seed": 0,
}
#: Algorithms whose joint action value is additive within a state.
ADDITIVE = ("VDN", "Qatten", "QLinear")
PAYOFF = np.array([[8, -12, -12], [-12, 0, 0], [-12, 0, 0]], np.float32)


def train(name, env, env_config, rounds, steps, **settings):
    """Trains with one learning rate a round; returns the algorithm and its last result."""
    config = ALGORITHMS[name].get_default_config().update_from_dict(
        {"env": env, "env_config": env_config, **UNIFORM, **settings}
    )  # fmt: skip
    lr = [[i * steps, rate] for i, rate in enumerate(rounds)]
    config = config.update_from_dict({"lr": lr, "min_sample_timesteps_per_iteration": steps})
    algorithm = config.build_algo()
    for _ in rounds:
        result = algorithm.train()
    return algorithm, result


def q_table(algorithm, state):
    """Joint action value of every joint action in one state that all agents see, at first step."""
    module = algorithm.learner_group._learner.module["default_policy"].unwrapped()
    n, a = module.spec.n_agents, module.spec.n_actions
    episodes = [
        TeamEpisode(
            observations=np.broadcast_to(state, (2, n, len(state))),
            state=np.broadcast_to(state, (2, len(state))),
            legal_actions=np.ones((2, n, a), bool),
            alive=np.ones((2, n), bool),
            actions=np.array([joint], np.uint8),
            rewards=np.zeros(1, np.float32),
            terminated=True,
            won=None,
        )
        for joint in itertools.product(range(a), repeat=n)
    ]
    with torch.no_grad():
        values = module.forward_train({k: torch.from_numpy(v) for k, v in pack(episodes).items()})
    # QTRAN-alt and IndependentQ have a value per agent.
    return values["q_tot"].view(*[a] * n, -1).mean(-1).numpy()


#: Greedy return on the two-step game: 7 is the best that a sum of utilities finds.
TWO_STEP = dict.fromkeys(("QMIX", "QPLEX", "QTRAN", "WQMIX"), 8.0) | dict.fromkeys(
    (*ADDITIVE, "IndependentQ"), 7.0
)


#: One that finds what no sum of utilities does; the others are left to the long tests.
ALWAYS = "QMIX"


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n == ALWAYS else [pytest.mark.learning]) for n in ALGORITHMS],
)
def test_two_step_game(name):
    algorithm, result = train(name, "two_step_game", {}, [5e-3, 1e-3], 2500)
    assert result["evaluation"]["env_runners"]["episode_return_mean"] == TWO_STEP[name]
    if name != "IndependentQ":  # whose values are means over what the other agent may do
        value = q_table(algorithm, np.array([1, 0, 0], np.float32)).max()
        # 0.99 * 8, or 0.99 * 7: the published 7.92 and 6.93.
        assert value == pytest.approx(0.99 * TWO_STEP[name], abs=0.25)
    algorithm.stop()


#: Learning rates of a quick run; by the last one the values settle.
QUICK = (1e-3, 5e-4, 1e-4)


def learn_payoff(name, rounds=(1e-2, 1e-3, 2e-4), steps=3000, **settings):
    """QTRAN's 3x3 payoff under full exploration: the learned table and the greedy return."""
    algorithm, result = train(
        name, "matrix_game", {"payoff": PAYOFF.tolist()}, rounds, steps,
        **{"replay_capacity_episodes": 10_000, **settings},
    )  # fmt: skip
    table = q_table(algorithm, np.ones(1, np.float32))
    algorithm.stop()
    print(name, settings, table.round(1).tolist())
    return table, result["evaluation"]["env_runners"]["episode_return_mean"]


#: As QPLEX's authors train it on matrix games: PyMARL's recipe, exploring throughout.
AUTHORS = {
    "mixer_preset": "matrix_games",
    "optimizer_name": "rmsprop",
    "updates_per_episode": 1.0,
    "train_batch_size_episodes": 32,
    "replay_capacity_episodes": 5000,
    "target_update_episodes": 200,
}


@pytest.mark.learning
def test_qplex_finds_the_optimum_of_the_3x3_payoff():
    table, greedy = learn_payoff("QPLEX", QUICK, 400, **AUTHORS)
    assert greedy == 8.0
    assert table[0, 0] == table.max() == pytest.approx(8.0, abs=1.0)


@pytest.mark.learning
@pytest.mark.parametrize("seed", range(5))
def test_qplex_learns_the_whole_3x3_payoff(seed):
    """With the authors' learning rate, which then falls so that the table settles."""
    table, greedy = learn_payoff("QPLEX", (5e-4, 5e-4, 1e-4, 2e-5), 2000, **AUTHORS, seed=seed)
    assert greedy == 8.0
    np.testing.assert_allclose(table, PAYOFF, atol=0.2)


@pytest.mark.learning
@pytest.mark.parametrize("name", ADDITIVE)
def test_additive_fit_of_the_3x3_payoff(name):
    fit = PAYOFF.mean(0) + PAYOFF.mean(1, keepdims=True) - PAYOFF.mean()
    table, greedy = learn_payoff(name)
    np.testing.assert_allclose(table, fit, atol=0.6)
    assert greedy == 0.0


@pytest.mark.learning
@pytest.mark.parametrize("variant", ["base", "alt"])
def test_qtran_learns_the_3x3_payoff(variant):
    table, greedy = learn_payoff("QTRAN", variant=variant)
    np.testing.assert_allclose(table, PAYOFF, atol=0.1)
    assert greedy == 8.0


@pytest.mark.learning
@pytest.mark.parametrize("weighting", ["ow", "cw"])
def test_wqmix_finds_the_optimum_of_the_3x3_payoff(weighting):
    table, greedy = learn_payoff("WQMIX", weighting=weighting)
    assert greedy == 8.0
    assert table[0, 0] == pytest.approx(8.0, abs=0.2)


@pytest.mark.learning
def test_qmix_underestimates_the_optimum_of_the_3x3_payoff():
    """As published: about -8 wherever the first action is played, 0 elsewhere."""
    table, greedy = learn_payoff("QMIX")
    assert greedy == 0.0
    np.testing.assert_allclose(table[1:, 1:], 0.0, atol=0.3)
    np.testing.assert_allclose(table[0], -8.0, atol=0.6)


@pytest.mark.learning
def test_independent_learners_miss_the_optimum_of_the_3x3_payoff():
    assert learn_payoff("IndependentQ")[1] == 0.0
