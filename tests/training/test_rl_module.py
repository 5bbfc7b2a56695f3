"""Masks, padding and the by-products of a forward pass, for every algorithm."""

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns

from rllib_qatten import columns
from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.algorithms.qtran import TARGET_HIDDEN
from rllib_qatten.algorithms.wqmix import CENTRAL_UTILITIES, TARGET_CENTRAL_UTILITIES
from rllib_qatten.envs.team import TeamSpace, TeamSpec
from rllib_qatten.training.batch import pack
from tests.settings import every_form
from tests.training.test_batch import make_episode

SPEC = TeamSpec(("a", "b"), 4, 3, 5, unit_features=slice(0, 4))


def build(name, spec=SPEC, **settings):
    torch.manual_seed(0)
    config = ALGORITHMS[name].get_default_config().training(**settings)
    module = config.rl_module_class(
        observation_space=TeamSpace(spec), model_config=config._model_config_auto_includes
    )
    module.make_target_networks()
    return module.double()


def tensors(packed):
    batch = {k: torch.from_numpy(v) for k, v in packed.items()}
    return {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}


def loss_of(module, batch, name="Qatten", **settings):
    config = ALGORITHMS[name].get_default_config().training(td_lambda=0.6).training(**settings)
    forward = module.forward_train(batch)
    loss, stats = config.get_default_learner_class().loss(forward, batch, config)
    parameters = [p for p in module.parameters() if p.requires_grad]
    return loss, torch.autograd.grad(loss, parameters, allow_unused=True), stats


def extras_of(live, target):
    """What QTRAN and WQMIX carry in the batch besides utilities, made of the same numbers."""
    return {
        # Hidden states do not know what is legal.
        columns.HIDDEN: torch.zeros_like(live).repeat(1, 1, 16),
        TARGET_HIDDEN: torch.ones_like(target).repeat(1, 1, 16),
        CENTRAL_UTILITIES: live,
        TARGET_CENTRAL_UTILITIES: target,
    }


def mix(module, batch, live, target):
    return module.mix(batch | extras_of(live, target), live, target)


def episodes(lengths=(4, 2, 3)):
    rng = np.random.default_rng(0)
    made = [make_episode(rng, n, terminated=n != 3) for n in lengths]
    for episode in made:
        episode.legal_actions[..., 1] = True
    return made


def assert_equal(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@every_form
def test_padding_changes_nothing(name, options):
    module = build(name, **options)
    loss, gradients, stats = loss_of(module, tensors(pack(episodes())), name, **options)
    padded = tensors(pack(episodes(), pad=True))
    again = loss_of(module, padded, name, **options)
    torch.testing.assert_close(loss, again[0])
    assert_equal(gradients, again[1])
    for key, value in stats.items():
        torch.testing.assert_close(value, again[2][key])


@every_form
def test_junk_in_padding_gets_no_gradient(name, options):
    module = build(name, **options)
    padded = tensors(pack(episodes(), pad=True))
    expected = loss_of(module, padded, name, **options)
    spans = torch.tensor([4, 3, 2])
    beyond = torch.cat([spans < t for t in range(5)])  # entries of episode e behind its last
    for key in (Columns.OBS, columns.STATE):
        padded[key][beyond] = 7.0
    padded[Columns.REWARDS][~padded[columns.MASK]] = 1e6
    junk = loss_of(module, padded, name, **options)
    torch.testing.assert_close(expected[0], junk[0])
    assert_equal(expected[1], junk[1])


@every_form
def test_illegal_actions_never_enter_the_target(name, options):
    module = build(name, **options)
    batch = tensors(pack(episodes()))
    before = module.forward_train(batch)
    utilities, targets = (
        torch.randn(len(batch[columns.STATE]), 2, 4, dtype=torch.float64) for _ in range(2)
    )
    illegal = ~batch[columns.LEGAL_ACTIONS]
    one = mix(module, batch, utilities, targets)["next_q_tot"]
    other = mix(module, batch, utilities + 1e6 * illegal, targets + 1e6 * illegal)["next_q_tot"]
    torch.testing.assert_close(one, other)
    assert torch.isfinite(before["next_q_tot"]).all()


@every_form
def test_rows_without_legal_action_stay_finite(name, options):
    made = episodes()
    for episode in made:
        episode.legal_actions[-1] = False
    loss, gradients, _ = loss_of(build(name, **options), tensors(pack(made)), name, **options)
    assert torch.isfinite(loss)
    assert all(torch.isfinite(g).all() for g in gradients if g is not None)


@every_form
def test_double_q_takes_the_live_networks_choice(name, options):
    batch = tensors(pack(episodes()))
    batch[columns.LEGAL_ACTIONS][:] = True
    shape = (len(batch[columns.STATE]), 2, 4)
    live, target = torch.zeros(shape).double(), torch.zeros(shape).double()
    live[..., 3], target[..., 0], target[..., 3] = 1, 5, 2  # live prefers 3, target 0
    for double_q, action in ((True, 3), (False, 0)):
        module = build(name, double_q=double_q, **options)
        chosen = torch.full((len(batch[columns.NOW]), 2), action)
        extras = extras_of(live, target)
        expected = module.target_value(batch | extras, slice(3, None), target, chosen).q_tot
        torch.testing.assert_close(mix(module, batch, live, target)["next_q_tot"], expected)


@every_form
def test_acting_equals_unrolling(name, options):
    assert_acting_equals_unrolling(build(name, **options).float())


def assert_acting_equals_unrolling(module):
    """Step by step a team acts as the whole episode is learned from."""
    (episode,) = episodes([4])
    batch = {k: torch.from_numpy(v) for k, v in pack([episode]).items()}
    whole = module.agent(
        module.layout(batch[Columns.OBS], batch[columns.LAST_ACTIONS]), batch[columns.BATCH_SIZES]
    )
    hidden = torch.from_numpy(module.get_initial_state()["hidden"])[None]
    for t in range(5):
        last = episode.actions[t - 1].astype(np.int64) if t else np.full(2, -1)
        output = module.forward_inference(
            {
                Columns.OBS: episode.observations[t][None],
                columns.LAST_ACTIONS: last[None],
                Columns.STATE_IN: {"hidden": hidden},
            }
        )
        hidden = output[Columns.STATE_OUT]["hidden"]
        torch.testing.assert_close(output["utilities"][0], whole[t])


def test_env_runners_go_without_mixer_and_targets():
    config = ALGORITHMS["Qatten"].get_default_config()
    module = config.rl_module_class(
        observation_space=TeamSpace(SPEC),
        model_config=config._model_config_auto_includes,
        inference_only=True,
    )
    names = {name.split(".")[0] for name, _ in module.named_parameters()}
    assert names == {"agent"}
    full = build("Qatten").get_state(inference_only=True)
    assert {name.split(".")[0] for name in full} == {"agent"}


def test_learning_needs_whole_games():
    module = build("QMIX")
    with pytest.raises(ValueError, match=r"whole games.*for utilities alone: forward_inference"):
        module.forward_train({Columns.OBS: torch.zeros(1, 3, 5)})


def test_keys_fall_back_to_observations():
    spec = TeamSpec(("a", "b"), 4, 3, 5)
    module = build("Qatten", spec)
    loss, _, stats = loss_of(module, tensors(pack(episodes())))
    assert torch.isfinite(loss)
    assert module.mixer.unit_dim == 3
    assert {"head_0_entropy", "head_3_entropy"} < stats.keys()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_bfloat16_is_near_float32(name):
    packed = pack(episodes())
    batch = {key: torch.from_numpy(array) for key, array in packed.items()}
    exact, rounded = (
        loss_of(build(name, precision=precision).float(), batch, name)[0]
        for precision in ("float32", "bfloat16")
    )
    assert rounded != exact
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=1e-3)
