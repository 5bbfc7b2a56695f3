"""Training on games that crash: exact counts, nothing learned from faults, killed runners."""

import json
import os
import signal
import sys
import time

import pytest
from ray.tune.registry import register_env

from rllib_qatten import QMIXConfig
from rllib_qatten.envs import EngineFailed, make_smac
from rllib_qatten.envs.battles import sc2, sc2_settings
from tests.envs.battles import fake_sc2
from tests.envs.battles.test_sc2 import assert_nothing_left

pytestmark = [
    pytest.mark.usefixtures("ray_session"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="games need POSIX"),
]

TINY = {
    "env": "scripted_sc2",
    "num_envs_per_env_runner": 2,
    "min_sample_timesteps_per_iteration": 60,
    "train_batch_size_episodes": 4,
    "evaluation_duration": 5,
    "hidden_size": 8,
    "mixing_embed_dim": 4,
    "hypernet_embed": 4,
    "seed": 1,
}
#: Battles that fail, and in which step; 0 is the launch.
FAULTS = {
    3: ["crash", 2],
    5: ["raise", 1],
    8: ["exit", 3],
    9: ["raise", 0],
    14: ["crash", 0],
    20: ["hang", 2],
    33: ["raise", 3],
}


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Builds an algorithm on scripted battles; remote runners find them too."""
    built = []
    site, game = fake_sc2.install(tmp_path)

    def create(config):
        sys.path.insert(0, str(site))
        sc2.STARTS, sc2.FIRST_WAIT = 3, 0.01
        os.environ["SC2PATH"] = str(game)
        return make_smac({"map_name": "3m", "engine": "sc2", "hang_timeout_s": 2.0})

    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("SC2PATH", str(game))
    monkeypatch.setattr(sc2, "STARTS", 3)
    monkeypatch.setattr(sc2, "FIRST_WAIT", 0.01)
    register_env("scripted_sc2", create)
    sc2_settings.forget()

    def make(faults=FAULTS, **settings):
        file = site / "smac" / "env" / "starcraft2" / "faults.json"
        file.write_text(json.dumps(faults))
        built.append(QMIXConfig().update_from_dict({**TINY, **settings}).build_algo())
        return built[-1], site

    yield make
    for algorithm in built:
        algorithm.stop()
    assert_nothing_left(site, seconds=20)


def truth(site, from_line=0, players=None):
    """What the games themselves say: how battles ended, by number."""
    lines = fake_sc2.ledger(site)[from_line:]
    return {
        line["battle"]: line["kind"]
        for line in lines
        if line["event"] == "end" and (players is None or line["player"] in players)
    }


def test_counts_are_exact_and_faults_are_no_results(build):
    algorithm, site = build(evaluation_interval=None)
    wins = games = steps = restarts = dropped = 0
    returns = 0.0
    seen = set()
    for _ in range(3):
        result = algorithm.train()
        new = {b: k for b, k in truth(site).items() if b not in seen}
        seen |= new.keys()
        found = result["env_runners"]
        lengths = [fake_sc2.outcome(b)[0] for b in new]
        wins = sum(kind == "won" for kind in new.values())
        worth = fake_sc2.MAX_REWARD / 20
        returns = (10 * sum(lengths) + 200 * wins) / worth / len(new)
        assert found["win_rate"] == wins / len(new)
        assert found["episode_len_mean"] == sum(lengths) / len(new)
        assert found["episode_return_mean"] == pytest.approx(returns, rel=1e-6)
        assert found["num_episodes"] == len(new)
        games += len(new)
        restarts += found["game_restarts"]
        dropped += found["games_dropped"]
        steps = result["num_env_steps_sampled_lifetime"]
        assert result["engine"].startswith("sc2 (StarCraft II 4.10.0")
    assert result["env_runners"]["num_episodes_lifetime"] == games
    begun = sum(line["event"] == "begin" for line in fake_sc2.ledger(site))
    assert begun > max(FAULTS)
    assert restarts == len(FAULTS)
    in_play = [fault for fault in FAULTS.values() if fault[1]]
    assert dropped == len(in_play)
    # What was played of dropped games is learned from, unless that is nothing.
    kept = algorithm.replay._episodes
    assert len(kept) == games + sum(step > 1 for _, step in in_play)
    assert all(len(episode) for episode in kept)
    assert not any(e.terminated or e.won for e in kept if e.dropped)
    unfinished = algorithm.env_runner.env._steps.sum()
    assert steps == sum(map(len, kept)) + unfinished


def test_evaluation_plays_exactly_its_games_whatever_fails(build):
    # With one slot the games that count are the first that end.
    one = {"num_envs_per_env_runner": 1}
    algorithm, site = build(evaluation_interval=None, evaluation_config=one)
    for _ in range(2):
        before = len(truth(site))
        result = algorithm.evaluate()["env_runners"]
        kinds = list(truth(site).values())[before : before + 5]
        assert result["num_episodes"] == len(kinds) == 5
        assert result["win_rate"] == kinds.count("won") / 5
    begun = sum(line["event"] == "begin" for line in fake_sc2.ledger(site))
    assert begun > 14
    assert len(truth(site)) == 10


@pytest.mark.slow  # Ray takes its time to start another
def test_training_survives_a_killed_env_runner(build):
    algorithm, site = build(num_env_runners=1, evaluation_interval=None)
    algorithm.train()
    (pid,) = algorithm.env_runner_group.foreach_env_runner(
        lambda runner: os.getpid(), local_env_runner=False
    )
    before = [line for line in fake_sc2.ledger(site) if line["event"] == "begin"]
    os.kill(pid, signal.SIGKILL)
    result = algorithm.train()
    end = time.monotonic() + 30
    while any(fake_sc2.alive(line["game"]) for line in before) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(fake_sc2.alive(line["game"]) for line in before)
    assert result["env_runners"]["num_episodes"] > 0
    assert result["num_env_steps_sampled_lifetime"] >= 120


@pytest.mark.parametrize("runners", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_engine_that_never_plays_ends_training(build, runners):
    never = {battle: ["raise", 0] for battle in range(200)}
    algorithm, _ = build(never, num_env_runners=runners, evaluation_interval=None)
    with pytest.raises(EngineFailed, match=r"websocket closed.*rllib doctor"):
        algorithm.train()
