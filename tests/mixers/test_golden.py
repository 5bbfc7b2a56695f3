"""Every mixer case of a file of reference numbers; `--golden FILE` takes another file."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from rllib_qatten.mixers import MIXERS, QTRANCritic, attention_entropy
from tests import golden

NOT_OURS = {"float32_max_abs_diff_q_tot", "param_gradients", "n_parameters"}  # checked apart


def pytest_generate_tests(metafunc):
    path = metafunc.config.getoption("golden")
    if "case" in metafunc.fixturenames:
        joint = metafunc.function is test_joint_critic
        cases = [c for c in golden.load(path)["cases"] if (ours(c) == "qtran") == joint]
        metafunc.parametrize("case", [pytest.param(c, id=c["id"]) for c in cases])
    if "counts" in metafunc.fixturenames:
        maps = golden.load(path).get("parameter_counts", {}).get("maps", {})
        metafunc.parametrize("counts", [pytest.param(m, id=name) for name, m in maps.items()])


def ours(case):
    """Our name of the case's mixer, None if it is of something else."""
    name = case.get("mixer")
    return None if "component" in case else golden.NAMES.get(name, name)


def close(ours, theirs, name, rtol=1e-8, atol=1e-11):
    theirs = golden.tensor(theirs)
    torch.testing.assert_close(
        ours.detach().to(theirs), theirs, rtol=rtol, atol=atol, msg=lambda m: f"{name}: {m}"
    )


def outputs_of(mixer, mixed, utilities, state):
    """Everything a case may list, under the names of the file."""
    found = {
        "q_tot": mixed.q_tot,
        "attention": mixed.attention,
        "logits_unscaled": mixed.logits,
        "head_q": mixed.head_values,
        "head_weight": mixed.head_weights,
        "state_value": mixed.state_value,
        "regulariser": mixed.regularizer,
        "agent_weight": mixed.agent_weights,
        "advantage_weight": mixed.agent_weights,
        "dq_tot_dq_agent": torch.autograd.grad(mixed.q_tot.sum(), utilities, retain_graph=True)[0],
    }
    if mixed.attention is not None:
        found["entropy_per_head"] = attention_entropy(mixed.attention)
    if isinstance(mixer, MIXERS["qmix"]):
        w1 = mixer.hyper_w1(state).abs().unflatten(-1, (mixer.n_agents, -1))
        b1, w2 = mixer.hyper_b1(state), mixer.hyper_w2(state).abs()
        hidden = torch.nn.functional.elu(torch.einsum("...n,...ne->...e", utilities, w1) + b1)
        found |= {"w1": w1, "b1": b1, "hidden": hidden, "w2": w2}
    if isinstance(mixer, MIXERS["qplex"]):
        w, v = mixer.hyper_w(state).abs() + 1e-10, mixer.hyper_v(state)
        value = (w * utilities + v).sum(-1)
        found |= {"transform_w": w, "transform_v": v, "value_part": value}
        found["advantage_part"] = mixed.q_tot - value
    return found


def test_case(case):
    if ours(case) not in MIXERS:
        what = case.get("component") or f"mixer {case.get('mixer')!r}"
        pytest.skip(f"{case['id']}: {what} is not tested here")
    mixer, inputs, expected = golden.case_mixer(case), golden.case_inputs(case), case["outputs"]
    utilities, state = inputs["agent_qs"].requires_grad_(), inputs["state"]
    best = inputs.get("agent_max_qs")
    context = golden.mixer_kwargs(case["config"], state, inputs["actions"])
    mixed = mixer(utilities, state, **context, best_utilities=best)
    found = outputs_of(mixer, mixed, utilities, state)
    for name in expected.keys() - NOT_OURS:
        if expected[name] is not None:
            close(found[name], expected[name], name)
        elif name != "regulariser":
            assert found[name] is None, name
    if "n_parameters" in expected:
        assert golden.count(mixer) == expected["n_parameters"]
    if "param_gradients" in expected:
        check_gradients(mixer, mixed, dict(expected["param_gradients"]))

    context = golden.mixer_kwargs(case["config"], state.float(), inputs["actions"])
    context["best_utilities"] = None if best is None else best.float()
    single = mixer.float()(utilities.float(), state.float(), **context)
    close(single.q_tot, expected["q_tot"], "q_tot in float32", rtol=0, atol=1e-5)


def test_joint_critic(case):
    critic, inputs, expected = golden.case_mixer(case), golden.case_inputs(case), case["outputs"]
    state, actions = inputs["state"], inputs["actions"]
    hidden = inputs.get("agent_hidden", torch.zeros(0))  # coma_critic reads none
    for dtype, tolerance in ((torch.float64, {}), (torch.float32, {"rtol": 0, "atol": 1e-5})):
        critic.to(dtype)
        joint = critic.joint_value(state.to(dtype), hidden.to(dtype), actions)
        close(joint, expected["joint_q"], "joint_q", **tolerance)
        value = critic.state_value(state.to(dtype))
        close(value, expected["state_value"], "state_value", **tolerance)


def check_gradients(mixer, mixed, expected):
    objective = mixed.q_tot.square().mean() + mixed.regularizer
    close(objective, expected.pop("objective"), "objective")
    objective.backward()
    ours = golden.flatten(golden.layers(mixer, lambda p: None if p is None else p.grad))
    theirs = golden.flatten(expected)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        close(ours[name], theirs[name], f"gradient of {name}")


def test_parameter_counts(counts):
    n, s, u, a, _ = counts["dims"]
    weighted = {"weighted_heads": True}
    built = {
        "qatten_sum": ("qatten", {}),
        "qatten_weighted": ("qatten", weighted),
        "qatten_weighted_qkey": ("qatten", weighted | {"q_in_key": True}),
        "qatten_pymarl2": ("qatten", weighted | {"attention_bias": True}),
        "qmix_1layer": ("qmix", {"hypernet_layers": 1}),
        "qmix_2layer": ("qmix", {}),
        "qlinear": ("qlinear", {}),
    }
    for name, (kind, options) in built.items():
        assert golden.count(MIXERS[kind](n, s, u, **options)) == counts["counts"][name], name
    assert golden.count(QTRANCritic(n, s, a, hidden_size=64)) == counts["counts"]["qtran_small"]


def random_network(g, *sizes, bias=True):
    shapes = list(pairwise(sizes))
    return [
        {
            "weight": g.normal(size=(o, i)).tolist(),
            "bias": g.normal(size=o).tolist() if bias or k < len(shapes) - 1 else None,
        }
        for k, (i, o) in enumerate(shapes)
    ]


def run(net, x):
    for k, layer in enumerate(net):
        x = np.maximum(x, 0) if k else x
        x = x @ np.array(layer["weight"]).T + (0 if layer["bias"] is None else layer["bias"])
    return x


@pytest.mark.parametrize(
    ("architecture", "size"),
    [("qtran_paper", "small"), ("qtran_paper", "big"), ("coma_critic", "small")],
)
def test_joint_critic_layouts(architecture, size):
    """Cases made here, by numpy: what the layout description allows and this file may not hold."""
    g = np.random.default_rng(0)
    n, a, s, e, h = 2, 3, 4, 3, 2
    paper, wide = architecture == "qtran_paper", [e] * (2 if size == "small" else 3)
    weights = {
        "joint_q": random_network(g, s + (h + a if paper else n * a), *wide, 1),
        "state_value": random_network(g, s, *wide, 1),
        "action_encoder": random_network(g, h + a, h + a, h + a),
    }
    state, hidden = g.normal(size=(2, 2, s)), g.normal(size=(2, 2, n, h))
    actions = g.integers(a, size=(2, 2, n))
    chosen = np.eye(a)[actions]
    encoded = run(weights["action_encoder"], np.concatenate([hidden, chosen], -1)).sum(-2)
    joint = encoded if paper else chosen.reshape(2, 2, n * a)
    config = {"n_agents": n, "n_actions": a, "state_dim": s, "embed_dim": e, "rnn_hidden_dim": h}
    case = {
        "mixer": "qtran_base",
        "config": config | {"architecture": architecture, "network_size": size},
        "weights": weights,
        "inputs": {"state": state, "agent_hidden": hidden, "actions": actions},
        "outputs": {
            "joint_q": run(weights["joint_q"], np.concatenate([state, joint], -1))[..., 0],
            "state_value": run(weights["state_value"], state)[..., 0],
        },
    }
    test_joint_critic(case)
    if not paper:  # the same without what it does not use
        del weights["action_encoder"], case["inputs"]["agent_hidden"]
        test_joint_critic(case)


@pytest.mark.parametrize("state_bias", [False, True])
def test_qlinear_two_layer_layout(state_bias):
    g = np.random.default_rng(0)
    n, s, u, e, width = 2, 4, 2, 3, 5
    weights = {"agent_weight": random_network(g, u + s, width, 1, bias=False)}
    if state_bias:
        weights["state_value"] = random_network(g, s, e, 1)
    state, utilities = g.normal(size=(2, 3, s)), g.normal(size=(2, 3, n))
    x = [np.concatenate([state[..., i * u : (i + 1) * u], state], -1) for i in range(n)]
    weight = np.abs(np.concatenate([run(weights["agent_weight"], own) for own in x], -1))
    value = run(weights["state_value"], state)[..., 0] if state_bias else None
    q_tot = (weight * utilities).sum(-1) + (value if state_bias else 0)
    config = {"n_agents": n, "state_dim": s, "unit_dim": u, "embed_dim": e, "mask_dead": False}
    config |= {"hypernet_layers": 2, "hypernet_hidden": width, "state_bias": state_bias}
    test_case({
        "mixer": "qlinear",
        "config": config,
        "weights": weights,
        "inputs": {"agent_qs": utilities, "state": state},
        "outputs": {"q_tot": q_tot, "agent_weight": weight, "state_value": value,
                    "dq_tot_dq_agent": weight},
    })  # fmt: skip


def test_weights_travel_both_ways():
    source = MIXERS["qatten"](3, 8, 2, weighted_heads=True, attention_bias=True)
    target = MIXERS["qatten"](3, 8, 2, weighted_heads=True, attention_bias=True)
    golden.set_weights(target, golden.get_weights(source))
    for ours, theirs in zip(source.parameters(), target.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match=r"head_weight.0.bias.*no counterpart"):
        golden.set_weights(MIXERS["qatten"](3, 8, 2), golden.get_weights(source))
