"""Several learners learn what one would."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rllib_qatten import ALGORITHMS
from tests.training.several_learners import LEARNERS, build, learn
from tests.training.test_batch import make_episode

pytestmark = pytest.mark.slow  # processes of their own

#: Of two batches the shares, as unequal as can be: lengths of episodes.
SHARES = [[(9, 7, 7, 6, 5), (2, 1, 1)], [(1, 1), (8, 6, 4, 3, 3, 2)]]
CASES = {name: (name, {}) for name in ALGORITHMS} | {
    "standardized": ("QMIX", {"standardize_rewards": True}),
    "clipped": ("Qatten", {"grad_clip": 0.01}),
    "q_lambda": ("VDN", {"returns": "q_lambda", "td_lambda": 0.5}),
    "alt": ("QTRAN", {"variant": "alt"}),
    "apart": ("QPLEX", {"parameter_sharing": "none", "agent": "feed_forward"}),
    "units": ("QMIX", {"agent": "entity"}),
}
BROKEN = "not a number"


def made():
    """Of each batch the learners' episodes, weighted as by a prioritized replay."""
    rng = np.random.default_rng(0)
    return [
        [[replace(make_episode(rng, n), weight=rng.random()) for n in part] for part in batch]
        for batch in SHARES
    ]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """Case -> what one learner came to, and what each of several did."""
    folder = tmp_path_factory.mktemp("together")
    one, cases = {}, {}
    for case, (name, settings) in CASES.items():
        learner, batches = build(name, 0, **settings), made()
        shares = [[batch[rank] for batch in batches] for rank in range(LEARNERS)]
        cases[case] = name, settings, learner.get_state(), shares
        one[case] = learn(learner, [[*first, *second] for first, second in batches])
    broken = made()
    broken[1][0][0].rewards[0] = np.nan
    shares = [[batch[rank] for batch in broken] for rank in range(LEARNERS)]
    cases[BROKEN] = "VDN", {}, None, shares
    cases["unseeded"] = "VDN", {}, None, [[], []]
    (folder / "cases.pkl").write_bytes(pickle.dumps(cases))
    command = [sys.executable, "-m", "tests.training.several_learners", folder]
    processes = [
        subprocess.Popen([*command, str(rank)], cwd=Path(__file__).parents[2])
        for rank in range(LEARNERS)
    ]
    try:
        assert [process.wait(200) for process in processes] == [0] * LEARNERS
    finally:
        for process in processes:
            process.kill()
    several = [pickle.loads((folder / f"{rank}.pkl").read_bytes()) for rank in range(LEARNERS)]
    return one, several


def assert_close(ours, theirs, path=""):
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), path
        for key, value in ours.items():
            assert_close(value, theirs[key], f"{path}/{key}")
    elif isinstance(ours, list | tuple):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_close(a, b, f"{path}/{i}")
    elif ours is None or isinstance(ours, str):
        assert ours == theirs, path
    else:
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6, err_msg=path)


@pytest.mark.parametrize("case", CASES)
def test_the_update_is_that_of_one_learner(learned, case):
    results, weights, optimizer = learned[0][case]
    parts = [several[case] for several in learned[1]]
    assert_close(weights, parts[0][1])
    assert_close(optimizer, parts[0][2])
    # All learners stay the same, bit for bit.
    for name, value in parts[0][1].items():
        np.testing.assert_array_equal(value, parts[1][1][name], err_msg=name)
    for i, result in enumerate(results):
        ours = {k: np.stack([part[0][i][k] for part in parts]) for k in result if k != "td_error"}
        sums = {k for k in ours if "batch_size" in k or "num_" in k or "throughput" in k}
        assert_close(
            {k: v for k, v in result.items() if k in ours.keys() - sums},
            {k: v.mean(0) for k, v in ours.items() if k not in sums},
        )


def test_errors_of_episodes_come_in_the_order_of_the_shares(learned):
    [alone, *_] = learned[0]["VDN"][0]
    errors = [several["VDN"][0][0]["td_error"] for several in learned[1]]
    assert [len(e) for e in errors] == [5, 3]
    np.testing.assert_allclose(np.concatenate(errors), alone["td_error"], rtol=1e-4)


def test_all_stop_when_the_loss_of_one_is_no_number(learned):
    for several in learned[1]:
        assert several[BROKEN].startswith("The loss became nan (not finite: ")


def test_all_begin_with_the_same_weights(learned):
    ours, theirs = (several["unseeded"][1] for several in learned[1])
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def test_none_waits_for_one_that_failed(learned):
    (_, failed), (seconds, waited) = (several["alone"] for several in learned[1])
    assert "NoneType" in failed
    assert "onnection" in waited
    assert seconds < 30
