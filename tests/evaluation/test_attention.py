"""`rllib attention`: the weights are the mixer's, and files, figure and page hold the same ones."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from ray.tune.registry import register_env
from typer.testing import CliRunner

from rllib_qatten import ALGORITHMS
from rllib_qatten.cli import app
from rllib_qatten.evaluation.attention import MODULE, WeighedGame, load_module, weigh
from rllib_qatten.evaluation.battle import Battle
from rllib_qatten.evaluation.evaluate import evaluate, make_games
from rllib_qatten.evaluation.policy import TeamPolicy
from tests.evaluation.teams import write_team
from tests.teams import ScriptedBattle

figures = pytest.importorskip("rllib_qatten.evaluation.attention_figures")
pages = pytest.importorskip("rllib_qatten.evaluation.battle_page")
pytestmark = pytest.mark.usefixtures("ray_session")

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
    return evaluate(team, make_games(team, episodes, {}), episodes, seed=3)


def test_everything_is_written_and_adds_up(qatten, tmp_path):
    folder = tmp_path / "new" / "folder"
    result = rllib("attention", qatten, "--episodes", 2, "--output", folder)
    assert result.exit_code == 0, result.output
    for text in ("Qatten on scripted_battle", "2 greedy games", "head 2", "unit_1", "weights only",
                 f"Wrote game_1 .. game_2 (.png, .html, .npz) to {folder}"):  # fmt: skip
        assert text in result.output, result.output
    assert len(list(folder.iterdir())) == 6
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
    with Image.open(folder / "game_2.png") as image:
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 24)) > 100


def numeric(module, episode, step=1e-3):
    """dQ_tot/dQ_i [T, N] by finite differences in float64, with the mixer called directly."""
    mixer = module.mixer.double()
    state = torch.from_numpy(episode.state[:-1]).double()
    utilities = torch.from_numpy(weigh_float(module, episode)).double()
    columns = []
    for i in range(utilities.shape[1]):
        up, down = utilities.clone(), utilities.clone()
        up[:, i] += step
        down[:, i] -= step
        columns.append((mixer(up, state).q_tot - mixer(down, state).q_tot) / (2 * step))
    return torch.stack(columns, -1).detach().numpy()


def weigh_float(module, episode):
    """Utilities [T, N] of the actions taken, step by step through the acting network."""
    team = TeamPolicy.from_checkpoint(module)
    found = []
    for seen, legal in zip(episode.observations[:-1], episode.legal_actions[:-1], strict=True):
        actions = team.act(seen, legal)
        found.append(team.utilities[np.arange(len(actions)), actions])
    return np.array(found)
