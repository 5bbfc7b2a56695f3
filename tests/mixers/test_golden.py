"""Every mixer case of a file of reference numbers; `--golden FILE` takes another file."""

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
        "regulariser": mixed.regulariser,
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
    objective = mixed.q_tot.square().mean() + mixed.regulariser
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


def test_weights_travel_both_ways():
    source = MIXERS["qatten"](3, 8, 2, weighted_heads=True, attention_bias=True)
    target = MIXERS["qatten"](3, 8, 2, weighted_heads=True, attention_bias=True)
    golden.set_weights(target, golden.get_weights(source))
    for ours, theirs in zip(source.parameters(), target.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match=r"head_weight.0.bias.*no counterpart"):
        golden.set_weights(MIXERS["qatten"](3, 8, 2), golden.get_weights(source))
