"""Training steps, returns and epsilon of a file of reference numbers, through the real loss."""

import pytest
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.utils.torch_utils import clip_gradients, compute_global_norm

from rllib_qatten import columns, keys
from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.algorithms.qtran import TARGET_HIDDEN
from rllib_qatten.envs.team import TeamSpace, TeamSpec
from rllib_qatten.rollout.exploration import EpsilonSchedule
from rllib_qatten.training.learner import make_optimizer
from rllib_qatten.training.losses import targets_of
from rllib_qatten.training.returns import lambda_returns
from tests import golden

#: Mixer -> settings of the algorithm that is no more than this mixer.
CONFIGS = {
    name: ALGORITHMS[algorithm].get_default_config()
    for name, algorithm in {
        "vdn": "VDN", "qmix": "QMIX", "qatten": "Qatten", "qlinear": "QLinear", "qplex": "QPLEX",
        "qtran": "QTRAN", "none": "IndependentQ",
    }.items()
}  # fmt: skip
#: What stands for the agents' network in a step: free numbers that learn.
FREE = ("agent_q_live", "agent_hidden_live")


def mixer_name(case):
    name = case.get("mixer")
    return "none" if str(name).lower() in ("none", "iql", "independent_q") else name


def settings_of(case):
    """The algorithm's settings, as the case has them."""
    config = CONFIGS[mixer_name(case)].copy(copy_frozen=False)
    given = {k: v for k, v in case["config"].items() if k in SETTINGS and hasattr(config, k)}
    return config.training(**given)


SETTINGS = (
    "gamma", "double_q", "qtran_arch", "network_size", "mixing_embed_dim", "opt_loss",
    "nopt_min_loss",
)  # fmt: skip


def pytest_generate_tests(metafunc):
    cases = golden.load(metafunc.config.getoption("golden"))["cases"]
    if "case" in metafunc.fixturenames:
        component = {
            "test_training_step": "one training step",
            "test_lambda_returns": "lambda returns",
            "test_q_lambda_returns": "lambda returns",
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
    settings = settings_of(case)
    chosen = by_time(case["inputs"]["actions"]) > 0
    following = by_time(case["outputs"]["greedy_next_actions_used"]) > 0

    class Module(settings.rl_module_class):
        def _mixer_inputs(self, batch, rows):
            # The reference takes agents whose action is 0 for dead, in targets their greedy one.
            alive = following if isinstance(rows, slice) else chosen[: len(following)]
            return super()._mixer_inputs(batch, rows) | {"alive": alive}

    module = Module(
        observation_space=TeamSpace(spec), model_config=settings._model_config_auto_includes
    )
    weights = case["weights"]
    if mixer_name(case) != "none":
        module.mixer = golden.make_mixer(case["mixer"], config, weights.get("live_mixer"))
        module.target_mixer = golden.make_mixer(case["mixer"], config, weights.get("target_mixer"))
    else:
        module.target_mixer = module.mixer
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
        columns.WEIGHTS: torch.ones(count),
        Columns.ACTIONS: by_time(inputs["actions"])[:count].long(),
        Columns.REWARDS: by_time(inputs["reward"])[:count],
        Columns.TERMINATEDS: by_time(inputs["terminated"])[:count].bool(),
    }


def test_training_step(case):
    name = mixer_name(case)
    if name not in CONFIGS:
        pytest.skip(f"{case['id']}: there is not an algorithm with the mixer {name!r}")
    inputs, expected, config = case["inputs"], case["outputs"], case["config"]
    episodes = len(inputs["filled"])
    settings, module, batch = settings_of(case), module_of(case), batch_of(inputs)
    free = {name: by_time(inputs[name]).requires_grad_() for name in FREE if name in inputs}
    batch |= {columns.HIDDEN: free.get("agent_hidden_live")}
    if "agent_hidden_target" in inputs:
        batch[TARGET_HIDDEN] = by_time(inputs["agent_hidden_target"])
    table, target_table = free["agent_q_live"], by_time(inputs["agent_q_target"])

    forward = module.mix(batch, table, target_table)
    loss, stats = settings.get_default_learner_class().loss(forward, batch, settings)
    parameters = [*free.values(), *module.mixer.parameters()]
    for parameter, gradient in zip(
        parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True
    ):
        parameter.grad = gradient
    gradients = {i: p.grad for i, p in enumerate(parameters)}
    norm = compute_global_norm(list(gradients.values()))
    clip_gradients(gradients, grad_clip=config["grad_norm_clip"], grad_clip_by="global_norm")

    ours = {
        "loss": loss,
        "grad_norm": norm,
        "td_error_abs": stats[keys.TD_ERROR_ABS],
        # The reference divides by the number of agents, whatever the mixer.
        "q_taken_mean": stats[keys.Q_TOT_MEAN] / config["n_agents"],
        "target_mean": stats[keys.TARGET_MEAN] / config["n_agents"],
        # QTRAN's reference logs the mean error under this name.
        "td_targets": stats[keys.Q_TOT_MEAN] - stats[keys.TARGET_MEAN],
        "opt_loss": stats.get(keys.OPT_LOSS),
        "nopt_loss": stats.get(keys.NOPT_LOSS),
    }
    logged = expected["logged"]
    assert {"loss", "grad_norm", "td_error_abs"} <= logged.keys()
    for name in logged.keys() & ours.keys():
        close(ours[name], logged[name], name)
    if "regulariser" in expected:
        close(forward["regularizer"], expected["regulariser"], "regularizer")
    taken = golden.tensor(expected.get("q_tot_taken", expected.get("joint_q_taken")))
    mask = golden.tensor(expected["mask"])
    mask = mask.view(*mask.shape, *[1] * (taken.dim() - 2))
    close(grid(forward["q_tot"], episodes) * mask, taken * mask, "q_tot_taken")
    targets = grid(targets_of(forward, batch, settings), episodes)
    close(targets * mask, golden.tensor(expected["targets"]).view_as(targets) * mask, "targets")
    optimizer = make_optimizer("rmsprop", parameters, lr=config["optimiser"]["lr"])
    for name, entries in free.items():
        gradient = torch.zeros_like(entries) if entries.grad is None else entries.grad
        close(grid(gradient, episodes), expected[f"clipped_gradient_{name}"], name)
    optimizer.step()
    for name, entries in free.items():
        close(grid(entries, episodes), expected[f"{name}_after_step"], f"{name} after the step")
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


def test_q_lambda_returns(case):
    inputs, outputs, settings = case["inputs"], case["outputs"], CONFIGS["vdn"].copy(False)
    settings.training(returns="q_lambda", **{k: case["config"][k] for k in ("gamma", "td_lambda")})
    episodes, steps = len(inputs["reward"]), len(inputs["reward"][0])
    best, taken = (by_time(inputs[f"target_{k}_q_tot"]) for k in ("max", "taken"))
    forward = {
        columns.NEXT_Q_TOT: best[episodes:],
        columns.TARGET_GREEDY_Q_TOT: best[:-episodes],
        columns.TARGET_Q_TOT: taken[: episodes * steps],
    }
    batch = {
        Columns.REWARDS: by_time(inputs["reward"]),
        Columns.TERMINATEDS: by_time(inputs["terminated"]).bool(),
        columns.MASK: by_time(inputs["mask"]).bool(),
        columns.BATCH_SIZES: torch.full((steps + 1,), episodes),
    }
    returns = grid(targets_of(forward, batch, settings), episodes)
    close(returns * golden.tensor(inputs["mask"]), outputs["q_lambda"], "q_lambda")


def test_epsilon(case):
    config = case["config"]
    schedule = EpsilonSchedule([[0, config["start"]], [config["anneal_steps"], config["finish"]]])
    for step, epsilon in case["outputs"].items():
        assert schedule(int(step)) == pytest.approx(epsilon, rel=1e-8)
