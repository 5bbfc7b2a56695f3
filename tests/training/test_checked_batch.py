"""What a user's learner connector may make of the packed batch, and what is refused."""

import pytest
import torch
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID

from benchmarks.teams import SIZES, random_episodes
from benchmarks.updaters import build_learner
from rllib_qatten import QMIXConfig
from rllib_qatten.training.batch import pack
from rllib_qatten.training.checked_batch import PACKED
from tests.training.test_statistics import TIMESTEPS


class Own(ConnectorV2):
    """A user's connector, which does what it is given."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def __call__(self, *, rl_module, batch, episodes, **kwargs):
        changed = self.change(batch[DEFAULT_MODULE_ID])
        return batch if changed is None else changed


def update(change):
    """One update's results."""
    size = SIZES["tiny"]
    config = QMIXConfig().training(td_lambda=0.6)
    config.learners(learner_connector=lambda *spaces: Own(change))
    learner = build_learner(config, size)
    episodes = random_episodes(size, ragged=True)
    return learner.update(episodes=episodes, timesteps=TIMESTEPS)[DEFAULT_MODULE_ID]


def made(name, change):
    """A change of one column."""
    return lambda batch: batch.update({name: change(batch[name])})


def test_every_column_is_known():
    packed = pack(random_episodes(SIZES["tiny"], ragged=True))
    assert packed.keys() == PACKED.keys()
    for name, column in packed.items():
        axes, dtype = PACKED[name]
        assert (column.ndim, torch.from_numpy(column).dtype) == (len(axes), dtype)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (made("terminateds", torch.Tensor.float), r"terminateds \[\d+\] of torch.float32; expe"),
        (made("terminateds", torch.Tensor.float), "of torch.bool.*for instance terminateds > 0"),
        (made("mask", torch.Tensor.long), "mask .* of torch.int64; expected .* of torch.bool"),
        (made("actions", torch.Tensor.int), r"instance actions.to\(torch.int64\)"),
        (made("rewards", lambda x: x[:-1]), r"rewards \[\d+\] of .* expected \[M\] = \[\d+\]"),
        (made("rewards", lambda x: x[:, None]), r"rewards \[\d+, 1\]"),
        (made("rewards", torch.Tensor.tolist), "made rewards a list"),
        (made("weights", lambda x: x[:-1]), "weights"),
        (made("state", lambda x: x[:, 1:]), r"expected \[P, S\] = "),
        (made("batch_sizes", lambda x: x.flip(0)), "batch_sizes .*never more than before"),
        (made("now", lambda x: x + 10**6), "made now numbers from 1000000 to"),
        (made("actions", lambda x: x - 10**6), "made actions numbers from -1000000 to"),
        (lambda batch: {}, "returned a batch without batch_sizes, obs, state"),
        (lambda batch: {DEFAULT_MODULE_ID: None}, "returned a batch without batch_sizes"),
        (lambda batch: batch.clear(), "returned a batch without batch_sizes"),
        (lambda batch: {DEFAULT_MODULE_ID: {**batch, "mask": None}}, "made mask a NoneType"),
        (
            lambda batch: {DEFAULT_MODULE_ID: {k: x for k, x in batch.items() if k != "rewards"}},
            "returned a batch without rewards: change the columns of",
        ),
    ],
)
def test_another_batch_is_refused_in_words(change, says):
    with pytest.raises(ValueError, match=rf"^learner_connector \(Own\) .*{says}"):
        update(change)


def test_arrays_and_other_floats_are_converted():
    expected = update(lambda batch: None)["total_loss"].peek()
    for change in (
        made("rewards", torch.Tensor.double),
        made("obs", torch.Tensor.double),
        made("rewards", torch.Tensor.numpy),
        lambda batch: batch.update(own_column="text"),
    ):
        assert update(change)["total_loss"].peek() == expected
