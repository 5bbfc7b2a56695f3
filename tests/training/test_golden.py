"""Training steps, returns and epsilon of a file of reference numbers, through the real loss."""

import pytest
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.utils.torch_utils import clip_gradients, compute_global_norm

from rllib_qatten import metrics as keys
from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.envs.team import TeamSpace, TeamSpec
from rllib_qatten.rollout.exploration import EpsilonSchedule
from rllib_qatten.training import batch as columns
from rllib_qatten.training.learner import make_optimizer, td_loss
from rllib_qatten.training.returns import lambda_returns
from tests import golden

MODULES = {
    algorithm.get_default_config().rl_module_class.mixer_name: algorithm.get_default_config()
    for algorithm in ALGORITHMS.values()
}


def pytest_generate_tests(metafunc):
    cases = golden.load(metafunc.config.getoption("golden"))["cases"]
    if "case" in metafunc.fixturenames:
        component = {
            "test_training_step": "one training step",
            "test_lambda_returns": "lambda returns",
            "test_epsilon": "epsilon schedule",
        }[metafunc.function.__name__]
        chosen = [c for c in cases if c.get("component") == component]
        metafunc.parametrize("case", [pytest.param(c, id=c["id"]) for c in chosen])


def close(ours, theirs, name=""):
    theirs = torch.as_tensor(theirs, dtype=torch.float64)
    torch.testing.assert_close(
        ours.detach().to(theirs), theirs, rtol=1e-8, atol=1e-10, msg=lambda m: f"{name}: {m}"
    )


def by_time(rows):
    """[B, T, ...] numbers -> [T * B, ...], the packed layout of episodes of one length."""
    return golden.tensor(rows).transpose(0, 1).flatten(0, 1)


def grid(rows, episodes):
    """The way back: [T * B, ...] -> [B, T, ...]."""
    return rows.unflatten(0, (-1, episodes)).transpose(0, 1)


def module_of(case):
    """The policy of a case's mixer, with the case's mixers in it, and its agents' alive masks."""
    config = case["config"]
    units = slice(0, config["n_agents"] * config["unit_dim"])
    spec = TeamSpec(
        agents=tuple(f"agent_{i}" for i in range(config["n_agents"])),
        n_actions=config["n_actions"],
        observation_size=1,
        state_size=config["state_dim"],
        unit_features=units,
    )
    ours = MODULES[case["mixer"]]
    chosen = by_time(case["inputs"]["actions"]) > 0
    following = by_time(case["outputs"]["greedy_next_actions_used"]) > 0

    class Module(ours.rl_module_class):
        def _mixer_inputs(self, batch, rows):
            # The reference takes agents whose action is 0 for dead, in targets their greedy one.
            alive = following if isinstance(rows, slice) else chosen[: len(following)]
            return super()._mixer_inputs(batch, rows) | {"alive": alive}

    settings = ours.copy(copy_frozen=False)
    settings.double_q = config["double_q"]
    module = Module(
        observation_space=TeamSpace(spec), model_config=settings._model_config_auto_includes
    )
    weights = case["weights"]
    module.mixer = golden.make_mixer(case["mixer"], config, weights.get("live_mixer"))
    module.target_mixer = golden.make_mixer(case["mixer"], config, weights.get("target_mixer"))
    return module


def batch_of(inputs):
    episodes, entries = len(inputs["filled"]), len(inputs["filled"][0])
    filled, terminated = (golden.tensor(inputs[k]) for k in ("filled", "terminated"))
    mask = filled[:, :-1].clone()
    mask[:, 1:] *= 1 - terminated[:, :-2]
    count = episodes * (entries - 1)
    return {
        Columns.OBS: torch.zeros(count + episodes, len(inputs["actions"][0][0]), 1),
        columns.STATE: by_time(inputs["state"]),
        columns.LEGAL_ACTIONS: by_time(inputs["avail_actions"]).bool(),
        columns.ALIVE: torch.ones(count + episodes, len(inputs["actions"][0][0])).bool(),
        columns.BATCH_SIZES: torch.full((entries,), episodes),
        columns.NOW: torch.arange(count),
        columns.MASK: mask.t().flatten().bool(),
        Columns.ACTIONS: by_time(inputs["actions"])[:count].long(),
        Columns.REWARDS: by_time(inputs["reward"])[:count],
        Columns.TERMINATEDS: by_time(inputs["terminated"])[:count].bool(),
    }


def test_training_step(case):
    if case["mixer"] not in MODULES:
        pytest.skip(f"{case['id']}: there is no algorithm with the mixer {case['mixer']!r}")
    inputs, expected, config = case["inputs"], case["outputs"], case["config"]
    episodes = len(inputs["filled"])
    module, batch = module_of(case), batch_of(inputs)
    table = by_time(inputs["agent_q_live"]).requires_grad_()
    target_table = by_time(inputs["agent_q_target"])

    forward = module.mix(batch, table, target_table)
    loss, stats = td_loss(forward, batch, gamma=config["gamma"], td_lambda=0.0)
    parameters = [table, *module.mixer.parameters()]
    for parameter, gradient in zip(
        parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True
    ):
        parameter.grad = gradient
    gradients = {i: p.grad for i, p in enumerate(parameters)}
    norm = compute_global_norm(list(gradients.values()))
    clip_gradients(gradients, grad_clip=config["grad_norm_clip"], grad_clip_by="global_norm")

    logged = expected["logged"]
    close(loss, logged["loss"], "loss")
    close(norm, logged["grad_norm"], "grad_norm")
    close(stats[keys.TD_ERROR_ABS], logged["td_error_abs"], "td_error_abs")
    # The reference divides by the number of agents, whatever the mixer.
    close(stats[keys.Q_TOT_MEAN] / config["n_agents"], logged["q_taken_mean"], "q_taken_mean")
    close(stats[keys.TARGET_MEAN] / config["n_agents"], logged["target_mean"], "target_mean")
    if "regulariser" in expected:
        close(forward["regulariser"], expected["regulariser"], "regulariser")
    mask = golden.tensor(expected["mask"])
    taken = golden.tensor(expected["q_tot_taken"])
    close(grid(forward["q_tot"], episodes) * mask, taken * mask, "q_tot_taken")
    close(grid(table.grad, episodes), expected["clipped_gradient_agent_q_live"], "clipped gradient")
    optimizer = make_optimizer("rmsprop", parameters, lr=config["optimiser"]["lr"])
    optimizer.step()
    close(grid(table, episodes), expected["agent_q_live_after_step"], "utilities after the step")
    if expected.get("mixer_weights_after_step"):
        ours = golden.flatten(golden.get_weights(module.mixer))
        theirs = golden.flatten(expected["mixer_weights_after_step"])
        assert ours.keys() == theirs.keys()
        for name, weight in ours.items():
            close(weight, theirs[name], name)


def test_lambda_returns(case):
    inputs, config = case["inputs"], case["config"]
    episodes, steps = len(inputs["reward"]), len(inputs["reward"][0])
    mask = golden.tensor(inputs["mask"])
    for name, td_lambda in (("td_lambda", config["td_lambda"]), ("td_lambda_with_lambda_0", 0.0)):
        returns = lambda_returns(
            by_time(inputs["reward"]),
            by_time(inputs["terminated"]).bool(),
            by_time(inputs["target_max_q_tot"])[episodes:],
            by_time(inputs["mask"]).bool(),
            [episodes] * steps,
            config["gamma"],
            td_lambda,
        )
        close(grid(returns, episodes) * mask, case["outputs"][name], name)


def test_epsilon(case):
    config = case["config"]
    schedule = EpsilonSchedule([[0, config["start"]], [config["anneal_steps"], config["finish"]]])
    for step, epsilon in case["outputs"].items():
        assert schedule(int(step)) == pytest.approx(epsilon, rel=1e-8)
