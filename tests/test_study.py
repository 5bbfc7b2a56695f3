"""What the study keeps: runs as small files, tables that say what these say, teams for the zoo."""

import csv
import itertools
import json
import math
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from rllib_qatten import TeamPolicy, keys
from rllib_qatten.checkpoints import team_files, zoo
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.file import read
from rllib_qatten.report.runs import read_all
from study import keep, tables, trial
from study.__main__ import app
from tests.report.reported import kept, rows, write_run

ROOT = Path(__file__).parents[1]
KEPT = sorted([*tables.RESULTS.rglob("progress.csv"), *tables.EARLIER.rglob("progress.csv")])


def test_the_pages_hold_what_the_kept_runs_give():
    """If it fails: python -m study tables."""
    for page, text in tables.pages().items():
        assert tables.PLACE.search(text)
        assert page.read_text() == text


def test_a_table_that_does_not_exist_is_refused(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "results.md").write_text("")
    (tmp_path / "README.md").write_text("<!-- table: batles -->\n<!-- end of table -->")
    with pytest.raises(BadInput, match="no table is called batles"):
        tables.pages(tmp_path)


def seeds(*wins):
    return [SimpleNamespace(final=lambda name, rate=rate: rate) for rate in wins]


@pytest.mark.parametrize(
    ("wins", "told"),
    [
        # Of a printed table, t(2) = 4.303; sqrt(1 + 1/3) = 1.1547.
        ([0.45, 0.5, 0.55], "0.25 .. 0.75"),  # 4.303 * 0.05 * 1.1547 = 0.2484
        ([0.5, 0.5, 0.5], "0.39 .. 0.61"),  # 500 games: 4.303 * 0.02227 * 1.1547 = 0.1107
        ([0.9], "-"),
        ([1.0, 1.0, 1.0], "0.99 .. 1.00"),
    ],
)
def test_another_seeds_interval_by_hand(wins, told):
    assert tables._another(seeds(*wins)) == told


def test_the_interval_of_the_mean_by_hand():
    # t(3) = 3.182; the deviation of 1, 2, 3, 4 hundredths is 0.012910, of four runs the half.
    found = tables._estimate(seeds(0.51, 0.52, 0.53, 0.54))
    assert found.cells("{:.4f}") == ("0.5250", "0.5045 .. 0.5455")
    assert tables._estimate(seeds(0.4, 0.6)).cells("{:.1f}") == ("0.5", "0.4 .. 0.6 (range)")
    assert tables._estimate(seeds(0.9, 1.0, 1.0)).high == 1.0


def test_another_seed_is_inside_19_times_of_20():
    draw = np.random.default_rng(5).normal(0.5, 0.08, (2000, 4))
    inside = 0
    for *known, new in draw:
        low, high = map(float, tables._another(seeds(*known)).split(" .. "))
        inside += low - 0.005 <= new <= high + 0.005
    assert 0.93 < inside / len(draw) < 0.97


def test_every_row_is_that_of_the_raw_files():
    """Recomputed from the text of the files, without the report."""
    runs = {}
    for file in tables.EARLIER.rglob("progress.csv"):
        settings = json.loads((file.parent / "params.json").read_text())
        with open(file) as text:
            lines = [line for line in csv.DictReader(text) if line[keys.GREEDY_WINS]]
        row = settings["env_config"]["map_name"], settings.get("agent", "recurrent")
        algorithm = file.parent.name.split("_")[0]
        wins = [float(line[keys.GREEDY_WINS]) for line in lines[-5:]]
        last = float(lines[-1][keys.STEPS])
        told = [(float(line[keys.GREEDY_WINS]), float(line[keys.STEPS])) for line in lines]
        pairs = itertools.pairwise(told)
        enough = [steps for (one, _), (two, steps) in pairs if one + two >= 1.6]
        found = sum(wins) / len(wins), last, min(enough, default=math.inf)
        runs.setdefault((*row, algorithm, last > 500_000), []).append(found)
    text = (ROOT / "docs" / "results.md").read_text()
    table = re.search(r"<!-- table: earlier -->\n(.*?)<!-- end", text, re.DOTALL)[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert sum(int(row[6]) for row in rows) == sum(map(len, runs.values()))
    checked = 0
    for battle, label, agent, rate, interval, _, seeds, steps, _, after in rows:
        algorithm = label.split(" ")[0]
        found = runs[battle, agent, algorithm, float(steps.split()[0]) > 0.5]
        if len(found) != int(seeds):  # variants of an algorithm, told apart by their settings
            continue
        checked += 1
        finals = [final for final, *_ in found]
        reached = [steps / 1e6 for *_, steps in found]
        told = math.inf if after == "-" else float(after.split()[0])
        wanted = math.inf if math.inf in reached else np.median(reached)
        assert told == pytest.approx(wanted, abs=0.0051)
        assert float(rate) == pytest.approx(np.mean(finals), abs=0.00051)
        assert float(steps.split()[0]) == pytest.approx(np.mean(found, 0)[1] / 1e6, abs=0.0051)
        if seeds == "3":
            half = 4.302653 * np.std(finals, ddof=1) / 3**0.5  # two degrees of freedom
            ends = [max(np.mean(finals) - half, 0), min(np.mean(finals) + half, 1)]
            assert list(map(float, interval.split(" .. "))) == pytest.approx(ends, abs=0.00051)
    assert checked > 15


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.parent.name[:60])
def test_what_is_known_of_a_kept_run_is_kept(file):
    record = json.loads((file.parent / keys.RECORD_FILE).read_text())
    known = record.get("command") or (file.parent / keys.COMMAND_FILE).read_text()
    assert known.startswith(("rllib train", "python -m study"))
    assert record["versions"]
    assert record["machine"]
    text = "".join(other.read_text() for other in file.parent.iterdir())
    assert not re.search(r"(?<!\w)/(tmp|home|root|work)/", text)
    assert len(text) < 30_000


def test_a_run_is_kept_in_small_and_reported_as_before(tmp_path):
    run = write_run(tmp_path / "runs", "QMIX", "3s5z", 2, config={"hidden_size": 64})
    record = {"date": "2026-01-02", "command": "rllib train -f x --storage-path /a/b --set c=1"}
    (run / keys.RECORD_FILE).write_text(json.dumps(record))
    [folder], warnings = keep.keep([tmp_path / "runs"], tmp_path / "results")
    assert folder == tmp_path / "results" / "3s5z" / "QMIX_smac_recurrent_seed=2"
    assert not warnings
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5000
    [before], [after] = read_all([run])[0], read_all([folder])[0]
    assert after.final("win_rate") == pytest.approx(before.final("win_rate"), abs=1e-9)
    np.testing.assert_allclose(after.scores["return"], before.scores["return"], rtol=1e-4)
    np.testing.assert_array_equal(after.steps, before.steps)
    assert (after.label, after.task, after.name) == ("QMIX", "3s5z", "seed 2")
    assert after.environment == before.environment == "smax (jaxmarl 0.2.0)"
    assert after.about["command"] == "rllib train -f x --set c=1"
    assert after.about["date"] == "2026-01-02"
    assert after.about["commit"] == "not recorded"
    with open(folder / "progress.csv") as text:
        assert len(list(csv.DictReader(text))) == len(kept("QMIX", "3s5z", 2))


def test_a_kept_run_keeps_its_algorithms_whole_name(tmp_path):
    run = write_run(tmp_path / "runs", "My_QMIX", "3s5z", 1, kept("QMIX", "3s5z"))
    [folder], _ = keep.keep([run], tmp_path / "results")
    assert folder.name == "My_QMIX_smac_recurrent_seed=1"
    assert json.loads((folder / keys.RECORD_FILE).read_text()) == {"algorithm": "My_QMIX"}
    assert read_all([folder])[0][0].algorithm == "My_QMIX"


def test_other_settings_do_not_take_the_place_of_a_kept_run(tmp_path):
    results = tmp_path / "results"
    first = write_run(tmp_path / "a", "QMIX", seed=1)
    keep.keep([first], results)
    keep.keep([first], results)  # the same run, perhaps longer
    other = write_run(tmp_path / "b", "QMIX", seed=1, config={"lr": 0.1})
    with pytest.raises(BadInput, match="with seed 1 and other settings is kept in"):
        keep.keep([other], results)
    assert len(list(results.rglob("params.json"))) == 1


@pytest.mark.parametrize(
    ("config", "wins", "exploring", "why"),
    [
        ({"env": "two_step_game"}, False, False, "this run of two_step_game has return: leave"),
        ({"env": "my:Env"}, True, False, "this run of my:Env has win_rate and return: leave it"),
        ({}, False, False, "this run of smac has return: leave it out"),
        ({}, True, True, "has not been evaluated yet"),
        ({"lr": 0.1}, True, False, "with seed 1 and other settings"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_written(
    tmp_path, config, wins, exploring, why
):
    made = rows([0.5, 0.6])
    for row in made:
        if exploring:
            row[keys.WINS] = row.pop(keys.GREEDY_WINS)
            row[keys.RETURN] = row.pop(keys.GREEDY_RETURN)
        if not wins:
            del row[keys.GREEDY_WINS]
    good = write_run(tmp_path / "a", "QMIX", rows=rows([0.5, 0.6]))
    bad = write_run(tmp_path / "b", "QMIX", rows=made, config=config)
    with pytest.raises(BadInput, match=re.escape(why)):
        keep.keep([good, bad], tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("settings", "agent"),
    [({}, "recurrent"), ({"recipe": "smax"}, "entity"), ({"agent": "ff", "recipe": "smax"}, "ff")],
)
def test_the_agent_is_kept_that_a_recipe_chose(tmp_path, settings, agent):
    run = write_run(tmp_path / "runs", "VDN", seed=1, config=settings)
    [folder], _ = keep.keep([run], tmp_path / "results")
    assert folder.name == f"VDN_smac_{agent}_seed=1"


def test_a_command_is_kept_without_the_folder_of_its_results():
    told = "rllib train -f study --local-dir /x 'a b' --storage-path=/y --set 'seed={x: [1]}'"
    assert trial.without_places(told) == "rllib train -f study 'a b' --set 'seed={x: [1]}'"


def test_the_rows_of_the_study_are_named_after_what_they_run():
    rows = {}
    for experiment in read(tables.STUDY):
        battle = experiment.config["env_config"]["map_name"]
        assert experiment.name.replace("_", "") == (
            f"study_{battle}_{experiment.run}".lower().replace("_", "")
        )
        assert experiment.config["recipe"] == "smax"
        assert experiment.config["env_config"]["engine"] == "smax"
        rows.setdefault(battle, {})[experiment.run] = experiment
    for battle, runs in rows.items():
        assert {"Qatten", "QMIX", "VDN"} <= runs.keys(), battle
        own = ("n_heads", "weighted_heads", "attend_reg_coef")  # Qatten's mixer's
        shared = [{k: v for k, v in r.config.items() if k not in own} for r in runs.values()]
        assert all(config == shared[0] for config in shared), battle
        assert len({str(run.stop) for run in runs.values()}) == 1


def test_a_checkpoint_becomes_a_team_of_the_zoo(tmp_path, monkeypatch):
    pytest.importorskip("jaxmarl", reason="the extra smax is not installed")
    from study import team

    counted = []
    source = zoo.teams()["qatten_3m"]
    run = tmp_path / "trial" / "checkpoint_000001"
    copy(source, run / "team_policy")
    (run.parent / "result.json").write_text(
        json.dumps({keys.STEPS: 5, "time_total_s": 60, "checkpoint_dir_name": run.name}) + "\n"
        + json.dumps({keys.STEPS: 9, "time_total_s": 90, "checkpoint_dir_name": "other"}) + "\n"
    )  # fmt: skip
    (run.parent / "params.json").write_text(json.dumps({"seed": 4}))
    (run.parent / keys.RECORD_FILE).write_text(json.dumps({"command": "rllib train -f x"}))
    for seed in (0, 1):  # the second takes the place of the first
        added = team.add(run, "mine", 8, seed, "a command", counted.append, tmp_path / "zoo")
    assert sum(counted) == 16
    assert added.evaluation["games"] == 8
    assert added.evaluation["seed"] == 1
    assert added.evaluation["command"] == "a command"
    assert 0 <= added.evaluation["won"] <= 8
    assert added.training == {
        "env_steps": 5, "minutes": 1.0, "settings": {"seed": 4}, "command": "rllib train -f x",
    }  # fmt: skip
    assert [folder.name for folder in (tmp_path / "zoo").iterdir()] == ["mine"]
    there, here = (team_files.read(folder)[0] for folder in (source, added.folder))
    for name, weight in there.network.state_dict().items():
        assert weight.equal(here.network.state_dict()[name])
    monkeypatch.setattr(zoo, "FOLDERS", (tmp_path / "zoo",))
    metadata = TeamPolicy.from_checkpoint("zoo:mine").metadata
    assert metadata["environment"]["env_config"] == {"map_name": "3m", "engine": "smax"}


def test_a_team_has_one_name_in_the_zoo(tmp_path):
    from study import team

    copy(zoo.teams()["qatten_3m"], tmp_path / "there")
    with pytest.raises(BadInput, match=r"is in the zoo already, as zoo:there\. To give"):
        team.add(Path("zoo:qatten_3m"), "mine", 10, 0, "", None, tmp_path)


def copy(source, target):
    target.mkdir(parents=True)
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())


def test_a_name_that_is_none_is_refused(tmp_path):
    from study import team

    with pytest.raises(BadInput, match="not a valid name"):
        team.add(Path("zoo:qatten_3m"), "../x", 10, 0, "", None, tmp_path)


def test_the_commands_have_help():
    for words in (["--help"], ["team", "--help"], ["keep", "--help"], ["tables", "--help"]):
        assert CliRunner().invoke(app, words).exit_code == 0


#: A checkout in small: what the script needs of JaxMARL's, with numbers known beforehand.
QMIX_RNN = """
import jax
import jax.numpy as jnp

def env_from_config(config):
    assert config["MAP_NAME"] == "3m" and config["WANDB_MODE"] == "offline"
    return None, None

def make_train(config, env):
    rollouts = config["TOTAL_TIMESTEPS"] // config["NUM_STEPS"] // config["NUM_ENVS"]
    def train(rng):
        def update(i, _):
            i = i + 1
            share = i / rollouts
            numbers = {
                "update_steps": i, "env_step": i * 20, "grad_steps": i * 8, "loss": share,
                "returned_won_episode": share / 2, "returned_episode_returns": share,
                "test_returned_won_episode": share, "test_returned_episode_returns": 2 * share,
            }
            jax.debug.callback(lambda found: wandb.log(found, step=0), numbers, ordered=False)
            return i, None
        return jax.lax.scan(update, 0 * rng[0].astype(int), None, rollouts)
    return train
"""
SETTINGS = {"TOTAL_TIMESTEPS": 1e7, "NUM_ENVS": 2, "NUM_STEPS": 10, "TEST_INTERVAL": 0.25}
OMEGACONF = """
import json
class OmegaConf:
    load = staticmethod(lambda file: json.loads(open(file).read()))
    to_container = staticmethod(dict)
"""


@pytest.fixture
def checkout(tmp_path):
    pytest.importorskip("jaxmarl", reason="the extra smax is not installed")
    folder = tmp_path / "JaxMARL" / "baselines" / "QLearning"
    (folder / "config" / "alg").mkdir(parents=True)
    (folder / "config" / "alg" / "ql_rnn_smax.yaml").write_text(
        json.dumps(SETTINGS | {"REW_SCALE": 10, "MAP_NAME": "3s_vs_5z"})
    )
    (folder / "qmix_rnn.py").write_text(QMIX_RNN)
    (folder / "omegaconf.py").write_text(OMEGACONF)
    return tmp_path / "JaxMARL"


def test_a_run_of_jaxmarls_is_kept_beside_ours(checkout, tmp_path):
    from study import jaxmarl_peer

    words = (
        "JaxMARL-QMIX",
        "3m",
        800,
        3,
        checkout,
        Path(sys.executable),
        "python -m study jaxmarl",
    )
    folder = jaxmarl_peer.run(*words, tmp_path / "results")
    assert folder == tmp_path / "results" / "3m" / "JaxMARL-QMIX_smac_recurrent_seed=3"
    [run], warnings = read_all([tmp_path / "results"])
    assert not warnings
    assert (run.label, run.task, run.environment) == ("JaxMARL-QMIX", "3m", "smax (jaxmarl 0.2.0)")
    assert run.steps.tolist() == [200, 400, 600, 800]
    assert run.scores["win_rate"].tolist() == [0.25, 0.5, 0.75, 1]
    assert run.scores["return"].tolist() == [5, 10, 15, 20]
    settings = json.loads((folder / "params.json").read_text())["jaxmarl"]
    changed = {"TOTAL_TIMESTEPS": 800, "MAP_NAME": "3m", "REW_SCALE": 10, "WANDB_MODE": "offline"}
    assert settings == SETTINGS | changed
    assert json.loads((folder / keys.RECORD_FILE).read_text())["algorithm"] == "JaxMARL-QMIX"
    assert "jaxmarl_baselines" in run.about["versions"]


def test_what_jaxmarl_lacks_is_said(checkout, tmp_path):
    from study import jaxmarl_peer

    (checkout / "baselines" / "QLearning" / "qmix_rnn.py").write_text("import flash_baks")
    words = ("JaxMARL-QMIX", "3m", 800, 3, checkout)
    for python, why in ((Path(sys.executable), "exit code 1"), (tmp_path / "none", "cannot be st")):
        with pytest.raises(BadInput, match=why):
            jaxmarl_peer.run(*words, python, "", tmp_path / "results")
    assert not (tmp_path / "results").exists()
