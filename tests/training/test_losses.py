import pytest
import torch

from rllib_qatten import ALGORITHMS, columns
from rllib_qatten.training.batch import pack
from rllib_qatten.training.losses import episode_errors
from tests.training.test_rl_module import build, episodes, loss_of, tensors


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
