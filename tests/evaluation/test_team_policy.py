"""A team that acts: its history, its agents alone, and what it does not load."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rllib_qatten.checkpoints import team_files as stored
from rllib_qatten.errors import BadInput
from rllib_qatten.evaluation.team_policy import AgentPolicy, TeamPolicy
from tests.evaluation.teams import write_team

SIZE, A, N = 3, 4, 2


@pytest.fixture
def folder(tmp_path):
    return write_team(tmp_path / "checkpoint")


def games(steps, *leading):
    """Observations and masks of some steps; one action at least is legal."""
    rng = np.random.default_rng(5)
    observations = rng.normal(size=(steps, *leading, N, SIZE)).astype(np.float32)
    masks = rng.random((steps, *leading, N, A)) < 0.5
    masks[..., 1] = True
    return observations, masks


def test_it_acts_without_ray(folder):
    """Ray takes seconds and hundreds of megabytes where a team is only to act."""
    code = (
        "import sys, numpy as np, rllib_qatten\n"
        "team = rllib_qatten.TeamPolicy.from_checkpoint(sys.argv[1])\n"
        "print(team.act(np.zeros((2, 3)), np.eye(4)[[2, 3]]).tolist())\n"
        "heavy = {'ray', 'jax', 'gymnasium', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[2, 3]\n"


def test_a_small_network_acts_in_one_thread(folder):
    team, used, before = TeamPolicy.from_checkpoint(folder), [], torch.get_num_threads()
    team.network.register_forward_pre_hook(lambda *_: used.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        team.act(*(step[0] for step in games(1)))
        assert used == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_utilities_are_those_of_the_network_unrolled(folder):
    """Against the form that learns from whole episodes, which is tested against torch's own."""
    team = TeamPolicy.from_checkpoint(folder)
    observations, masks = games(6)
    actions = [team.act(*step) for step in zip(observations, masks, strict=True)]
    last = np.stack([np.full(N, -1), *actions[:-1]])
    network = team.network
    inputs = network.layout(torch.tensor(observations), torch.tensor(last))
    expected = network.network(inputs, [1] * 6).numpy()
    team.reset()
    for t in range(6):
        action = team.act(observations[t], masks[t])
        np.testing.assert_allclose(team.utilities, expected[t], atol=1e-6)
        legal = np.where(masks[t], expected[t], -np.inf)
        np.testing.assert_array_equal(action, legal.argmax(-1))


def test_games_begin_anew_by_themselves_or_together(folder):
    team = TeamPolicy.from_checkpoint(folder)
    observations, masks = games(4, 3)
    for step in range(2):
        team.act(observations[step], masks[step])
    team.reset(games=[False, True, False])
    team.act(observations[2], masks[2])
    mixed = team.utilities.copy()
    fresh = TeamPolicy.from_checkpoint(folder)
    fresh.act(observations[2], masks[2])
    np.testing.assert_array_equal(mixed[1], fresh.utilities[1])
    assert (mixed[[0, 2]] != fresh.utilities[[0, 2]]).any((1, 2)).all()
    team.reset()
    team.act(observations[2], masks[2])
    np.testing.assert_array_equal(team.utilities, fresh.utilities)


@pytest.mark.parametrize("leading", [(), (3,)])
def test_agents_alone_do_what_they_do_in_the_team(folder, leading):
    team = TeamPolicy.from_checkpoint(folder)
    alone = [team.agent(0), AgentPolicy.from_checkpoint(folder, agent="unit_1")]
    assert [(agent.place, agent.id) for agent in alone] == [(0, "unit_0"), (1, "unit_1")]
    observations, masks = games(5, *leading)
    for seen, legal in zip(observations, masks, strict=True):
        together = team.act(seen, legal)
        for i, agent in enumerate(alone):
            action = agent.act(seen[..., i, :], legal[..., i, :])
            np.testing.assert_array_equal(action, together[..., i])
            np.testing.assert_allclose(agent.utilities, team.utilities[..., i, :], atol=1e-6)
    for agent in alone:
        agent.reset()
        agent.act(observations[0, ..., 0, :], masks[0, ..., 0, :])


@pytest.mark.parametrize("leading", [(), (3,)])
def test_an_agent_alone_takes_its_own_sizes(tmp_path, leading):
    folder = write_team(tmp_path, own_sizes=[[SIZE, A], [2, 3]])
    team, agent = TeamPolicy.from_checkpoint(folder), AgentPolicy.from_checkpoint(folder, 1)
    observations, masks = games(5, *leading)
    observations[..., 1, 2:], masks[..., 1, 3:] = 0, False
    for seen, legal in zip(observations, masks, strict=True):
        together = team.act(seen, legal)
        action = agent.act(seen[..., 1, :2], legal[..., 1, :3])
        np.testing.assert_array_equal(action, together[..., 1])
    with pytest.raises(ValueError, match=r"observation must be \[2\] and action_mask \[3\], or"):
        agent.act(seen[..., 1, :1], legal[..., 1, :3])


@pytest.mark.parametrize(
    ("observation", "mask"),
    [
        ((SIZE + 1,), (A,)),
        ((SIZE - 1,), (A,)),
        ((SIZE,), (A + 1,)),
        ((2, SIZE), (A,)),
        ((), (A,)),
        ((0,), (0,)),
        ((1, 1, 3), (A,)),
    ],
)
def test_shapes_that_do_not_fit_an_agent(folder, observation, mask):
    agent = TeamPolicy.from_checkpoint(folder).agent(0)
    with pytest.raises(ValueError, match=r"observation must be \[3\] and action_mask \[4\], or"):
        agent.act(np.zeros(observation), np.ones(mask))


def test_an_index_may_be_numpys(folder):
    assert TeamPolicy.from_checkpoint(folder).agent(np.int64(1)).id == "unit_1"


@pytest.mark.parametrize("agent", ["unit_2", 2, -1, 0.5])
def test_an_agent_that_is_not_there(folder, agent):
    with pytest.raises(BadInput, match=r"the team has unit_0, unit_1, or 0 to 1"):
        TeamPolicy.from_checkpoint(folder).agent(agent)


@pytest.mark.parametrize(
    ("observations", "mask"),
    [
        ((N, SIZE + 1), (N, A)),
        ((N, SIZE), (N, A - 1)),
        ((2, N, SIZE), (N, A)),
        ((1, 1, N, SIZE), (1, 1, N, A)),
    ],
)
def test_shapes_that_do_not_fit(folder, observations, mask):
    with pytest.raises(ValueError, match=r"observations must be \[2, 3\] and action_mask \[2, 4\]"):
        TeamPolicy.from_checkpoint(folder).act(np.zeros(observations), np.ones(mask))


def test_the_number_of_games_stays_until_the_reset(folder):
    team = TeamPolicy.from_checkpoint(folder)
    observations, masks = games(1, 3)
    team.act(observations[0], masks[0])
    with pytest.raises(ValueError, match=r"3 game\(s\) are being played, but got 2"):
        team.act(observations[0, :2], masks[0, :2])
    with pytest.raises(ValueError, match=r"games must be \[G=3\], got \[2\]"):
        team.reset(games=[True, False])
    with pytest.raises(ValueError, match=r"games must be \[G\] of False and True, got \[0, 1, 2\]"):
        team.reset(games=[0, 1, 2])
    team.reset()
    assert team.act(observations[0, :2], masks[0, :2]).shape == (2, N)


def cut(file):
    file.write_bytes(file.read_bytes()[:-5])


def flip(file):
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)


def other_setting(file):
    file.write_text(file.read_text().replace('"hidden_size": 8', '"hidden_size": 9'))


def a_list(file):
    file.write_text("[]")


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        (stored.WEIGHTS, cut),
        (stored.WEIGHTS, flip),
        (stored.WEIGHTS, Path.unlink),
        (stored.METADATA, cut),
        (stored.METADATA, flip),
        (stored.METADATA, other_setting),
        (stored.METADATA, a_list),
    ],
)
def test_files_that_were_harmed_are_refused(folder, name, harm):
    harm(folder / stored.FOLDER / name)
    with pytest.raises(BadInput, match=r"team_policy.*(was cut short or altered)"):
        TeamPolicy.from_checkpoint(folder)


def test_a_later_format_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "FORMAT", 2)
    folder = write_team(tmp_path / "later")
    monkeypatch.undo()
    with pytest.raises(BadInput, match=r"format 2, from rllib_qatten 0\.0; this version reads 1"):
        TeamPolicy.from_checkpoint(folder)


def test_what_is_no_checkpoint_gets_a_hint(tmp_path):
    folder = write_team(tmp_path / "experiment" / "trial" / "checkpoint")
    assert TeamPolicy.from_checkpoint(folder / stored.FOLDER).agents == ("unit_0", "unit_1")
    for near in (tmp_path / "experiment", folder.parent, folder.parent / "chekpoint"):
        with pytest.raises(BadInput, match=f"Did you mean {folder}\\?"):
            TeamPolicy.from_checkpoint(near)
    with pytest.raises(BadInput, match=r"no such folder\.$"):
        TeamPolicy.from_checkpoint(tmp_path / "nothing" / "here")


def test_the_metadata_say_what_plays(folder):
    metadata = json.loads((folder / stored.FOLDER / stored.METADATA).read_text())
    assert metadata["agent"] == {"hidden_size": 8}
    assert metadata["inputs"] == {
        "observation_size": SIZE,
        "n_actions": A,
        "n_agents": N,
        "last_action": True,
        "agent_id": True,
    }
    assert metadata["format"] == 1


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e39])
def test_observations_that_would_spoil_a_history_are_refused(folder, value):
    team, expected = TeamPolicy.from_checkpoint(folder), TeamPolicy.from_checkpoint(folder)
    observations, masks = games(2)
    spoiled = observations[0].astype(float)
    spoiled[1, 2] = value
    with pytest.raises(BadInput, match=r"finite numbers of float32; at index \[1, 2\] came"):
        team.act(spoiled, masks[0])
    with pytest.raises(BadInput, match=r"at index \[2\] came .* in that agent's history"):
        team.agent(1).act(spoiled[1], masks[0, 1])
    for seen, legal in zip(observations, masks, strict=True):
        np.testing.assert_array_equal(team.act(seen, legal), expected.act(seen, legal))


@pytest.mark.parametrize("illegal", [-np.inf, -1, np.nan, 0.5])
def test_masks_of_anything_else_are_refused(folder, illegal):
    mask = np.ones((N, A))
    mask[0, 1] = illegal
    with pytest.raises(BadInput, match=f"1 for legal actions and 0 for all others; got {illegal}"):
        TeamPolicy.from_checkpoint(folder).act(np.zeros((N, SIZE)), mask)


def test_tensors_are_taken_and_utilities_are_nan_before_the_first_step(folder):
    team, agent = TeamPolicy.from_checkpoint(folder), AgentPolicy.from_checkpoint(folder, 0)
    assert team.utilities.shape == (N, A)
    assert np.isnan(agent.utilities).all()
    observations, masks = games(1)
    halves = torch.tensor(observations[0]).bfloat16()
    team.act(halves, masks[0])
    of_halves = team.utilities
    team.reset()
    team.act(halves.float(), masks[0])
    np.testing.assert_array_equal(team.utilities, of_halves)
    team.reset()
    seen = torch.tensor(observations[0], requires_grad=True)
    actions = team.act(seen, torch.tensor(masks[0]))
    np.testing.assert_array_equal(
        actions, TeamPolicy.from_checkpoint(folder).act(observations[0], masks[0])
    )


def test_what_an_env_returns_is_not_taken_unread(folder):
    team = TeamPolicy.from_checkpoint(folder)
    for observations, mask in (({"a": np.zeros(3)}, np.ones(2)), (np.zeros((3, 3)), None)):
        with pytest.raises(BadInput, match=r"act takes arrays.*flattened as by gymnasium"):
            team.act(observations, mask)
        with pytest.raises(BadInput, match="act takes arrays"):
            team.agent(0).act(observations if isinstance(observations, dict) else np.zeros(3), mask)


@pytest.mark.parametrize(
    ("observations", "kind"),
    [
        (({"pos": 1}, {"pos": 2}), "a tuple of dict"),
        ([np.zeros(3), np.zeros(2)], "a list of ndarray"),
        ([None, np.zeros(3)], "a list of NoneType and ndarray"),
        ("up", "a str"),
        (np.array(["1", "2"]), "one of <U1"),
        ({"unit_0": np.zeros(3)}, "a dict"),
    ],
)
def test_what_comes_is_named(folder, observations, kind):
    with pytest.raises(BadInput, match=f"act takes arrays of numbers, but got {kind}: the agents'"):
        TeamPolicy.from_checkpoint(folder).act(observations, np.ones((N, A)))
