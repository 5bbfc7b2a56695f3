"""`rllib attention`: the weights are the mixer's, and files, figure and page hold the same ones."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from ray.tune.registry import register_env
from typer.testing import CliRunner

from rllib_qatten import ALGORITHMS
from rllib_qatten.__main__ import app
from rllib_qatten.envs import make_teams
from rllib_qatten.envs.battles.smax_battle import read_battle
from rllib_qatten.evaluation.environment import make_games
from rllib_qatten.evaluation.evaluate import evaluate
from rllib_qatten.evaluation.mixer_weights import WeighedGame, load_module, weigh
from rllib_qatten.evaluation.team_policy import TeamPolicy
from rllib_qatten.rollout.episode import Recorder
from tests.evaluation.teams import write_team
from tests.teams import ScriptedBattle

EXTRA = "the extra report is not installed"
figures = pytest.importorskip("rllib_qatten.drawing.attention", reason=EXTRA)
pages = pytest.importorskip("rllib_qatten.drawing.battle_page", reason=EXTRA)
pytestmark = pytest.mark.usefixtures("ray_session")

#: No env of the package's: whoever looks at its games names it.
OWN = ("--env", "scripted_battle")
#: The second of three agents dies after step 2.
BATTLE = {"agents": 3, "lengths": [5], "deaths": [9, 2, 9]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, ray_session):
    """Saves an algorithm that has learned nothing yet, with weights larger than they start."""
    register_env("scripted_battle", ScriptedBattle)

    def save(name, env="scripted_battle", env_config=BATTLE, **settings):
        config = ALGORITHMS[name].get_default_config().update_from_dict(
            {
                "env": env,
                "env_config": env_config,
                "num_envs_per_env_runner": 2,
                "evaluation_interval": None,
                "hidden_size": 16,
                "seed": 1,
                **settings,
            }
        )  # fmt: skip
        algorithm = config.build_algo()
        module = algorithm.learner_group._learner.module["default_policy"]
        with torch.no_grad():
            for weight in module.mixer.parameters():
                weight.mul_(2)
        path = algorithm.save_to_path(tmp_path_factory.mktemp(name) / "checkpoint")
        algorithm.stop()
        return path

    return save


@pytest.fixture(scope="module")
def qatten(checkpoint):
    return checkpoint("Qatten", n_heads=3, weighted_heads=True)


def rllib(*words):
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def played(path, episodes=2):
    team = TeamPolicy.from_checkpoint(path)
    return evaluate(
        team, make_games(team, episodes, {}, team.metadata["environment"]["env"]), episodes, seed=3
    )


@pytest.mark.parametrize("name", ["Qatten", pytest.param("QPLEX", marks=pytest.mark.slow)])
def test_everything_is_written_and_adds_up(name, checkpoint, qatten, tmp_path):
    folder, path = tmp_path / "new" / "folder", qatten
    if name == "QPLEX":
        options = {"transformation": "attention", "n_heads": 3, "weighted_heads": True}
        path = checkpoint("QPLEX", **options)
    result = rllib("attention", path, *OWN, "--episodes", 2, "--output", folder)
    assert result.exit_code == 0, result.output
    for text in (
        f"{name} on scripted_battle, scripted battle: 2 greedy games",
        "head 2",
        "unit_1",
        "Games are not drawn",
        f"Wrote game_1 .. game_2 (.png, .svg, .pdf, .html, .npz) to {folder}",
    ):
        assert text in result.output, result.output
    assert len(list(folder.iterdir())) == 10
    drawn = (folder / "game_2.svg").read_text()
    assert "attention of head 2" in drawn
    assert "All heads have one scale of colors." in drawn
    assert ">ln 3<" in drawn
    pdf = (folder / "game_2.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/Type3" not in pdf
    with np.load(folder / "game_2.npz") as file:
        arrays = dict(file)
    t, h, n = 5, 3, 3
    assert {name: array.shape for name, array in arrays.items()} == {
        "attention": (t, h, n), "head_weights": (t, h), "entropies": (t, h), "q_tot": (t,),
        "effective_weights": (t, n), "utilities": (t, n), "agents": (n,), "alive": (t + 1, n),
        "actions": (t, n), "rewards": (t,),
    }  # fmt: skip
    attention = arrays["attention"].astype(np.float64)
    np.testing.assert_allclose(attention.sum(-1), 1, atol=1e-6)
    assert attention.std() > 0.01
    # dQ_tot/dQ_i = sum_h w_h lambda_ih.
    by_hand = np.einsum("th,thn->tn", arrays["head_weights"], attention)
    np.testing.assert_allclose(arrays["effective_weights"], by_hand, rtol=1e-5)
    entropy = -(attention * np.log(attention)).sum(-1)
    np.testing.assert_allclose(arrays["entropies"], entropy, rtol=1e-5)
    assert arrays["alive"][:, 1].tolist() == [True] * 3 + [False] * 3
    assert arrays["actions"][3:, 1].tolist() == [0, 0]
    page = (folder / "game_2.html").read_text()
    assert "{{" not in page
    assert not re.search(r"https?:|\bsrc=|\bhref=|@import|url\(", page)
    data = json.loads(re.search(r'<script id="data".*?>(.*?)</script>', page, re.S)[1])
    shown = {part["name"]: np.array(part["rows"]) for part in data["maps"] + data["lines"]}
    for name, array in {
        "attention of head 2": attention[:, 2],
        "effective weight dQ_tot/dQ_i": by_hand,
        "alive": arrays["alive"][:-1],
        "head weights": arrays["head_weights"],
        "entropy of attention (nats)": entropy,
        "Q_tot": arrays["q_tot"][:, None],
        "reward": arrays["rewards"][:, None],
    }.items():
        np.testing.assert_allclose(shown[name], array, atol=2e-5, err_msg=name)
    assert data["battle"] is None
    assert [part["limits"] for part in data["maps"]] == [None] * 4 + [[0, 1]]
    with Image.open(folder / "game_2.png") as image:
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 24)) > 100


def utilities_taken(path, episode):
    """[T, N] utilities of the actions taken, step by step through the acting team."""
    team, found = TeamPolicy.from_checkpoint(path), []
    for seen, legal in zip(episode.observations[:-1], episode.legal_actions[:-1], strict=True):
        actions = team.act(seen, legal)
        found.append(team.utilities[np.arange(len(actions)), actions])
    return torch.from_numpy(np.array(found, np.float64))


def by_differences(mixer, utilities, state, step=1e-4):
    """dQ_tot/dQ_i [T, N] by central differences."""
    steps = step * torch.eye(utilities.shape[1]).double()
    changes = [mixer(utilities + s, state).q_tot - mixer(utilities - s, state).q_tot for s in steps]
    return torch.stack(changes, -1) / (2 * step)


def of_qlinear(mixer, utilities, state):
    """|f(u_i, s)|, with f's input put together as its formula has it."""
    units = state[:, :6].reshape(len(state), 3, 2)
    both = torch.cat([units, state.unsqueeze(1).expand(-1, 3, -1)], -1)
    return mixer.agent_weight(both).squeeze(-1).abs()


EXPECTED = {
    "VDN": lambda mixer, utilities, state: torch.ones_like(utilities),
    "QMIX": by_differences,
    "WQMIX": by_differences,
    "QLinear": of_qlinear,
    # What the joint action adds to the weights of advantages carries no gradient.
    "QPLEX": lambda mixer, utilities, state: mixer.hyper_w(state).abs(),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_effective_weights_of_mixers_without_attention(checkpoint, tmp_path, name):
    path = checkpoint(name)
    episode = played(path).episodes[1]
    module = load_module(path)
    weights = weigh(module, episode)
    utilities = utilities_taken(path, episode)
    np.testing.assert_allclose(weights.utilities, utilities, atol=1e-6)
    state = torch.from_numpy(episode.state[:-1]).double()
    expected = EXPECTED[name](module.mixer.double(), utilities, state).detach()
    np.testing.assert_allclose(weights.effective_weights, expected, rtol=1e-4, atol=1e-6)
    assert weights.attention is weights.head_weights is weights.entropies is None
    if name == "QMIX":
        assert expected.std() > 0.01
        result = rllib("attention", path, *OWN, "--output", tmp_path)
        assert result.exit_code == 0, result.output
        assert "This mixer has no attention: effective weights dQ_tot/dQ_i only." in result.output
        assert "Wrote game_1 (.png" in result.output
        assert "attention" not in np.load(tmp_path / "game_1.npz")


def test_entropies_run_from_0_to_ln_n_and_heads_have_one_scale(qatten):
    games = played(qatten)
    weights = weigh(load_module(qatten), games.episodes[0])
    figure = figures.draw(WeighedGame("a title", games.spec, games.episodes[0], weights, None))
    named = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    entropies = named["entropy of attention (nats)"]
    assert entropies.get_xlim() == (0, pytest.approx(np.log(3)))
    assert [tick.get_text() for tick in entropies.get_xticklabels()] == ["0", "0.55", "ln 3"]
    ends = {named[f"attention of head {head}"].images[0].get_clim() for head in range(3)}
    assert ends == {(weights.attention.min(), weights.attention.max())}
    figure.draw_without_rendering()
    for name in ("entropy of attention (nats)", "head weights"):
        box = named[name].get_legend().get_window_extent()
        assert box.y1 < named[name].get_window_extent().y0  # below all lines


def panels(game):
    """Titles of a figure's panels; color bars have none."""
    return [axes.get_title() for axes in figures.draw(game).axes if axes.get_title()]


def test_panels_of_the_figure(checkpoint, qatten):
    effective = r"effective weight $\partial Q_{tot} / \partial Q_i$"
    heads = [f"attention of head {h}" for h in range(3)]
    lines = ["head weights", "entropy of attention (nats)"]

    def game(path):
        games = played(path)
        weights = weigh(load_module(path), games.episodes[0])
        return WeighedGame("a title", games.spec, games.episodes[0], weights, None)

    assert panels(game(qatten)) == [*heads, effective, "alive", *lines]
    # Nobody dies in the two-step game, and heads that are added weigh 1.
    two_step = game(checkpoint("Qatten", "two_step_game", {}, n_heads=1))
    assert panels(two_step) == [heads[0], effective, *lines]
    assert two_step.weights.head_weights.tolist() == [[1.0]] * 2
    assert panels(game(checkpoint("VDN", "two_step_game", {}))) == [effective]


def test_a_battle_on_smax(checkpoint):
    """The page moves the units to where the state has them."""
    pytest.importorskip("jaxmarl", reason="the extra smax is not installed")
    env_config = {"map_name": "3m", "engine": "smax"}
    path = checkpoint("Qatten", "smac", env_config, num_envs_per_env_runner=8)
    games = played(path, 8)
    episode = games.episodes[0]
    battle = read_battle(episode.state, episode.actions)
    weights = weigh(load_module(path), episode)
    game = WeighedGame("a title", games.spec, episode, weights, battle)
    assert game.labels == ["marine 0", "marine 1", "marine 2"]
    assert panels(game)[5] == "health"
    units = episode.state.reshape(-1, 6, 10)
    shown = pages.shown(game)
    np.testing.assert_allclose(shown["battle"]["positions"], units[:, :, 1:3], atol=1e-5)
    np.testing.assert_allclose(shown["battle"]["health"], units[:, :, 0], atol=1e-5)
    assert shown["battle"]["edgeKills"] is True
    assert shown["battle"]["stepSeconds"] == 0.5
    assert len(shown["battle"]["deaths"]) == (units[-1, :, 0] == 0).sum()
    assert shown["battle"]["types"] == ("marine",) * 6
    for actions, targets in zip(episode.actions.tolist(), shown["battle"]["targets"], strict=True):
        assert targets[:3] == [-1 if action < 5 else action - 2 for action in actions]
    page = (Path(__file__).parents[2] / "docs" / "attention.md").read_text()
    documented = dict(re.findall(r"^\| `(\w+)` \| \[(.*?)\]", page, re.MULTILINE))
    sizes = {"T": len(episode), "T+1": len(episode) + 1, "H": 4, "N": 3, "V": 6}
    shapes = {k: tuple(sizes.get(x, 2) for x in v.split(", ")) for k, v in documented.items()}
    assert {name: array.shape for name, array in game.arrays().items()} == shapes


@pytest.mark.parametrize("name", ["IndependentQ", "QTRAN"])
def test_algorithms_without_a_mixer(checkpoint, tmp_path, name):
    path = checkpoint(name)
    result = rllib("attention", path, *OWN, "--output", tmp_path / "folder")
    assert result.exit_code == 2
    assert result.output.startswith(f"Error: {name} has no mixer")
    assert not list(tmp_path.iterdir())


def test_mistakes_get_one_message(qatten, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    acting = write_team(tmp_path / "acting")
    cut = tmp_path / "cut"
    shutil.copytree(qatten, cut)
    (cut / "team_policy" / "mixer.safetensors").write_bytes(b"")
    (tmp_path / "file").write_text("")
    for words, message in (
        (("nowhere",), "nowhere: no such folder"),
        ((acting,), "holds no mixer that can be read without running its code"),
        ((cut,), "mixer.safetensors was cut short or altered"),
        ((qatten, "--output", "file"), "file: cannot be written: File exists"),
        ((qatten, "--output", "file/folder"), "file/folder: cannot be written: Not a directory"),
    ):
        result = rllib("attention", *words, *OWN)
        assert result.exit_code == 2, result.output
        assert result.output.startswith("Error: ")
        assert message in result.output
        assert len(result.output.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == [acting, cut, tmp_path / "file"]


def test_matplotlib_that_is_missing(qatten, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = rllib("attention", qatten, *OWN)
    assert result.exit_code == 2
    assert "pip install 'rllib-qatten[report]'" in result.output


def test_shots_and_targets_are_those_of_the_battle():
    """In battles of random attackers a unit is hurt only by who attacks it, and is shooting.

    And the enemies' targets are those that SMAX keeps to itself.
    """
    pytest.importorskip("jaxmarl", reason="the extra smax is not installed")
    teams = make_teams("smac", {"map_name": "3m", "engine": "smax"}, 8)
    recorder, rng, battles = Recorder(teams.spec, 8), np.random.default_rng(0), []
    view = teams.reset(seed=0)
    recorder.begin(view)
    kept = []
    while not battles:
        # East until an enemy can be attacked, as far as legal.
        wishes = rng.random(view.legal_actions.shape) + 2 * (np.arange(8) >= 5)
        wishes[..., 1] += 1
        actions = np.where(view.legal_actions, wishes, -1).argmax(-1)
        step = teams.step(actions)
        battles = recorder.record(actions, step)
        (attacks,) = (v for k, v in teams.get_state().items() if "prev_attack_actions" in k)
        kept.append(attacks[:, 3:])
        view = step.view
    battle = teams.battle(battles[0].state, battles[0].actions)
    hurt = np.argwhere(np.diff(battle.health, axis=0) < 0).tolist()
    assert {unit >= 3 for _, unit in hurt} == {True, False}
    for t, unit in hurt:
        may_shoot = battle.shoots[t] | ~battle.alive[t + 1]
        assert ((battle.targets[t] == unit) & may_shoot).any()
    # Its attacks on ally i are action 5 + 2 - i; those of the last step are gone with the battle.
    truth = np.array(kept)[:-1, np.flatnonzero(step.done)[0]]
    alive = battle.alive[:-2, 3:]
    mine = battle.targets[:-1, 3:]
    np.testing.assert_array_equal(mine[alive], np.where(truth < 5, -1, 7 - truth)[alive])
    np.testing.assert_array_equal(battle.alive[:, :3], battles[0].alive)
