"""`rllib evaluate` and `rllib export`: numbers of known games, and one message for a mistake."""

import importlib.util
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from ray.rllib.algorithms.ppo import PPOConfig
from ray.tune.registry import register_env
from typer.testing import CliRunner

from rllib_qatten.__main__ import app
from rllib_qatten.checkpoints import team_files as stored
from rllib_qatten.drawing import video
from rllib_qatten.drawing.battle_frames import HEAD
from rllib_qatten.drawing.palette import DARK
from rllib_qatten.envs.battles import sc2, sc2_settings
from rllib_qatten.envs.battles.smax_battle import read_battle
from rllib_qatten.envs.python_teams import PythonTeams
from rllib_qatten.errors import BadInput
from rllib_qatten.evaluation.environment import make_games
from rllib_qatten.evaluation.evaluate import evaluate
from rllib_qatten.evaluation.team_policy import TeamPolicy
from tests.envs.battles import fake_sc2
from tests.evaluation.teams import write_team
from tests.teams import ScriptedBattle

#: No env of the package's: whoever evaluates names it.
ENV = "scripted_battle"
OWN = ("--env", ENV)
#: Three games side by side play shares 4, 3, 3 of ten; each alternates a won and a lost game.
BATTLE = {"lengths": [2, 10], "wins": [True, False], "deaths": [5, 0]}


@pytest.fixture(autouse=True, scope="module")
def _scripted_battle():
    register_env("scripted_battle", ScriptedBattle)


@pytest.fixture
def folder(tmp_path):
    return write_team(tmp_path / "checkpoint", env_config=BATTLE)


def rllib(*words):
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def test_numbers_of_known_games(folder):
    team = TeamPolicy.from_checkpoint(folder)
    games = evaluate(team, make_games(team, 10, {}, ENV), 10)
    wins, n = 2 + 2 + 2, 10
    assert [len(e) for e in games.episodes].count(2) == wins
    # Wilson's interval as in Wilson 1927, with the normal quantile written out.
    z = 1.959963984540054
    center, margin = wins + z**2 / 2, z * math.sqrt(wins * (n - wins) / n + z**2 / 4)
    assert games.win_rate.mean == wins / n
    assert games.win_rate.low == pytest.approx((center - margin) / (n + z**2))
    assert games.win_rate.high == pytest.approx((center + margin) / (n + z**2))
    # Student's, with the table's quantile for nine degrees of freedom.
    lengths = np.array([2] * wins + [10] * (n - wins))
    half = 2.262157 * lengths.std(ddof=1) / math.sqrt(n)
    for found in (games.episode_len, games.episode_return):  # a reward of 1 per step
        assert found.mean == pytest.approx(lengths.mean())
        assert found.high - found.mean == pytest.approx(half, rel=1e-6)
        assert found.mean - found.low == pytest.approx(half, rel=1e-6)
    # The first dies after step 5, the second after the first view.
    assert games.survival.tolist() == [wins / n, 0]
    np.testing.assert_allclose(games.time_alive, [(6 * 1 + 4 * 0.6) / n, (6 / 2 + 4 / 10) / n])
    assert games.dropped == 0
    assert games.env_steps == 6 * 2 + 4 * 10


def test_one_game_has_no_interval(tmp_path):
    config = {"lengths": [2]}
    team = TeamPolicy.from_checkpoint(write_team(tmp_path / "checkpoint", env_config=config))
    found = evaluate(team, make_games(team, 1, {}, ENV), 1).to_dict()
    assert found["episode_return"] == {"mean": 2.0, "low": None, "high": None, "kind": "none"}
    assert found["win_rate"]["low"] < found["win_rate"]["mean"] == 1


def test_the_command_prints_a_table_and_writes_everything(folder, tmp_path):
    file = tmp_path / "games.json"
    file.write_text("an older one")
    result = rllib("evaluate", folder, *OWN, "--episodes", 10, "--seed", 4, "--json", file)
    assert result.exit_code == 0, result.output
    for text in ("10 greedy games, seed 4", "60.0%", "31.3% .. 83.2%", "5.20", "games dropped",
                 "unit_1", "env steps per second"):  # fmt: skip
        assert text in result.output, result.output
    found = json.loads(file.read_text())
    assert found["win_rate"]["mean"] == 0.6
    assert found["agents"]["unit_0"]["survival"] == 0.6
    assert found["env_config"] == BATTLE
    assert found["seed"] == 4
    assert found["algorithm"] == "QMIX"
    assert found["engine"] == found["trained_on"] == "scripted battle"
    assert len(found["episodes"]) == 10
    assert found["episodes"][0] == {
        "return": 2.0, "length": 2, "won": True, "terminated": True,
        "alive_at_end": [True, False], "steps_alive": [2, 1],
    }  # fmt: skip
    assert sorted(tmp_path.iterdir()) == [folder, file]


def test_games_without_winners_have_no_win_rate(tmp_path):
    folder = write_team(tmp_path / "checkpoint", "two_step_game", sizes=(3, 2, 2))
    result = rllib("evaluate", folder, "--episodes", 4)
    assert result.exit_code == 0, result.output
    assert "win rate" not in result.output
    assert "alive" not in result.output
    assert "Trained on scripted battle: not comparable." in result.output


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_what_is_no_checkpoint_gets_one_message(command, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = folder / stored.FOLDER / stored.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:100])
    run = tmp_path / "run"
    run.mkdir()
    (run / "experiment_state-2026-01-01_00-00-00.json").write_text("{}")
    for path, message in (
        (folder, "was cut short or altered"),
        (run, "run: a run that has saved no checkpoint."),
        (tmp_path, f"not a checkpoint: it holds no team_policy/. Did you mean {folder}?"),
        ("nowhere", "nowhere: no such folder"),
    ):
        result = rllib(command, path)
        assert result.exit_code == 2
        assert result.output.startswith("Error: ")
        assert message in result.output
        assert len(result.output.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == [folder, run]


@pytest.mark.usefixtures("ray_session")
def test_a_checkpoint_of_another_algorithm(tmp_path):
    algorithm = PPOConfig().environment("CartPole-v1").env_runners(num_env_runners=0).build_algo()
    path = algorithm.save_to_path(tmp_path / "ppo")
    algorithm.stop()
    result = rllib("evaluate", path)
    assert result.exit_code == 2
    assert "a checkpoint without team_policy/, so not of one of" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "lr=3"), "--set lr: only env_config.KEY=VALUE can be set"),
        (("--set", "env_config.agents=3"), "trained with 2 agents, observations of length 3, 4 "
         "actions; here there are 3 agents"),
        (("--set", "env_config"), "--set 'env_config': expected KEY=VALUE"),
        (("--json", "no/such/file"), "no/such/file: cannot be written: No such file"),
        (("--json", "."), ".: cannot be written: it is a folder"),
        (("--json", "a.gif", "--video", "./a.gif"), "--json and --video both name a.gif"),
        (("--json", "-"), "--json -: results are written to a file: name it"),
        (("--config", ""), "--config '': is not JSON"),
        (("--video", "a.gif"), "scripted battle does not say where units stand."),
        (("--video", "a.mp4"), "scripted battle does not say where units stand."),
        (("--video", "a.SC2Replay"), "must end with .gif or .mp4; scripted battle saves no"),
        (("--video", "a.avi"), "a.avi: its name must end with .gif or .mp4; scripted battle"),
    ],
)  # fmt: skip
def test_bad_options_of_evaluate(folder, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    result = rllib("evaluate", folder, *OWN, *words)
    assert result.exit_code == 2, result.output
    assert result.output.startswith("Error: ")
    assert message in result.output
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == [folder]


def test_shapes_that_differ_are_both_named(folder):
    words = ("--set", "env_config.agents=3")
    output = rllib("evaluate", folder, *OWN, *words).output
    assert "trained with 2 agents, observations of length 3, 4 actions" in output
    assert "here there are 3 agents, observations of length 3, 4 actions" in output


def test_games_are_closed_if_their_agents_stand_in_another_order(folder, monkeypatch):
    closed = []
    monkeypatch.setattr(PythonTeams, "close", lambda teams: closed.append(teams))
    policy = TeamPolicy.from_checkpoint(folder)
    policy.metadata["agents"] = policy.metadata["agents"][::-1]
    policy.agents = policy.agents[::-1]
    with pytest.raises(BadInput, match="Agents would play each other's parts"):
        make_games(policy, 3, {}, ENV)
    assert len(closed) == 1


def test_settings_that_an_env_refuses(tmp_path):
    folder = write_team(tmp_path / "checkpoint", "smac", {"engine": "smax"})
    result = rllib("evaluate", folder, "--set", "env_config.map_name=4q")
    assert result.exit_code == 2
    assert "SMAX has no unit that names write as 'q'" in result.output


def test_an_env_that_was_python_code(tmp_path):
    result = rllib("evaluate", write_team(tmp_path / "checkpoint", env=None))
    assert result.exit_code == 2
    assert "QMIX.from_checkpoint(CHECKPOINT).evaluate()" in result.output


def test_export_writes_whole_files_or_none(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words, message in (
        (("--format", "onx"), "--format: Unknown format: 'onx'. Did you mean 'onnx'?"),
        (("--format", "torch", "-o", "no/such/file"), "no/such/file: cannot be written"),
    ):
        result = rllib("export", folder, *words)
        assert result.exit_code == 2
        assert message in result.output
        assert list(tmp_path.iterdir()) == [folder]
    result = rllib("export", folder, "--format", "torch")
    assert result.output == "Wrote team_policy.pt2\n"
    extra = {"policy.json": ""}
    torch.export.load("team_policy.pt2", extra_files=extra)
    assert json.loads(extra["policy.json"])["agents"] == ["unit_0", "unit_1"]
    mode = Path("team_policy.pt2").stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    assert mode == 0o666 & ~umask


def test_export_writes_the_format_that_the_file_is_named_for(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = rllib("export", folder, "--format", "onnx", "-o", "team.pt2")
    assert result.exit_code == 2
    assert "--format onnx: team.pt2 is named as a file of --format torch." in result.output
    assert rllib("export", folder, "-o", "team.pt2").output == "Wrote team.pt2\n"
    torch.export.load("team.pt2")
    result = rllib("export", folder, "-o", "team.pt")
    assert result.exit_code == 2
    assert "team.pt ends in .pt: expected .onnx for --format onnx, or .pt2" in result.output
    assert not Path("team.pt").exists()


@pytest.mark.parametrize("seed", ["4294967296", "9" * 20])
def test_a_seed_has_32_bits(folder, seed):
    result = rllib("evaluate", folder, *OWN, "--seed", seed)
    assert result.exit_code == 2
    assert "4294967295" in result.output


def test_onnx_that_is_missing(folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = rllib("export", folder)
    assert result.exit_code == 2
    assert "pip install 'rllib-qatten[export]'" in result.output


@pytest.fixture(scope="module")
def battle(tmp_path_factory):
    """A team of 3m with random weights, and the first battle of seed 1 that it plays."""
    pytest.importorskip("jaxmarl", reason="the extra smax is not installed")
    folder = write_team(
        tmp_path_factory.mktemp("smax") / "checkpoint",
        "smac",
        {"map_name": "3m", "engine": "smax"},
        sizes=(75, 8, 3),
        num_games=8,
    )
    team = TeamPolicy.from_checkpoint(folder)
    return folder, evaluate(team, make_games(team, 8, {}), 8, seed=1).episodes[0]


def amounts(image):
    """How many pixels are of the team's and of its enemies' colors."""
    pixels = np.asarray(image.convert("RGB")).astype(int)[HEAD:]  # below the sides' health
    return [
        (np.abs(pixels - [int(DARK[who][i : i + 2], 16) for i in (1, 3, 5)]).max(-1) < 40).sum()
        for who in ("ally", "enemy")
    ]


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_a_battle_is_drawn(battle, tmp_path, ending):
    """Every step is there; living teams are seen, dead ones leave no more than crosses."""
    folder, episode = battle
    file = tmp_path / f"battle.{ending}"
    if ending == "mp4":
        av = pytest.importorskip("av", reason="the extra report is not installed")
    result = rllib("evaluate", folder, "--episodes", 8, "--seed", 1, "--video", file)
    assert result.exit_code == 0, result.output
    if ending == "gif":
        with Image.open(file) as gif:
            images = [gif.seek(t) or gif.convert("RGB") for t in range(gif.n_frames)]
    else:
        with av.open(str(file)) as video:
            assert video.streams.video[0].codec_context.name == "h264"
            images = [frame.to_image() for frame in video.decode(video=0)]
        held = min(2.0, 0.5 * len(episode) / 2)
        assert len(images) == 5 * len(episode) + round(held / 0.1)
    assert len(images) > 5 * len(episode)
    for t in (0, len(episode)):
        alive = episode.state[t].reshape(6, 10)[:, 0] > 0
        for found, living in zip(amounts(images[5 * t]), (alive[:3], alive[3:]), strict=True):
            assert (found > 450) == living.any(), (t, found)


def test_frames_show_who_attacks_whom_and_who_died(battle):
    """A line in the shooter's or a shot's color, and a cross where a unit died."""
    _, episode = battle
    units = read_battle(episode.state, episode.actions)
    images = list(video.frames(units, episode))
    shot = [int(DARK["shot"][i : i + 2], 16) for i in (1, 3, 5)]
    yellow = [(np.abs(np.asarray(image).astype(int) - shot).max(-1) < 40).sum() for image in images]
    shots = units.shoots.any(1)
    assert shots.any()
    assert not shots.all()
    assert ((np.array(yellow) > 0) == shots).all()
    # Where the first one died, its team's color is seen, though it stands there no more.
    fell = np.argwhere(~units.alive)[0]
    assert amounts(images[fell[0]])[int(fell[1] >= 3)] > 0


def test_mp4_without_its_package(battle, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda n, *p: None if n == "av" else find(n, *p)
    )
    result = rllib("evaluate", battle[0], "--video", tmp_path / "battle.mp4")
    assert result.exit_code == 2
    assert "pip install 'rllib-qatten[report]'" in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fault", [False, True])
def test_starcraft_saves_its_own_replay(tmp_path, monkeypatch, fault):
    """The file is what the first game gave out; without one the numbers are kept."""
    site, game = fake_sc2.install(tmp_path / "sc2")
    if fault:
        (site / "smac" / "env" / "starcraft2" / "no_replay").touch()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("SC2PATH", str(game))
    sc2_settings.forget()
    folder = write_team(
        tmp_path / "checkpoint",
        "smac",
        {"map_name": "3m", "engine": "sc2"},
        sizes=(4, 9, 2),
        num_games=2,
    )
    words = ("--episodes", 5, "--json", tmp_path / "a.json", "--video", tmp_path / "a.SC2Replay")
    result = rllib("evaluate", folder, *words)
    assert len(json.loads((tmp_path / "a.json").read_text())["episodes"]) == 5
    if fault:
        assert result.exit_code == 1
        assert "StarCraft II saved no replay: ConnectionError" in result.output
        assert not (tmp_path / "a.SC2Replay").exists()
        return
    assert result.exit_code == 0, result.output
    replay = json.loads((tmp_path / "a.SC2Replay").read_text())
    begun = [line for line in fake_sc2.ledger(site) if line["event"] == "begin"]
    assert replay["map"] == "3m"
    assert replay["player"] in {line["player"] for line in begun}
    # All battles that this player ended, two at least.
    assert replay["battles"] >= 2


def test_a_drawing_of_starcraft_is_refused_with_what_to_take(tmp_path, monkeypatch):
    site, game = fake_sc2.install(tmp_path / "sc2")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("SC2PATH", str(game))
    sc2_settings.forget()
    env_config = {"map_name": "3m", "engine": "sc2"}
    folder = write_team(tmp_path / "checkpoint", "smac", env_config, sizes=(4, 9, 2))
    result = rllib("evaluate", folder, "--video", tmp_path / "battle.mp4")
    assert result.exit_code == 2
    assert "build 75689, smac 1.0.0) does not say where units stand; use .SC2Replay" in (
        result.output
    )


@pytest.mark.parametrize("step", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_games_that_all_fail_end_with_one_message(tmp_path, monkeypatch, step):
    """Whether they fail as they begin or after a step: no evaluation goes on for ever."""
    site, game = fake_sc2.install(tmp_path / "sc2", {b: ["raise", step] for b in range(99)})
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("SC2PATH", str(game))
    monkeypatch.setattr(sc2, "FIRST_WAIT", 0.0)
    sc2_settings.forget()
    env_config = {"map_name": "3m", "engine": "sc2"}
    folder = write_team(tmp_path / "checkpoint", "smac", env_config, sizes=(4, 9, 2))
    result = rllib("evaluate", folder, "--episodes", 3)
    assert result.exit_code == 1
    (error,) = (line for line in result.output.splitlines() if line.startswith("Error: "))
    assert "failed again and again: ConnectionError: websocket closed" in error
    assert "Traceback" not in result.output
