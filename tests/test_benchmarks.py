import dataclasses
import json

import pytest
import torch
import typer
from ray.rllib.core import DEFAULT_MODULE_ID
from typer.testing import CliRunner

from benchmarks import sampler, textbook, update
from benchmarks.__main__ import main
from benchmarks.teams import SIZES, DummyBatch, DummyTeam, random_episodes
from benchmarks.turns import Turn, rates, ratios, take_turns
from rllib_qatten import QattenConfig, QMIXConfig
from rllib_qatten.agents import InputLayout

TINY = SIZES["tiny"]
pytestmark = pytest.mark.usefixtures("ray_session")


def test_the_command_prints_a_table_and_writes_json(tmp_path):
    app = typer.Typer()
    app.command()(main)
    file = tmp_path / "speed.json"
    result = CliRunner().invoke(
        app,
        ["sampler", "update", "save", "--size", "tiny", "--json", str(file)],
        catch_exceptions=False,
    )
    assert result.exit_code == 0
    assert "Qatten full package" in result.stdout
    rows = json.loads(file.read_text())["rows"]
    assert {row["part"] for row in rows} == {"sampler", "update", "save"}
    for row in rows:
        assert row["value"]["low"] <= row["value"]["median"] <= row["value"]["high"]


@pytest.mark.parametrize("config", [QattenConfig(), QMIXConfig()], ids=lambda config: config.name)
@pytest.mark.parametrize("ragged", [False, True])
def test_textbook_and_package_give_the_same_loss_and_gradients(config, ragged):
    # A little larger than tiny, so that lengths differ and every head and agent counts.
    size = dataclasses.replace(TINY, batch=6, steps=12)
    episodes = random_episodes(size, ragged)
    module = update.build_learner(config, size).module[DEFAULT_MODULE_ID]
    package = update.package_loss(config, episodes)
    plain = update.textbook_loss(config, episodes, size)
    update.assert_equal(module, package, plain)

    other = update.textbook_loss(config.copy(copy_frozen=False).training(gamma=0.5), episodes, size)
    with pytest.raises(AssertionError):
        update.assert_equal(module, package, other)


def test_textbook_inputs_are_the_package_s_inputs():
    episodes = random_episodes(TINY, ragged=True)
    batch = textbook.padded_batch(episodes, TINY.unit)
    layout = InputLayout(TINY.observation, TINY.actions, TINY.agents)
    for b, episode in enumerate(episodes):
        steps = len(episode)
        last = torch.full((steps, TINY.agents), -1)
        last[1:] = torch.from_numpy(episode.actions[:-1]).long()
        expected = layout(torch.from_numpy(episode.observations[:-1]), last)
        parts = batch["observations"], batch["last_actions"], batch["ids"].unsqueeze(1)
        parts = (part[b, :steps].expand(steps, -1, -1) for part in parts)
        assert torch.equal(torch.cat(list(parts), -1), expected)


@pytest.mark.parametrize("env", [DummyTeam, DummyBatch])
def test_our_sampler_plays_whole_games(env):
    assert sampler.team_runner(env, {"size": TINY}, 2)() == 2 * TINY.steps


def test_turns_count_work_after_a_warm_up():
    done = []
    taken = take_turns({"a": lambda: done.append("a") or 3, "b": lambda: 1}, rounds=2, seconds=0)
    assert [turn.units for turn in taken["a"]] == [3, 3]
    assert len(done) == 3


def test_ratios_compare_turns_of_the_same_round():
    ours = rates([Turn(4, wall=1, cpu=2), Turn(9, wall=1, cpu=3)])
    assert ours == [2, 3]
    spread = ratios(ours, [1, 1])
    assert (spread.low, spread.median, spread.high) == (2, 2.5, 3)
