"""Checkpoints that do not go into the algorithm that is to load them: it stays as it was."""

import pytest

from rllib_qatten.checkpoints import fit
from rllib_qatten.checkpoints.folder import CheckpointError
from tests.algorithms.tiny import assert_equal, build, weights

pytestmark = pytest.mark.usefixtures("ray_session")


def saved(algorithm, path):
    algorithm.train()
    algorithm.save_to_path(path)
    algorithm.stop()
    return path


@pytest.fixture(scope="module")
def path(ray_session, tmp_path_factory):
    """The checkpoint of a VDN that was trained with RMSprop."""
    return saved(build("VDN"), tmp_path_factory.mktemp("saved") / "checkpoint")


def refused(path, name="VDN", **settings):
    """What is said of a checkpoint that does not fit."""
    other = build(name, **settings)
    before = weights(other)
    with pytest.raises(CheckpointError) as error:
        other.restore_from_path(path)
    assert_equal(before, weights(other))
    assert len(other.replay) == 0
    other.stop()
    return str(error.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"agent": "feed_forward"}, ["agent: recurrent in the checkpoint, feed_forward here"]),
        ({"parameter_sharing": "none"}, ["parameter_sharing: all in the checkpoint, none here"]),
        ({"layer_norm": True}, ["layer_norm: False in the checkpoint, True here"]),
        (
            {"hidden_size": 8, "standardize_rewards": True},
            [
                "hidden_size: 16 in the checkpoint, 8 here",
                "standardize_rewards: False in the checkpoint, True here",
            ],
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(path, settings, told):
    assert refused(path, **settings) == (
        f"The checkpoint does not fit: {'; '.join(told)}. Build the algorithm with the "
        "checkpoint's settings."
    )


def test_weights_that_do_not_fit_are_named(path):
    told = refused(path, env="matrix_game")
    assert "agent.head.weight has shape (2, 16) in it and (3, 16) here" in told
    assert told.endswith("; and 3 more.")
    qmix = saved(build("QMIX"), path.with_name("qmix"))
    told = refused(qmix, "QMIX", mixing_embed_dim=4)
    assert "changed? mixing_embed_dim: 8 in the checkpoint, 4 here; mixer." in told
    assert len(told) < 500
    with pytest.raises(CheckpointError, match=r"a is unknown here; b is missing from it"):
        fit.assert_same_shapes({"a": [1]}, {"b": [1]})


def test_another_optimizer_is_named(path, tmp_path):
    other = build("VDN", optimizer_name="adam", seed=2)
    before = weights(other)
    with pytest.raises(CheckpointError, match=r"optimizer_name is rmsprop, and here it is adam"):
        other.restore_from_path(path)
    assert_equal(before, weights(other))
    assert len(other.replay) == other.iteration == 0
    saved(other, tmp_path / "adam")
    first = build("VDN")
    with pytest.raises(CheckpointError, match=r"Build the algorithm with optimizer_name='adam'"):
        first.restore_from_path(tmp_path / "adam")
    first.stop()
