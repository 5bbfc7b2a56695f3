"""StarCraft II's engine against a scripted env in real processes: nothing of it is replaced."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rllib_qatten.envs import make_smac
from rllib_qatten.envs.battles import sc2, sc2_game, sc2_process
from rllib_qatten.envs.battles.sc2_settings import SC2Settings
from rllib_qatten.errors import EngineFailed
from rllib_qatten.rollout.episode import Recorder
from tests.envs.battles import fake_sc2
from tests.envs.battles.conftest import assert_nothing_left

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="games need POSIX")


def stop(view):
    """Everybody stops; the dead can't but do nothing."""
    return np.where(view.alive, 1, 0)


def play(teams, steps, policy=stop):
    """All steps and all episodes."""
    recorder = Recorder(teams.spec, teams.num_games)
    view = teams.reset(0)
    recorder.begin(view)
    trace, episodes = [], []
    for _ in range(steps):
        actions = policy(view)
        step = teams.step(actions)
        trace.append((view, actions, step))
        episodes += recorder.record(actions, step)
        view = step.view
    return trace, episodes


def battle_of(episode):
    return int(episode.observations[0, 0, 0])


def test_spec_comes_without_a_game(battles):
    teams = battles(4)
    spec = teams.spec
    assert spec.engine == "sc2 (StarCraft II 4.10.0 build 75689, smac 1.0.0)"
    assert (spec.n_agents, spec.n_actions, spec.observation_size) == (2, 9, 4)
    assert spec.state_size == 8 + 9 + 18
    assert spec.unit_features == slice(0, 8)
    assert (spec.is_battle, spec.episode_limit) == (True, 9)
    assert fake_sc2.ledger(teams.site) == []


def test_everything_is_passed_on_exactly(battles):
    teams = battles(2)
    last_legal = lambda view: 8 - view.legal_actions[..., ::-1].argmax(-1)  # noqa: E731 - one line, one use
    trace, _ = play(teams, 12, last_legal)
    played = None
    for view, actions, step in trace:
        for g in range(2):
            battle, t = view.observations[g, 0, :2]
            np.testing.assert_array_equal(view.observations[g], [[battle, t, i, 1] for i in (0, 1)])
            np.testing.assert_array_equal(view.state[g, :17], np.arange(17) + 100 * battle)
            last = np.eye(9)[played[g]] if t else np.zeros((2, 9))
            np.testing.assert_array_equal(view.state[g, 17:], last.ravel())
            odd = int(t) % 2
            legal = [0, 1] + [1 - odd] * 4 + [odd] * 3
            np.testing.assert_array_equal(view.legal_actions[g], [legal, legal])
            assert view.alive[g].all()
            # A battle that isn't won ends with agent 1 dead.
            dead = step.done[g] and not step.won[g]
            np.testing.assert_array_equal(step.final.alive[g], [True, not dead])
            np.testing.assert_array_equal(step.final.legal_actions[g, :, 0], [False, dead])
        played = actions
    units = trace[0][0].state[0, teams.spec.unit_features].reshape(2, 4)
    np.testing.assert_array_equal(units % 100, np.arange(8).reshape(2, 4))


@pytest.mark.parametrize("terminal", [True, False])
def test_results_are_the_games_own(battles, terminal):
    teams = battles(2, time_limit_terminal=terminal)
    _, episodes = play(teams, 40)
    ended = {line["battle"]: line["kind"] for line in fake_sc2.ledger(teams.site)
             if line["event"] == "end"}  # fmt: skip
    assert set(ended.values()) == {"won", "lost", "timeout"}
    assert {battle_of(e): e.won for e in episodes} == {b: k == "won" for b, k in ended.items()}
    for episode in episodes:
        length, kind = fake_sc2.outcome(battle_of(episode))
        assert len(episode) == length
        assert episode.terminated == (kind != "timeout" or terminal)
        # 10 a step and 200 for the win, 20 in all being what the enemies are worth.
        worth = (10 * length + 200 * (kind == "won")) / (fake_sc2.MAX_REWARD / 20)
        np.testing.assert_allclose(episode.episode_return, worth, rtol=1e-6)


def test_rewards_keep_their_scale_when_games_are_launched_again(battles):
    teams = battles()
    for seed in range(3):  # each launches, which adds all health to SMAC's scale once more
        teams.reset(seed)
        reward = teams.step(np.ones((1, 2), int)).rewards[0]
        np.testing.assert_allclose(reward, 10 / (fake_sc2.MAX_REWARD / 20), rtol=1e-6)


def test_illegal_actions_of_a_probe_do_not_end_the_game(battles):
    teams = battles()
    teams.reset()
    for _ in range(3):
        step = teams.step(np.zeros((1, 2), int))
    assert not step.dropped.any()
    assert step.final.observations[0, 0, 1] == 3


def test_reset_keeps_battles_that_have_just_begun(battles):
    teams = battles(2)
    first = teams.reset()
    np.testing.assert_array_equal(teams.reset().observations, first.observations)
    teams.step(stop(first))
    assert (teams.reset().observations[:, 0, 0] > 1).all()


@pytest.mark.parametrize(
    "kind",
    [
        "crash",
        "hang",
        pytest.param("raise", marks=pytest.mark.slow),
        pytest.param("exit", marks=pytest.mark.slow),
    ],
)
def test_a_fault_drops_the_battle_and_nothing_else(battles, kind):
    patience = 1.5 if kind == "hang" else 30  # a busy machine may keep a game waiting, too
    teams = battles(2, {0: [kind, 2], 3: [kind, 1]}, hang_timeout_s=patience)
    trace, episodes = play(teams, 30)
    dropped = [(view, step, g) for view, _, step in trace for g in np.flatnonzero(step.dropped)]
    assert sorted(int(view.observations[g, 0, 0]) for view, _, g in dropped) == [0, 3]
    assert teams.game_restarts == 2
    launches = [line for line in fake_sc2.ledger(teams.site) if line["event"] == "launch"]
    assert len(launches) == 4  # none by SMAC itself
    for view, step, g in dropped:
        assert (step.truncated[g], step.terminated[g], step.won[g]) == (True, False, False)
        assert step.rewards[g] == 0
        np.testing.assert_array_equal(step.final.state[g], view.state[g])
        assert step.view.observations[g, 0, 1] == 0
    by_battle = {battle_of(e): e for e in episodes}
    # Two steps were asked for in battle 0, one was played; in battle 3 none was.
    assert [len(by_battle[b]) for b in (0, 3)] == [1, 0]
    for battle, episode in by_battle.items():
        assert episode.dropped == (battle in (0, 3))
        assert (episode.won is None) == episode.dropped
        if not episode.dropped:
            assert len(episode) == fake_sc2.outcome(battle)[0]
    assert not by_battle[0].terminated
    np.testing.assert_array_equal(by_battle[0].observations[:, 0, 1], [0, 1])


@pytest.mark.parametrize("kind", ["raise", "exit", "crash"])
def test_a_game_that_does_not_begin_is_tried_again(battles, kind):
    teams = battles(1, {0: [kind, 0], 1: [kind, 0]})
    view = teams.reset()
    assert view.observations[0, 0, 0] == 2
    assert view.alive.all()
    assert teams.game_restarts == 2


def test_a_game_that_never_begins_is_given_up(battles, monkeypatch):
    monkeypatch.setattr(sc2, "STARTS", 3)
    teams = battles(2, {battle: ["raise", 0] for battle in range(9)})
    with pytest.raises(RuntimeError, match=r"again and again: .*websocket closed.*rllib doctor"):
        teams.reset()
    assert_nothing_left(teams.site)


@pytest.mark.parametrize("step", [1, 2])
def test_games_lost_all_the_time_are_given_up(battles, monkeypatch, step, capfd):
    """Whether they are played for a while or not; the first one is told."""
    monkeypatch.setattr(sc2, "LOST_IN_A_ROW", 3)
    teams = battles(1, {battle: ["raise", step] for battle in range(9)})
    with pytest.raises(EngineFailed, match=r"again and again: .*websocket closed"):
        play(teams, 20)
    told = capfd.readouterr().err
    assert told.count("A game of StarCraft II was lost (ConnectionError: websocket closed)") == 1


def test_a_battle_that_ends_forgives_those_lost_before(battles, monkeypatch):
    monkeypatch.setattr(sc2, "LOST_IN_A_ROW", 3)
    teams = battles(1, {battle: ["raise", 2] for battle in (0, 1, 3, 4, 6, 7)})
    steps, episodes = play(teams, 40)
    assert sum(step.dropped.sum() for _, _, step in steps) == 6
    assert [battle_of(e) for e in episodes if not e.dropped][:3] == [2, 5, 8]


def test_what_no_launch_can_mend_is_not_tried_again(battles):
    """SMAC itself fails, with an error of a program, before a first battle."""
    teams = battles(1, {0: ["mistake", 0]})
    with pytest.raises(EngineFailed, match=r"cannot begin a battle: KeyError: 'mistake'"):
        teams.reset()
    assert sum(line["event"] == "launch" for line in fake_sc2.ledger(teams.site)) == 1


def test_no_game_goes_through_a_proxy(monkeypatch):
    for name in ("http_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "example.org")
    seen = sc2_process.environment()
    assert not [name for name in seen if name.lower().endswith("_proxy") and name != "no_proxy"]
    assert seen["HOME"] == os.environ["HOME"]


def test_ports_are_kept():
    ports, others = sc2_game.Ports(), sc2_game.Ports()
    picked = [kept.pick() for _ in range(20) for kept in (ports, others)]
    assert len(set(picked)) == len(picked)
    assert set(picked) <= set(sc2_game.PORTS)
    with socket.socket() as listener:  # the game itself can listen there
        listener.bind(("127.0.0.1", picked[0]))
        listener.listen()


def test_more_games_than_processes_are_refused_aloud(battles, capfd):
    teams = battles(12, max_game_processes=3)
    view = teams.reset()
    assert teams.num_games == len(view.state) == teams.num_envs == 3
    told = capfd.readouterr().err
    assert "12 games at once were asked for and 3 are played" in told
    assert "env_config.max_game_processes: 12" in told
    assert "3 game(s) of StarCraft II take about" in told
    assert sum(line["event"] == "launch" for line in fake_sc2.ledger(teams.site)) == 3
    assert SC2Settings.read("3m", {}).max_game_processes == 8


def test_what_all_env_runners_take_is_said(battles, capfd):
    teams = battles(2, max_game_processes=3)
    teams.asked_by_all = (2, 2, 32)
    teams.reset()
    told = capfd.readouterr().err
    [each] = re.findall(r"2 game\(s\) of StarCraft II take about ([\d.]+) GB", told)
    [(games, total)] = re.findall(
        r"The 3 env runners .* play (\d+) at once: about ([\d.]+) GB", told
    )
    assert games == "7"
    assert float(total) == pytest.approx(float(each) * 7 / 2, abs=0.3)


def test_games_that_do_not_fit_in_memory_are_refused(battles, monkeypatch):
    monkeypatch.setattr(sc2.machine, "available_memory", lambda: 1000)
    teams = battles(2)
    with pytest.raises(EngineFailed, match=r"2 game.* num_envs_per_env_runner: 1,"):
        teams.reset()
    assert sum(line["event"] == "launch" for line in fake_sc2.ledger(teams.site)) == 1


@pytest.mark.slow
def test_all_that_smacv2_draws_follows_the_seed():
    """Generators that it makes without a seed, when it is imported and later."""
    code = (
        "import sys, random; from rllib_qatten.envs.battles.sc2_game import seed_generators;"
        "seed_generators(int(sys.argv[1])); import numpy as np;"
        "from numpy.random import default_rng;"
        "print(random.random(), np.random.rand(), default_rng().random(), default_rng().random(),"
        "np.random.default_rng().random(), default_rng(3).random())"
    )

    def drawn(seed):
        words = [sys.executable, "-c", code, str(seed)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()

    first, again, other = drawn(5), drawn(5), drawn(6)
    assert first == again
    assert len(set(first)) == 6
    assert [a == b for a, b in zip(first, other, strict=True)] == [False] * 5 + [True]


def test_the_folder_of_a_game_that_said_nothing_goes_too(tmp_path):
    folder = tmp_path / "game"
    folder.mkdir()
    player = subprocess.Popen(["sleep", "0"], start_new_session=True)
    player.wait()
    watching = os.fork()
    if not watching:
        with contextlib.suppress(BaseException):
            sc2_game.guard(player.pid, str(folder))
        os._exit(0)
    os.waitpid(watching, 0)
    assert not folder.exists()


def test_full_restart_every_so_many_battles(battles):
    teams = battles(1, full_restart_episodes=2)
    _, episodes = play(teams, 40)
    players = {}
    for line in fake_sc2.ledger(teams.site):
        if line["event"] == "end":
            players[line["player"]] = players.get(line["player"], 0) + 1
    assert list(players.values())[:-1] == [2] * (len(players) - 1)
    assert len(players) > 2
    assert len(episodes) == sum(players.values())
    assert teams.game_restarts == 0


def test_seeds_differ_between_games_and_repeat(battles):
    teams = battles(2)
    for seed in (5, 5, 6):
        teams.reset(seed)
    seeds = [line["seed"] for line in fake_sc2.ledger(teams.site) if line["event"] == "launch"]
    assert len(set(seeds[:2])) == 2
    assert set(seeds[2:4]) == set(seeds[:2])
    assert not set(seeds[4:]) & set(seeds[:2])


def test_close_leaves_nothing_and_may_be_repeated(battles):
    teams = battles(2)
    teams.reset()
    assert len({line["game"] for line in fake_sc2.ledger(teams.site) if line["game"]}) == 2
    teams.close()
    assert_nothing_left(teams.site)
    teams.close()
    assert teams.reset().alive.all()


@pytest.mark.parametrize("stuck", [False, True])
def test_games_die_with_a_killed_env_runner(battles, stuck):
    teams = battles(2, {0: ["hang", 1], 1: ["hang", 1]} if stuck else None)
    ready, says = os.pipe()
    runner = os.fork()
    if not runner:
        view = teams.reset()
        os.write(says, b"1")
        if stuck:
            teams.step(stop(view))
        time.sleep(600)
    os.close(says)
    assert os.read(ready, 1)
    pids = [line["game"] for line in fake_sc2.ledger(teams.site) if line["event"] == "begin"]
    assert len(pids) == 2
    assert all(map(fake_sc2.alive, pids))
    # As Ray does when it stops a worker.
    for child in Path(f"/proc/{runner}/task/{runner}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    os.kill(runner, signal.SIGKILL)
    os.waitpid(runner, 0)
    assert_nothing_left(teams.site, seconds=20)


def test_as_rllib_env_a_dropped_game_says_so(battles, monkeypatch):
    battles(1, {0: ["raise", 2]})
    env = make_smac({"map_name": "3m", "engine": "sc2"})
    env.reset(seed=1)
    joint = dict.fromkeys(env.possible_agents, 1)
    env.step(joint)
    *_, terminateds, truncateds, infos = env.step(joint)
    assert (terminateds["__all__"], truncateds["__all__"]) == (False, True)
    assert infos["__common__"] == {"battle_won": False, "dropped": True}
    seen, _ = env.reset()
    assert seen["agent_0"]["observations"][1] == 0
    env.close()


def test_auto_takes_starcraft_where_it_is(battles):
    battles()
    env = make_smac({"map_name": "3m"})
    assert env.engine.startswith("sc2 (")
    env.close()
