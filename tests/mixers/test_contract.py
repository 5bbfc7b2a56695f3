"""What every registered mixer owes its users: shapes, messages, precision, copies."""

import ast
import copy
import inspect
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import rllib_qatten.mixers as package
from rllib_qatten.mixers import (
    MIXERS,
    PRESETS,
    QPLEX_PRESETS,
    CentralMixer,
    Mixed,
    Mixer,
    QattenMixer,
    QLinearMixer,
    QMixer,
    QPLEXMixer,
    VDNMixer,
)
from rllib_qatten.mixers.layers import HeadLinear
from rllib_qatten.mixers.options import options_of
from tests.mixers.batches import VARIANTS, A, N, S, U, batch, build

every_variant = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
PER_ROW = ("q_tot", "attention", "logits", "head_values", "head_weights", "state_value")
PER_ROW += ("agent_weights",)


@every_variant
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (2, 3), (2, 0), (2, 1, 3)], ids=str)
def test_any_leading_axes(name, options, n, shape):
    mixer, inputs = build(name, options, n), batch(shape, n)
    mixed = mixer(**inputs)
    heads = options.get("n_heads", 4)
    tails = dict.fromkeys(PER_ROW, (heads,)) | {"q_tot": (), "state_value": ()}
    tails |= dict.fromkeys(("attention", "logits"), (heads, n)) | {"agent_weights": (n,)}
    flat = {k: v.flatten(0, len(shape) - 1) if shape else v[None] for k, v in inputs.items()}
    rows = mixer(**flat)
    for part in PER_ROW:
        value = getattr(mixed, part)
        if value is not None:
            assert value.shape == (*shape, *tails[part]), part
            assert_close(value.reshape(getattr(rows, part).shape), getattr(rows, part))
    assert_close(mixed.regularizer, rows.regularizer)
    assert mixed.regularizer.shape == ()
    (mixed.q_tot.sum() + mixed.regularizer).backward()
    assert inputs["utilities"].grad.isfinite().all()


@every_variant
def test_without_gradients_the_same_and_no_regularizer(name, options):
    mixer, inputs = build(name, options), batch((5,))
    with torch.no_grad():
        quiet = mixer(**inputs)
    assert_close(quiet.q_tot, mixer(**inputs).q_tot)
    assert quiet.regularizer == 0


@every_variant
def test_bfloat16_autocast(name, options):
    mixer, inputs = build(name, options, dtype=torch.float32), batch((5,), dtype=torch.float32)
    exact = mixer(**inputs)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = mixer(**inputs)
    assert mixed.q_tot.dtype == torch.float32
    assert_close(mixed.q_tot, exact.q_tot, atol=0.1, rtol=0.05)
    assert_close(mixed.regularizer, exact.regularizer, atol=1e-3, rtol=0.05)
    (mixed.q_tot.sum() + mixed.regularizer).backward()
    assert all(p.grad.isfinite().all() for p in mixer.parameters() if p.grad is not None)


@every_variant
def test_copies_and_state_dicts(name, options):
    mixer, inputs = build(name, options), batch((5,))
    q_tot = mixer(**inputs).q_tot
    twin, other = copy.deepcopy(mixer), build(name, options, seed=1)
    other.load_state_dict(mixer.state_dict())
    assert torch.equal(twin(**inputs).q_tot, q_tot)
    assert torch.equal(other(**inputs).q_tot, q_tot)
    assert not {id(p) for p in twin.parameters()} & {id(p) for p in mixer.parameters()}


@every_variant
def test_every_parameter_learns(name, options):
    mixer, inputs = build(name, options), batch((5,))
    mixed = mixer(**inputs)
    (mixed.q_tot.square().sum() + mixed.regularizer).backward()
    assert all(p.grad is not None for p in mixer.parameters())


def test_analysis_costs_no_copy():
    mixed = build("qatten", {"weighted_heads": True})(**batch((2, 3)))
    assert mixed.attention._base is not None
    assert mixed.logits._base is not None


WRONG_ACTIONS = [
    ("actions", (4, 2), "QPLEXMixer expected actions [*B, N] = [4, 3], got [4, 2]"),
    ("best_utilities", (4,), "QPLEXMixer expected best_utilities [*B, N] = [4, 3], got [4]"),
    ("actions", None, "actions of torch.int64, got torch.float64: convert it, for instance act"),
]
WRONG = [
    ("utilities", (4, 2), "QattenMixer expected utilities [*B, N] = [4, 3], got [4, 2]"),
    ("state", (4, 6), "QattenMixer expected state [*B, S] = [4, 5], got [4, 6]"),
    ("state", (1, 5), "QattenMixer expected state [*B, S] = [4, 5], got [1, 5]"),
    ("unit_features", (4, 2), "expected unit_features [*B, N, U] = [4, 3, 2], got [4, 2]"),
    ("alive", (4,), "expected alive [*B, N] = [4, 3], got [4]"),
    ("mask", (4, 1), "expected mask [*B] = [4], got [4, 1]"),
    ("alive", None, "expected alive of torch.bool, got torch.float64: convert it"),
    ("mask", None, "expected mask of torch.bool, got torch.float64: convert it"),
]


@pytest.mark.parametrize(
    ("name", "tensor", "shape", "message"),
    [("qatten", *wrong) for wrong in WRONG] + [("qplex", *wrong) for wrong in WRONG_ACTIONS],
)
def test_wrong_inputs_are_refused_in_words(name, tensor, shape, message):
    mixer, inputs = build(name, {}), batch((4,))
    wrong = inputs[tensor].double() if shape is None else torch.zeros(shape)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is checked below
        mixer(**inputs | {tensor: wrong})
    assert message in str(caught.value)
    if shape is not None:
        assert "n_agents=3, state_dim=5, unit_dim=2" in str(caught.value)


def test_missing_inputs_are_refused_in_words():
    inputs = batch((4,))
    with pytest.raises(ValueError, match=r"expected unit_features \[\*B, N, U\], got None: pass"):
        build("qatten", {})(inputs["utilities"], inputs["state"])
    for name in ("actions", "best_utilities"):
        message = rf"QPLEXMixer expected {name} \[\*B, N\], got None: pass"
        with pytest.raises(ValueError, match=message):
            build("qplex", {})(**inputs | {name: None})
    with pytest.raises(ValueError, match=r"expected alive \[\*B, N\], got None: pass"):
        build("qatten", {"mask_dead": True})(**inputs | {"alive": None})


class Own(Mixer):
    """A user's mixer, as right or wrong as `made` is."""

    def __init__(self, made):
        super().__init__(N, S)
        self.value, self.made = torch.nn.Linear(S, 1).double(), made

    def mix(self, rows):
        return self.made(rows.utilities, self.value(rows.state))


ONE_A_ROW = "one value a row, so reduce the agents' axis"
WRONG_RESULTS = [
    (lambda q, v: Mixed(q.sum(-1) + v), f"q_tot [4, 4], expected [M] = [4]: {ONE_A_ROW}"),
    (lambda q, v: Mixed(q + v), f"q_tot [4, 3], expected [M] = [4]: {ONE_A_ROW}"),
    (lambda q, v: Mixed(q.sum(-1)[None]), f"q_tot [1, 4], expected [M] = [4]: {ONE_A_ROW}"),
    (lambda q, v: Mixed(q.sum()), f"q_tot [], expected [M] = [4]: {ONE_A_ROW}"),
    (lambda q, v: Mixed(None), "q_tot of type NoneType, expected [M] = [4]"),
    (lambda q, v: q.sum(-1), "a Tensor, expected a Mixed: return Mixed(q_tot)"),
    (lambda q, v: None, "a NoneType, expected a Mixed"),
    (lambda q, v: Mixed(q.sum(-1), q[:, 0]), "regularizer [4], expected []: a scalar tensor"),
    (lambda q, v: Mixed(q.sum(-1), attention=q), "[4, 3], expected [M, H, N] = [4, H, 3]: or"),
    (lambda q, v: Mixed(q.sum(-1), state_value=v), "state_value [4, 1], expected [M] = [4]: or"),
    (lambda q, v: Mixed(q.detach().sum(-1)), "a q_tot that does not depend on the utilities"),
    (lambda q, v: Mixed(q.detach().sum(-1) + v.squeeze(-1)), "does not depend on the utilities"),
]


@pytest.mark.parametrize(("made", "message"), WRONG_RESULTS)
@pytest.mark.parametrize("shape", [(4,), (2, 2)])
def test_wrong_results_are_refused_in_words(made, message, shape):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is checked below
        Own(made)(**batch(shape))
    assert str(caught.value).startswith("Own.mix returned ")
    assert message in str(caught.value)


def test_results_need_not_depend_on_utilities_without_gradients():
    mixer, inputs = Own(lambda q, v: Mixed(v.squeeze(-1))), batch((4,))
    frozen = inputs | {"utilities": inputs["utilities"].detach()}
    with torch.no_grad():
        assert_close(mixer(**inputs).q_tot, mixer(**frozen).q_tot)
    assert mixer(**frozen).q_tot.requires_grad


def test_mixers_ignore_what_they_do_not_use():
    inputs = batch((4,))
    nothing = torch.zeros(4, 0)
    assert_close(VDNMixer(N)(inputs["utilities"], nothing).q_tot, inputs["utilities"].sum(-1))
    odd = torch.zeros(1)
    build("qmix", {})(inputs["utilities"], inputs["state"], unit_features=odd, actions=odd)


BAD_OPTIONS = [
    (QattenMixer, {"n_heads": 0}, "n_heads must be an integer >= 1, got 0"),
    (QattenMixer, {"mixing_embed_dim": 2.5}, "mixing_embed_dim must be an integer >= 1, got 2.5"),
    (QattenMixer, {"hypernet_embed": -1}, "hypernet_embed must be an integer >= 1, got -1"),
    (QattenMixer, {"hypernet_layers": 3}, "hypernet_layers must be 1 or 2, got 3"),
    (QattenMixer, {"attend_reg_coef": -0.1}, "attend_reg_coef must be finite and >= 0, got -0.1"),
    (QattenMixer, {"attend_reg_coef": float("nan")}, "attend_reg_coef must be finite and >= 0"),
    (QattenMixer, {"n_agents": 0}, "n_agents must be an integer >= 1, got 0"),
    (QattenMixer, {"state_dim": 0}, "state_dim must be an integer >= 1, got 0"),
    (QattenMixer, {"unit_dim": 0}, "unit_dim must be an integer >= 1, got 0"),
    (QMixer, {"mixing_embed_dim": 0}, "mixing_embed_dim must be an integer >= 1, got 0"),
    (QMixer, {"hypernet_layers": 0}, "hypernet_layers must be 1 or 2, got 0"),
    (QMixer, {"state_dim": True}, "state_dim must be an integer >= 1, got True"),
    (VDNMixer, {"n_agents": -2}, "n_agents must be an integer >= 1, got -2"),
    (QLinearMixer, {"hypernet_layers": 3}, "hypernet_layers must be 1 or 2, got 3"),
    (QLinearMixer, {"unit_dim": 0}, "unit_dim must be an integer >= 1, got 0"),
    (CentralMixer, {"mixing_embed_dim": 0}, "mixing_embed_dim must be an integer >= 1, got 0"),
    (QPLEXMixer, {"n_actions": 0}, "n_actions must be an integer >= 1, got 0"),
    (QPLEXMixer, {"n_kernels": 0}, "n_kernels must be an integer >= 1, got 0"),
    (QPLEXMixer, {"hypernet_embed": 0}, "hypernet_embed must be an integer >= 1, got 0"),
    (QPLEXMixer, {"adv_hypernet_embed": 0}, "adv_hypernet_embed must be an integer >= 1, got 0"),
    (QPLEXMixer, {"adv_hypernet_layers": 4}, "adv_hypernet_layers must be 1, 2 or 3, got 4"),
    (QPLEXMixer, {"transformation": "qatten"}, 'transformation must be "networks" or "attention"'),
    (QPLEXMixer, {"transformation": "attention", "n_heads": 0}, "n_heads must be an integer >= 1"),
]


@pytest.mark.parametrize(("mixer", "options", "message"), BAD_OPTIONS)
def test_bad_options_are_refused_in_words(mixer, options, message):
    sizes = {"n_agents": N, "state_dim": S, "unit_dim": U}
    sizes |= {"n_actions": A} if mixer.uses_actions else {}
    with pytest.raises(ValueError, match=message):
        mixer(**sizes | options)


def test_registry_and_presets():
    assert all(issubclass(mixer, Mixer) for mixer in MIXERS.values())
    assert {m.uses_state for m in MIXERS.values()} == {True, False}
    assert [name for name, mixer in MIXERS.items() if mixer.uses_actions] == ["qplex"]
    defaults = {k: p.default for k, p in inspect.signature(QattenMixer).parameters.items()}
    for name, preset in PRESETS.items():
        assert preset.keys() == defaults.keys() - {"n_agents", "state_dim", "unit_dim"}
        assert QattenMixer(N, S, U, **preset).claims_igm == (name != "paper_mmm2")
    options = {k: o.default for k, o in options_of(QPLEXMixer).items()}
    assert QPLEX_PRESETS["paper"] == options
    for preset in QPLEX_PRESETS.values():
        assert preset.keys() == options.keys()
        assert QPLEXMixer(N, S, U, n_actions=A, **preset).claims_igm
    assert PRESETS["paper"] == {k: defaults[k] for k in PRESETS["paper"]} | {
        "reg_over_padding": True
    }


def test_heads_start_like_linear_layers():
    torch.manual_seed(0)
    heads, single = HeadLinear(50, 16, 8, bias=True), torch.nn.Linear(16, 400)
    for ours, theirs in zip(heads.parameters(), single.parameters(), strict=True):
        assert ours.abs().max() <= 0.25
        assert_close(ours.std(), theirs.std(), rtol=0.1, atol=0)


def test_nothing_but_torch_is_imported():
    allowed = {"torch", "rllib_qatten"} | sys.stdlib_module_names
    for file in Path(package.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in allowed, f"{file.name} imports {name}"
                rooms = [
                    f"rllib_qatten.{room}" for room in ("errors", "hardware", "compiled", "mixers")
                ]
                ours = name.startswith(tuple(rooms))
                assert ours or "rllib_qatten" not in name
