import dataclasses
import importlib.util
import json

import numpy as np
import pytest
import torch
import typer
from ray.rllib.core import DEFAULT_MODULE_ID
from typer.testing import CliRunner

from benchmarks import (
    baseline,
    entity,
    growth_chart,
    jaxmarl_peer,
    memory,
    peak,
    profile,
    report,
    sampler,
    textbook,
)
from benchmarks.__main__ import main, measure
from benchmarks.parts import Part, Task
from benchmarks.teams import SIZES, DummyBatch, DummyTeam, random_episodes
from benchmarks.turns import Row, Spread, Turn, rates, ratios, take_turns
from benchmarks.updaters import assert_equal, build_learner, package_loss, textbook_loss
from rllib_qatten import QattenConfig, QMIXConfig
from rllib_qatten.agents import InputLayout
from rllib_qatten.hardware import fast_linear as products

TINY = SIZES["tiny"]
pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(main)
    return lambda *arguments: CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def fast(ratio, name="3s5z Qatten full package"):
    against, speed = "full textbook", Spread.of([1.0])
    return Row("update", name, "ms", speed, Spread.of([ratio]), against, goal=1.3)


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_json_and_markdown(run, tmp_path):
    file, text, kept = tmp_path / "speed.json", tmp_path / "speed.md", tmp_path / "kept.json"
    parts = ["sampler", "update", "growth", "profile", "save", "jaxmarl"]
    files = ["--json", str(file), "--markdown", str(text), "--baseline-file", str(kept)]
    result = run(*parts, "--size", "tiny", *files, "--write-baseline")
    assert result.exit_code == 0, result.output
    assert "Qatten full package" in result.stdout
    rows = json.loads(file.read_text())["rows"]
    assert {row["part"] for row in rows} == set(parts)
    for row in rows:
        if value := row["value"]:
            assert value["low"] <= value["median"] <= value["high"]
        else:
            assert row["note"]
    assert text.read_text().count("| --- ") == len(parts) * (len(report.COLUMNS) + 1)
    (stored,) = json.loads(kept.read_text()).values()
    assert "update: tiny QMIX ragged package, over ragged textbook" in stored

    # What was stored is reached again, as long as no more is asked than a hundredth of it.
    slow = {name: ratio / 100 for name, ratio in stored.items()}
    kept.write_text(json.dumps({report.processor(): slow}))
    again = "sampler", "--size", "tiny", "--check", "--baseline-file", str(kept)
    assert run(*again).exit_code == 0
    fast = {name: ratio * 100 for name, ratio in stored.items()}
    kept.write_text(json.dumps({report.processor(): fast}))
    result = run(*again)
    assert result.exit_code == 1
    assert "Slower than the baseline: sampler: tiny TeamEnvRunner, 2 Python envs" in result.output


def test_a_slower_change_trips_over_the_baseline(tmp_path):
    file = tmp_path / "baseline.json"
    assert "--write-baseline" in baseline.check([fast(1.5)], file)[0]
    baseline.write([fast(1.5), fast(1.2, "3s5z QMIX full package")], file)
    assert baseline.check([fast(1.4)], file) == []
    (complaint,) = baseline.check([fast(1.2), fast(1.2, "3s5z QMIX full package")], file)
    assert "Qatten" in complaint
    assert "is 1.20, was 1.50" in complaint
    # What is measured anew replaces the old, the rest stays.
    baseline.write([fast(1.2)], file)
    (ratios_here,) = json.loads(file.read_text()).values()
    assert len(ratios_here) == 2
    assert baseline.check([fast(1.2)], file) == []
    assert "None of the measured rows" in baseline.check([fast(9, "another")], file)[0]


def test_the_stored_baseline_covers_both_algorithms_and_the_sampler():
    stored = json.loads(baseline.FILE.read_text())
    update = "3s5z Qatten full package"
    assert all(any(update in name for name in names) for names in stored.values())
    # Of a processor that was at hand for long enough, everything.
    everything = (update, "27m_vs_30m QMIX full package", "TeamEnvRunner")
    assert any(
        all(any(part in n for n in names) for part in everything) for names in stored.values()
    )


def test_each_processor_has_its_own_baseline(tmp_path):
    file = tmp_path / "baseline.json"
    file.write_text(json.dumps({"another processor": {"some ratio": 9.0}}))
    (complaint,) = baseline.check([fast(1.5)], file)
    assert report.processor() in complaint
    assert "it has another processor" in complaint
    baseline.write([fast(1.5)], file)
    assert baseline.check([fast(1.5)], file) == []
    assert json.loads(file.read_text())["another processor"] == {"some ratio": 9.0}


def test_a_part_that_fails_leaves_the_others(capsys):
    tasks = [
        Task(Part.UPDATE, "broken", lambda: 1 / 0),
        Task(Part.UPDATE, "whole", lambda: [fast(1.5)]),
    ]
    kept = []
    rows, well = measure(tasks, lambda rows: kept.append(len(rows)))
    assert kept == [1, 2]
    assert not well
    assert "ZeroDivisionError" in rows[0].note
    assert rows[1].ratio == Spread.of([1.5])
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_goals_say_what_was_reached():
    row = fast(1.4)
    assert report.goal(row) == "1.3: met"
    better = dataclasses.replace(row, good=1.5)
    assert report.goal(better) == "1.3: met, good from 1.5"
    assert report.goal(dataclasses.replace(better, ratio=Spread.of([1.6]))) == "1.5: good"
    assert report.goal(dataclasses.replace(better, ratio=Spread.of([1.2]))).startswith("1.3: miss")


def test_markdown_replaces_what_stands_between_the_marks(tmp_path):
    file, begin, end = tmp_path / "page.md", *report.MARKS
    file.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    for _ in range(2):
        report.save_markdown("new\n", file)
        assert file.read_text() == f"before\n{begin}\n\nnew\n\n{end}\nafter\n"
    file.write_text("no marks")
    report.save_markdown("new\n", file)
    assert file.read_text() == "new\n"


def test_every_library_s_product_is_a_product():
    torch.manual_seed(0)
    for work in peak.products(32).values():
        assert work() == 2 * 32**3


@pytest.mark.skipif(not importlib.util.find_spec("torchrl"), reason="TorchRL is not installed")
def test_torchrl_s_update_learns():
    from benchmarks import torchrl_peer

    update = torchrl_peer.updater(QMIXConfig(), random_episodes(TINY, ragged=False), TINY)
    assert update() == 1


@pytest.mark.slow
@pytest.mark.parametrize("lengths", ["full", "ragged"])
def test_memory_is_observed_in_a_process_of_its_own(lengths):
    found = memory._observed("tiny", lengths, 100, 0.2)
    predicted = 100 * (TINY.steps + 1) * found["per_entry"]
    assert found["predicted"] == predicted if lengths == "full" else found["predicted"] < predicted
    assert found["least"] <= found["last"] <= found["most"]
    assert found["replaced"] >= 200
    rows = memory.rows("tiny", 100, 0.2, found, found)
    assert [row.name for row in rows if row.goal] == [rows[2].name, rows[4].name, rows[6].name]


def test_ragged_games_end_apart_and_within_the_limit():
    teams = memory.RaggedVector(TINY, 50)
    teams.reset()
    actions = np.zeros((50, TINY.agents), int)
    ends = np.array([teams.step(actions).terminated for _ in range(100)])
    gaps = np.concatenate([np.diff(np.flatnonzero(game)) for game in ends.T])
    assert gaps.min() == TINY.steps // 3
    assert gaps.max() == TINY.steps


def test_operators_are_told_apart():
    kinds = {
        "aten::addmm": "matrix products",
        "mkldnn::_linear_pointwise": "matrix products",
        "aten::mul_": "element-wise",
        "aten::copy_": "copies, gathers, concatenations",
        "aten::softmax": "sums, norms, softmax, arg max",
        "aten::view": profile.VIEWS,
    }
    assert {name: profile.kind(name) for name in kinds} == kinds


def test_jaxmarl_s_rows_compare_turns_of_the_same_round():
    peer = f"{jaxmarl_peer.PEER}, windows of 16"
    turns = {"QMIX": [Turn(300, wall=1, cpu=1)], peer: [Turn(100, wall=2, cpu=1)]}
    rows = jaxmarl_peer.rows("3m", turns, {name: [15.0] for name in turns})
    assert [row.value.median for row in rows if row.value] == [300, 15, 50, 15]
    assert [row.ratio.median for row in rows if row.ratio] == [6, 3]


def test_jaxmarl_does_as_many_updates_per_step():
    # One update per 4 games of 17 steps.
    plan = jaxmarl_peer.Rollouts.of(32, 17, 0.25 / 17)
    assert plan.updates == 8
    assert jaxmarl_peer.Rollouts.of(16, 128, 0.25 / 17).updates == 30
    assert plan.per_turn == round(jaxmarl_peer.TURN / (32 * 17))


@pytest.mark.parametrize("config", [QattenConfig(), QMIXConfig()], ids=lambda config: config.name)
@pytest.mark.parametrize("ragged", [False, True])
def test_textbook_and_package_give_the_same_loss_and_gradients(config, ragged):
    # A little larger than tiny, so that lengths differ and every head and agent counts.
    size = dataclasses.replace(TINY, batch=6, steps=12)
    episodes = random_episodes(size, ragged)
    module = build_learner(config, size).module[DEFAULT_MODULE_ID]
    package = package_loss(config, episodes)
    plain = textbook_loss(config, episodes, size)
    assert_equal(module, package, plain)

    other = textbook_loss(config.copy(copy_frozen=False).training(gamma=0.5), episodes, size)
    with pytest.raises(AssertionError):
        assert_equal(module, package, other)


@pytest.mark.parametrize("config", [QattenConfig(), QMIXConfig()], ids=lambda config: config.name)
def test_the_textbook_gains_nothing_from_the_package_s_products(config, monkeypatch):
    module = build_learner(config, TINY).module[DEFAULT_MODULE_ID]
    plain = textbook_loss(config, random_episodes(TINY, ragged=False), TINY)

    def fail(*_, **__):
        raise AssertionError("the package's own product")

    monkeypatch.setattr(products.Linear, "forward", fail)
    for name in ("linear", "by_rows", "over_rows"):
        monkeypatch.setattr(products, name, fail)
    plain(module).backward()


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


@pytest.mark.slow
def test_an_entity_agent_is_compared_on_a_battle():
    pytest.importorskip("jaxmarl")
    rows = entity.run("3m", rounds=1, seconds=0.0)
    assert [row.name for row in rows] == [
        f"3m {agent}, {what}"
        for what in ("update", "playing", "in all")
        for agent in ("recurrent", "entity")
    ]
    assert all(row.value.low > 0 for row in rows)
    assert rows[1].ratio


def test_the_chart_shows_what_grows(tmp_path):
    def row(name, median):
        return {"part": "growth", "name": name, "value": dataclasses.asdict(Spread.of([median]))}

    names = "sampler, 3 agents", "sampler, 27 agents", "sampler, 8 games of SMAX 3s5z"
    late = "sampler, 4 env runners, oversubscribed"
    rows = [row(name, 10.0 * i + 10) for i, name in enumerate([*names, late])]
    growth_chart.draw(rows, tmp_path / "growth.svg")
    text = (tmp_path / "growth.svg").read_text()
    for said in ("agents", "games at once", "env runners", "sampler of SMAX 3s5z", "27", "8", "4"):
        assert f">{said}</text>" in text
    assert "steps per game" not in text
