import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from benchmarks.teams import SIZES, random_episodes
from benchmarks.updaters import build_learner
from rllib_qatten import ALGORITHMS, QMIXConfig, columns
from rllib_qatten.training.batch import pack
from rllib_qatten.training.learner import ValueDecompositionTorchLearner
from rllib_qatten.training.losses import episode_errors, td_loss
from tests.training.test_rl_module import build, episodes, loss_of, tensors
from tests.training.test_statistics import TIMESTEPS


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("agents", [(), (2,)])
def test_errors_of_episodes(pad, agents):
    lengths = (4, 2, 3, 2)
    packed = tensors(pack(episodes(lengths), pad=pad))
    longest, count = max(lengths), len(packed[columns.NOW])
    errors = torch.randn(count, *agents, dtype=torch.float64)
    expected = []
    for i, length in enumerate(sorted(lengths, reverse=True)):
        rows, start = [], 0
        for t in range(longest):
            size = sum(pad or n > t for n in lengths)
            if t < length:
                rows.append(errors[start + i].abs().mean())
            start += size
        expected.append(torch.stack(rows).mean())
    torch.testing.assert_close(episode_errors(errors, packed), torch.stack(expected))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_weights_weigh_each_episode(name):
    """With weights the gradient is the weighted sum of the episodes' own."""
    module, made = build(name), episodes((4, 2, 3))
    settings = {"attend_reg_coef": 0.0} if name == "Qatten" else {}
    module = build(name, **settings)
    alone = [loss_of(module, tensors(pack([e])), name)[0] * len(e) for e in made]
    for episode, weight in zip(made, (1.0, 0.5, 0.25), strict=True):
        episode.weight = weight
    together = loss_of(module, tensors(pack(made)), name)[0]
    expected = (alone[0] + 0.5 * alone[1] + 0.25 * alone[2]) / sum(map(len, made))
    torch.testing.assert_close(together, expected)


def update(change, **settings):
    """One update's results, with a Learner whose loss is changed."""

    class OwnLearner(ValueDecompositionTorchLearner):
        @staticmethod
        def loss(forward, batch, config):
            return change(*td_loss(forward, batch, config))

    size = SIZES["tiny"]
    config = QMIXConfig().learners(learner_class=OwnLearner).training(**settings)
    learner = build_learner(config, size)
    found = learner.update(episodes=random_episodes(size, ragged=True), timesteps=TIMESTEPS)
    return found[DEFAULT_MODULE_ID]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda loss, stats: loss, r"got a tensor \[\]"),
        (lambda loss, stats: (loss, stats, 0), "got tuple of 3"),
        (lambda loss, stats: None, "got NoneType"),
        (lambda loss, stats: (loss.expand(3), stats), r"a scalar tensor; got a tensor \[3\]"),
        (lambda loss, stats: (float(loss), stats), "a scalar tensor; got float"),
        (lambda loss, stats: (loss.detach(), stats), "nothing would learn from this loss"),
        (lambda loss, stats: (torch.tensor(1.0, requires_grad=True), stats), "nothing would learn"),
        (lambda loss, stats: (loss, [1.0]), "the statistics a dict; got list of 1"),
        (lambda loss, stats: (loss, {"own": torch.ones(3)}), r"own is a tensor \[3\]"),
        (lambda loss, stats: (loss, {"own": "x"}), "own is str"),
        (lambda loss, stats: (loss, {"own": None}), "own is NoneType"),
    ],
)
def test_what_is_no_loss_is_refused_in_words(change, says):
    with pytest.raises(ValueError, match=rf"^OwnLearner.loss must return \(loss, stat.*{says}"):
        update(change)


def test_prioritized_replay_needs_the_episodes_errors():
    with pytest.raises(ValueError, match=r"prioritized the statistics need 'td_error'"):
        update(lambda loss, stats: (loss, {}), replay="prioritized")


def test_statistics_of_every_kind_of_number():
    own = {"a": 1, "b": 0.5, "c": np.float32(2), "d": torch.tensor(3), "e": True}
    found = update(lambda loss, stats: (loss, own | {"f": loss}))
    assert [found[name].peek() for name in own] == [1, 0.5, 2, 3, 1]
    assert found["f"].peek() == pytest.approx(found["total_loss"].peek())
