import numpy as np
import torch

from rllib_qatten.training.reward_standardizer import RewardStandardizer


def test_against_all_rewards_at_once():
    rng = np.random.default_rng(0)
    batches = [rng.normal(3.0, 7.0, size=n) for n in (5, 1, 40, 7)]
    standardize = RewardStandardizer()
    for i, batch in enumerate(batches):
        padded = torch.tensor([*batch, 1e6, -1e6])  # padding does not count
        mask = torch.arange(len(padded)) < len(batch)
        got = standardize(padded, mask)[mask]
        seen = np.concatenate(batches[: i + 1])
        np.testing.assert_allclose(got.numpy(), (batch - seen.mean()) / seen.std(), rtol=1e-4)


def test_equal_rewards_stay_finite():
    got = RewardStandardizer()(torch.full((3,), 2.0), torch.ones(3, dtype=torch.bool))
    assert got.tolist() == [0.0, 0.0, 0.0]


def test_its_numbers_are_saved():
    trained, fresh = RewardStandardizer(), RewardStandardizer()
    rewards, mask = torch.tensor([1.0, 2.0, 9.0]), torch.ones(3, dtype=torch.bool)
    trained(rewards, mask)
    fresh.load_state_dict(trained.state_dict())
    torch.testing.assert_close(trained(rewards, mask), fresh(rewards, mask))
