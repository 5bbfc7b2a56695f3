"""What `rllib train` refuses, and how it says so."""

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rllib_qatten.__main__ import app
from rllib_qatten.envs import MatrixGame
from tests.commands.games import GAME

OWN = GAME.replace("two_step_game", "tests.teams:ScriptedBattle")
SMAC = GAME.replace("two_step_game", "smac")
PBT = GAME + "  scheduler: {type: pbt, hyperparam_mutations: {lr: [0.1, 0.2]}}\n"


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Runs `rllib train` on a text; Ray may not start."""

    def no_ray(*args, **kwargs):
        raise AssertionError("Ray was started")

    monkeypatch.setattr("ray.init", no_ray)
    file = tmp_path / "exp.yaml"

    def run(text, *arguments):
        file.write_text(text)
        words = ["train", "-f", str(file)]
        if "--storage-path" not in arguments:
            words += ["--storage-path", str(tmp_path / "results")]
        return CliRunner().invoke(app, [*words, *arguments])

    return run


# Each: what is wrong, a text, arguments, what the message must hold, the nearest name.
BAD: list[tuple[str, str, tuple[str, ...], str, str]] = [
    ("algorithm", GAME.replace("QMIX", "QMX"), (), "game.run: ", "'QMIX'"),
    ("env", GAME.replace("two_step", "twostep"), (), "game.env: ", "'two_step_game'"),
    ("module", OWN.replace("teams", "team"), (), "game.env: No module", "'tests.teams'"),
    ("class", OWN.replace("dBattle", "dBatle"), (), "game.env: ", "'ScriptedBattle'"),
    ("experiment", GAME, ("--only", "gme"), "--only: Unknown experiment: 'gme'", "'game'"),
    ("own env", OWN, ("--set", "env_config.break_at=2"), "game.config.env_config: ",
     "agent 'unit_0' got the reward nan after step 2: return a finite number"),
    ("PettingZoo env", GAME.replace("two_step_game", "pettingzoo"), (),
     "game.config.env_config: ", "env_config.env must name a PettingZoo module"),
    ("map", SMAC, ("--set", "env_config.map_name=3mm"), "env_config.map_name '3mm'", "3s5z"),
    ("env setting", SMAC, ("--set", "env_config.map_nam=3m"), "config.env_config", "'map_name'"),
    ("config key", GAME, ("--set", "mixing_embed_dims=3"),
     "'mixing_embed_dims'", "'mixing_embed_dim'"),
    ("another algorithm's", GAME, ("--set", "n_heads=2"), "game.config.n_heads: QMIX has no use",
     "It is a setting of Qatten"),
    ("another's to evaluate", GAME, ("--set", "evaluation_config.n_heads=2"),
     "game.config.evaluation_config.n_heads: QMIX has no use", "It is a setting of Qatten"),
    ("another's mutated", PBT.replace("{lr:", "{n_heads:"), (), "game.config.n_heads: ", "Qatten"),
    ("an option's name", GAME.replace("QMIX", "QTRAN"), ("--set", "qtran_arch=coma"),
     "game.config.qtran_arch: ", "'qtran_paper' or 'coma_critic'; got 'coma'"),
    ("no env", GAME, ("--set", "env=null"), "game.env: ", "is missing: name what is played"),
    ("evaluation key", GAME, ("--set", "evaluation_config.explor=1"), "'explor'", "'explore'"),
    ("experiment key", GAME.replace("stop", "stopp"), (), "game.stopp: ", "'stop'"),
    ("stop key", GAME, ("--stop", "evaluation/env_runners/win_rat=1"),
     "win_rat: ", "'evaluation/env_runners/win_rate'"),
    ("stop value", GAME, ("--stop", "training_iteration=soon"),
     "stop.training_iteration: ", "a number; got 'soon'"),
    ("checkpoint key", GAME + "  checkpoint_config: {num_to_kep: 1}\n", (),
     "checkpoint_config.num_to_kep", "'num_to_keep'"),
    ("checkpoint value", GAME + "  checkpoint_config: {num_to_keep: 0}\n", (),
     "game.checkpoint_config.num_to_keep: ", "1 or more; got 0"),
    ("checkpoint score", GAME + "  checkpoint_config: {checkpoint_score_attribute: win}\n", (),
     "checkpoint_score_attribute: ", "evaluation/env_runners/win_rate"),
    ("range", GAME, ("--set", "gamma=2"), "game.config: gamma", "[0, 1]; got 2"),
    ("range in a grid", GAME, ("--set", "gamma={grid_search: [0.9, 2]}"), "gamma", "[0, 1]; got 2"),
    ("kind", GAME, ("--set", "num_env_runners=two"),
     "config.num_env_runners: ", "a whole number; got 'two'"),
    ("a variable in a path", GAME, ("--storage-path", "${HOME}/runs"),
     "game.storage_path: holds ${HOME}, which nothing here replaces", "with double quotes"),
    ("mapping", GAME, ("--set", "env_config=3"), "config.env_config: ", "a mapping; got 3"),
    ("unit types", GAME, ("--set", "parameter_sharing=unit_type"),
     "game.config.parameter_sharing: ", "use 'all' or 'none'"),
    ("grid", GAME, ("--set", "lr={grid_search: 3}"), "game.config.lr: ", "a list of values"),
    ("empty grid", GAME, ("--set", "lr={grid_search: []}"), "game.config.lr: ", "no values"),
    ("processes", GAME, ("--set", "num_env_runners=1000000000000"),
     "game.config.num_env_runners: ", "1,000,000,000,000 processes are too many"),
    ("processes here", GAME, ("--set", "num_env_runners=90000"), "game.config: ",
     "a trial starts 90,001 processes"),
    ("CPUs of a process", GAME, ("--set", "num_cpus_for_main_process=5000"), "game.config: ",
     "a process needs 5000 CPUs"),
    ("a cluster's resource", GAME, ("--set", "num_env_runners=1", "--set",
     "custom_resources_per_env_runner={tpu: 1}"), "game.config: ", "needs tpu, a cluster"),
    ("games", GAME, ("--set", "num_envs_per_env_runner=1000000000000"),
     "game.config.num_envs_per_env_runner: ", "too many for a process"),
    ("width", GAME, ("--set", "hypernet_embed=1000000000000"),
     "game.config: hypernet_embed", "65,536 or less"),
    ("trials", GAME, ("--num-samples", "1000000000"), "game.num_samples: ", "1,000,000,000 trials"),
    ("values", GAME, ("--set", f"lr={{grid_search: {[*range(1, 2001)]}}}"),
     "game.config: ", "1,000 v"),
    ("private", GAME, ("--set", "_learner_class=x"), "game.config._learner_class: ", "is private"),
    ("class", GAME, ("--set", "env_runner_cls=os:system"),
     "game.config.env_runner_cls: ", "set it in Python"),
    ("callbacks", GAME, ("--set", "callbacks_class=os:system"),
     "game.config.callbacks_class: ", "set it in Python"),
    ("private in evaluation", GAME, ("--set", "evaluation_config.__class__=x"),
     "game.config.evaluation_config.__class__: ", "is private"),
    ("nan", GAME.replace("0.001", ".nan"), (), "line 6, column 9: ", ".nan is not a finite number"),
    ("whole config", "game: {run: QMIX, env: two_step_game, config: {choice: [1]}}", (),
     "game.config: ", "setting by setting"),
    ("schedule", GAME, ("--set", "epsilon=[[0, 1.0], [[]]]"),
     "game.config: epsilon ", "with rising env steps"),
    ("name", GAME.replace("game:\n", "a/b:\n"), (), "'a/b' is not a valid", "cannot contain '/'"),
    ("address", GAME, ("--storage-path", "foo://x"), "game.storage_path: ", "'foo'"),
    ("address without a bucket", GAME, ("--storage-path", "s3://", "--restore"),
     "game.storage_path: ", "names no bucket"),
    ("mutation", PBT.replace("[0.1, 0.2]", "3"), (), "hyperparam_mutations.lr: ", "a list or a r"),
    ("no algorithm", GAME.replace("QMIX", "os:system"), (), "game.run: ", "is not an algorithm"),
    ("GPUs", GAME, ("--set", "num_gpus_per_learner=99"), "game.config: ", "needs 99 GPUs"),
    ("samples", GAME, ("--num-samples", "0"), "game.num_samples: ", "1 or more; got 0"),
    ("syntax", GAME.replace("0.001", "["), (), "exp.yaml: line 8, column 24: ", "not YAML"),
    ("key twice", GAME.replace("lr: 0.001", "lr: 1\n    lr: 2"), (),
     "exp.yaml: line 7, column 5: ", "'lr' appears twice"),
    ("sampled bounds", GAME, ("--set", "lr={loguniform: [1, 0.1]}"),
     "game.config.lr: loguniform", "lower must be below upper"),
    ("sampled range", GAME, ("--set", "gamma={uniform: [0.9, 2]}"), "gamma", "[0, 1]; got 2"),
    ("code", GAME, ("--set", "lr={eval: 1}"), "game.config.lr: eval", "loguniform"),
    ("scheduler", GAME + "  scheduler: {type: ashaa}\n", (), "game.scheduler: ", "'asha'"),
    ("scheduler option", GAME + "  scheduler: {type: asha, max_tt: 3}\n", (),
     "game.scheduler: ", "'max_t'"),
    ("scheduler value", GAME + "  scheduler: {type: asha, grace_period: 200}\n", (),
     "game.scheduler: ", "grace_period must be <= max_t"),
    ("scheduler metric", GAME + "  scheduler: {type: asha, metric: a}\n", (),
     "game.scheduler: ", "metric is set next to"),
    ("scheduler time", GAME + "  scheduler: {type: asha, time_attr: training_iter}\n", (),
     "game.scheduler.time_attr: ", "'training_iteration'"),
    ("search", GAME + "  search_alg: {type: optun}\n", (), "game.search_alg: ", "'optuna'"),
    ("search without type", GAME + "  search_alg: {seed: 1}\n", (), "search_alg: ", "a type"),
    ("nothing to search", GAME + "  search_alg: optuna\n", (),
     "game.search_alg: ", "no setting is sampled"),
    ("grid and search", GAME + "  search_alg: optuna\n", ("--set", "lr={grid_search: [1]}"),
     "game.search_alg: ", "{choice: [...]}"),
    ("search of a normal", GAME + "  search_alg: optuna\n", ("--set", "gamma={randn: [0.5, 1]}"),
     "game.search_alg: ", "Optuna"),
    ("metric", GAME + "  metric: evaluation/win_rate\n", (),
     "game.metric: ", "'evaluation/env_runners/win_rate'"),
    ("metric of battles", GAME + "  metric: evaluation/env_runners/win_rate\n", (),
     "game.metric: ", "two_step_game is not a battle"),
    ("metric of evaluations", GAME + "  metric: evaluation/env_runners/episode_return_mean\n",
     ("--set", "evaluation_interval=0"), "game.metric: ", "evaluation_interval is not set"),
    ("stop of battles", GAME, ("--stop", "evaluation/env_runners/win_rate=0.5"),
     "game.stop.evaluation/env_runners/win_rate: ", "two_step_game is not a battle"),
    ("stop of evaluations", GAME, ("--set", "evaluation_interval=0", "--stop",
     "evaluation/env_runners/episode_return_mean=8"), "game.stop.", "evaluation_interval is not"),
    ("evaluation env", GAME, ("--set", "evaluation_config.env=nope"),
     "game.config.evaluation_config.env: ", "'nope'"),
    ("evaluation env's setting", GAME, ("--set", "evaluation_config.env_config.map_name=3m"),
     "game.config.evaluation_config.env_config: ", "has no settings; got"),
    ("evaluation env's sizes", GAME, ("--set", "evaluation_config.env=matrix_game"),
     "game.config.evaluation_config: ", "that of training has [2, 2, "),
    ("seed", GAME, ("--set", "seed={grid_search: [1, 4294967296]}"),
     "game.config: seed must be 4,000,000,000 or less", "got 4294967296"),
    ("stop before the start", GAME, ("--stop", "training_iteration=-3"),
     "game.stop.training_iteration: is met before the run begins", "above 0; got -3"),
    ("a key of the experiment", GAME, ("--set", "num_samples=3"),
     "game.config.num_samples: is set next to config", "--num-samples"),
    ("a key of checkpoint_config", GAME + "  checkpoint_freq: 3\n", (),
     "game.checkpoint_freq: ", "checkpoint_config: {checkpoint_frequency: ...}"),
    ("two envs", GAME.replace("lr: 0.001", "env: matrix_game"), (),
     "game.config.env: is another one than env, two_step_game", "keep one"),
    ("nothing", "{}", (), "needs experiments", "got at the top level: {}."),
    ("a score that no result has", GAME + "  scheduler: asha\n",
     ("--set", "evaluation_interval=null"), "game.metric: ", "by greedy games, and"),
    ("mutations together", PBT.replace("{lr: [0.1, 0.2]}",
     "{replay_capacity_episodes: {randint: [4, 60]}, train_batch_size_episodes: [2, 5]}"), (),
     "replay_capacity_episodes", "5 or more; got 4"),
    ("a name", GAME + "  name: mine\n", (), "game.name: ", "at the top of the file, or --name"),
    ("mode", GAME + "  mode: maximum\n", (), "game.mode: ", "'max'"),
    ("budget", GAME + "  time_budget_s: soon\n", (), "game.time_budget_s: ", "got 'soon'"),
    ("reuse", GAME + "  reuse_actors: 3\n", (), "game.reuse_actors: ", "got 3"),
    ("mutations", PBT.replace("{lr: [0.1, 0.2]}", "3"), (), "game.scheduler: ", "got 3"),
    ("no mutations", PBT.replace("{lr: [0.1, 0.2]}", "{}"), (), "game.scheduler: ", "got {}"),
    ("mutated key", PBT.replace("{lr:", "{lrr:"), (), "game.config.lrr: ", "'lrr'"),
    ("mutated bounds", PBT.replace("{lr: [0.1, 0.2]}", "{gamma: {uniform: [0.5, 2]}}"), (),
     "gamma", "[0, 1]; got 2"),
    ("mutated schedule", PBT.replace("[0.1, 0.2]", "{uniform: [0.1, 0.2]}"),
     ("--set", "lr=[[0, 0.1], [9, 0.2]]"), "hyperparam_mutations.lr: ", "changes a number"),
    ("mutated network", PBT.replace("{lr: [0.1, 0.2]}", "{hidden_size: [8, 16]}"), (),
     "game.scheduler: ", "the same network"),
    ("population with a search", PBT + "  search_alg: optuna\n",
     ("--set", "lr={uniform: [0.1, 0.2]}"), "game.search_alg: ", "that mutates"),
    ("population's checkpoints", PBT + "  checkpoint_config: {num_to_keep: 1}\n", (),
     "game.checkpoint_config.num_to_keep: ", "3 or more"),
    ("W&B project", GAME + "  wandb: {mode: offline}\n", (), "game.wandb: ", "wandb"),
    ("MLflow option", GAME + "  mlflow: {experiment_nam: a}\n", (), "game.mlflow: ", "mlflow"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "arguments", "where", "accepted"), [b[1:] for b in BAD], ids=[b[0] for b in BAD]
)
def test_bad_input_gets_one_message(invoke, tmp_path, text, arguments, where, accepted):
    result = invoke(text, *arguments)
    assert result.exit_code == 2, result.output
    assert result.output.startswith(f"Error: {tmp_path / 'exp.yaml'}: ")
    assert where in result.output
    assert accepted in result.output
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == [tmp_path / "exp.yaml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "lr"), "--set 'lr': expected KEY=VALUE"),
        (("--set", "=3"), "--set '=3': expected KEY=VALUE"),
        (("--set", "lr=["), "--set 'lr=[': the value: line 1, column 2: this is not YAML"),
        (("--set", "lr.high=3"), "--set lr.high: lr is 0.001"),
        (("--stop", "training_iteration"), "--stop 'training_iteration': expected KEY=VALUE"),
        (("--resume", "nowhere"), "--resume nowhere is not a checkpoint: no such folder"),
        (("--set", "a..b=1"), "--set a..b: is not a key"),
        (("--set", "lr=.inf"), "--set 'lr=.inf': the value: line 1, column 1: .inf is not"),
        (("--set", "\udcff=1"), "--set '\\udcff=1': expected KEY=VALUE"),
        (("--stop", "training_iteration=.nan"), "--stop 'training_iteration=.nan': the value: "),
        (("--name", "../x"), "--name: '../x' is not a valid name"),
        (("--name", ""), "--name: '' is not a valid name"),
        (("--resume", "x" * 5000), "--resume 'xxx"),
        (("--restore",), "--restore: there is nothing to continue in "),
        (("--restore", "--resume", "x"), "give either --restore or --resume"),
        (("file", "another.yaml"), "give one experiment"),
        (("-f", "another.yaml"), "--file or -f is given 2 times: give one."),
        (
            ("--set", "seed=010"),
            "--set 'seed=010': the value: line 1, column 1: YAML reads 010 as an o",
        ),
        (("--config", ""), "--config '': is not JSON"),
        (("--config", "{}", "--config", "{}"), "--config is given 2 times"),
        (("--name", "a", "--experiment-name", "b"), "--name or --experiment-name is given 2"),
    ],
)
def test_bad_options_get_one_message(invoke, tmp_path, arguments, message):
    result = invoke(GAME, *arguments)
    assert result.exit_code == 2
    assert result.output.startswith(f"Error: {message}")
    assert list(tmp_path.iterdir()) == [tmp_path / "exp.yaml"]


def test_a_missing_file_is_named_with_the_nearest(tmp_path):
    (tmp_path / "qmix.yaml").write_text(GAME)
    result = CliRunner().invoke(app, ["train", "file", str(tmp_path / "qmx.yaml")])
    assert result.exit_code == 2
    assert f"{tmp_path / 'qmx.yaml'}: no such file" in result.output
    assert "'qmix.yaml'" in result.output


def test_an_algorithm_without_an_env_is_told_to_name_one():
    result = CliRunner().invoke(app, ["train", "--run", "QMIX"])
    assert result.exit_code == 2
    assert result.output.startswith("Error: --run QMIX: name what is played, too, with --env")


def test_only_a_plain_file_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("large.yaml").write_bytes(b"#" * 3_000_000)
    for name, message in {
        ".": "is a folder",
        "fifo": "is not a regular file",
        "/dev/zero": "is not a regular file",
        "x" * 400: "File name too long",
        "large.yaml": "at most 200,000 bytes",
        "~": "no such file",
    }.items():
        result = CliRunner().invoke(app, ["train", "-f", name])
        assert result.exit_code == 2
        assert result.output.startswith("Error: ")
        assert message in result.output, result.output


def fake_checkpoint(folder, about):
    """What a checkpoint looks like from outside; it holds nothing."""
    folder.mkdir(parents=True)
    file = folder / "rllib_checkpoint.json"
    file.write_text(json.dumps(about))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_text(f"{digest}  {file.name}\n")
    return folder


def test_results_need_a_folder_that_can_be_written(invoke, tmp_path):
    (tmp_path / "results").write_text("in the way")
    result = invoke(GAME)
    assert result.exit_code == 2
    path = tmp_path / "results"
    assert f"game.storage_path: results cannot be written in {path}: Not a dir" in result.output


@pytest.mark.parametrize("name", ["optuna", "wandb", "mlflow"])
def test_a_missing_package_is_named_with_its_extra(invoke, monkeypatch, name):
    text = {
        "optuna": "  search_alg: optuna\n",
        "wandb": "  wandb: {project: a}\n",
        "mlflow": "  mlflow: {experiment_name: a}\n",
    }[name]
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("ray.tune.search.optuna.optuna_search.ot", None)
    result = invoke(GAME + text, "--set", "lr={uniform: [0.1, 0.2]}")
    assert result.exit_code == 2
    assert f"{name} is not installed: pip install 'rllib-qatten[{name}]'" in result.output


def test_several_experiments_share_parts_and_take_all_options(invoke, tmp_path):
    several = GAME.replace("game:", "one: &one") + "two:\n  <<: *one\n  run: QMX\n"
    result = invoke(several, "--set", "gamma=0.5")
    assert "two.run: " in result.output
    result = invoke(several, "--name", "x")
    assert "--name names one experiment" in result.output
    result = invoke(several.replace("QMX", "VDN"), "--resume", str(tmp_path))
    assert result.exit_code == 2


def test_resume_names_the_checkpoint_that_was_meant(invoke, tmp_path):
    checkpoint = fake_checkpoint(tmp_path / "trial" / "checkpoint_000001", {"algorithm": "QMIX"})
    for near in (tmp_path, tmp_path / "trial", tmp_path / "trial" / "checkpoint_000002"):
        result = invoke(GAME, "--resume", str(near))
        assert result.exit_code == 2
        assert f"Did you mean {checkpoint}?" in result.output
    result = invoke(GAME, "--resume", str(checkpoint), "--num-samples", "3")
    assert result.exit_code == 2
    assert "makes 3" in result.output


def test_resume_refuses_what_it_cannot_go_on_from(invoke, tmp_path):
    good = fake_checkpoint(tmp_path / "good", {"algorithm": "QMIX"})
    other = fake_checkpoint(tmp_path / "other", {"algorithm": "VDN"})
    foreign = fake_checkpoint(tmp_path / "foreign", {})
    damaged = fake_checkpoint(tmp_path / "damaged", {"algorithm": "QMIX"})
    with (damaged / "rllib_checkpoint.json").open("a") as file:
        file.write(" ")
    before = sorted(tmp_path.rglob("*"))
    for path, says in (
        (other, "is a checkpoint of VDN; expected one of QMIX."),
        (foreign, "is not a checkpoint of this package; expected one of QMIX."),
        (damaged, "rllib_checkpoint.json is damaged: it was cut short or altered"),
    ):
        result = invoke(GAME, "--resume", str(path))
        assert result.exit_code == 2
        assert result.output.startswith(f"Error: --resume {path}")
        assert says in result.output
        assert len(result.output.splitlines()) == 1
    result = invoke(GAME, "--resume", str(damaged))
    assert f"Did you mean {good}?" in result.output
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "exp.yaml"])


def test_an_unwritable_storage_path_is_named(invoke, tmp_path):
    for path in (tmp_path / "exp.yaml" / "results", Path("/proc/results")):
        result = invoke(GAME, "--storage-path", str(path))
        assert result.exit_code == 2
        assert f"game.storage_path: results cannot be written in {path.parent}: " in result.output
    assert list(tmp_path.iterdir()) == [tmp_path / "exp.yaml"]


def test_an_env_that_breaks_the_contract_gets_the_checkers_message(invoke, monkeypatch):
    monkeypatch.setattr(MatrixGame, "possible_agents", property(lambda self: [], lambda *a: None))
    result = invoke(GAME.replace("two_step_game", "matrix_game"))
    assert result.exit_code == 2
    assert "MatrixGame is not a team environment" in result.output
    assert "possible_agents is missing or empty" in result.output
