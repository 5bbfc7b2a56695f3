"""Python environments that raise, hang or never end."""

import gc
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from ray.rllib.env.env_errors import StepFailedRecreateEnvError

from rllib_qatten.envs import EnvFailed, EnvRules, TeamContractError, make_teams, python_games
from tests.teams import ScriptedBattle


class Frail(ScriptedBattle):
    """Raises `error` in its calls of `where` ("step", "reset", "state") whose number is in `at`.

    Calls are counted over all envs made since `Frail.begin`.
    """

    calls = 0
    made = 0
    closed = 0

    def __init__(self, config=None):
        plan = {"where": "step", "at": (), "error": ConnectionError("simulator lost")}
        self.plan = plan | {k: v for k, v in (config or {}).items() if k in plan}
        super().__init__({k: v for k, v in (config or {}).items() if k not in plan})
        Frail.made += 1

    @staticmethod
    def begin():
        Frail.calls = Frail.made = Frail.closed = 0

    def _call(self, where):
        if where == self.plan["where"]:
            Frail.calls += 1
            if Frail.calls in self.plan["at"]:
                raise self.plan["error"]

    def reset(self, **kwargs):
        self._call("reset")
        return super().reset(**kwargs)

    def step(self, action_dict):
        self._call("step")
        return super().step(action_dict)

    def state(self):
        self._call("state")
        return super().state()

    def close(self):
        Frail.closed += 1


def frail(games=2, restart=True, seed=5, **config):
    """Games that have begun, with calls counted from then on."""
    Frail.begin()
    checked = Frail.calls
    teams = make_teams(Frail, config | {"at": ()}, games, rules=EnvRules(restart_failed=restart))
    for env in teams.envs:
        env.plan["at"] = config["at"]
    teams._games._make = lambda: Frail(config)
    Frail.begin()
    assert checked == 0
    return teams, teams.reset(seed)


def play(teams, view, steps):
    """Each step of games in which everybody plays the first legal action."""
    for _ in range(steps):
        step = teams.step(view.legal_actions.argmax(-1))
        view = step.view
        yield step


@pytest.mark.parametrize("where", ["step", "state"])
@pytest.mark.parametrize("error", [ConnectionError("simulator lost"), SystemExit(3)], ids=str)
def test_an_env_that_raises_is_made_anew_and_its_game_dropped(where, error, capsys):
    at = {"step": (4,), "state": (6,)}[where]  # the second game's second step
    teams, view = frail(where=where, at=at, error=error, lengths=[3])
    first, second, third = play(teams, view, 3)
    assert not first.done.any()
    assert second.done.tolist() == second.truncated.tolist() == [False, True]
    assert second.dropped.tolist() == [False, True]
    assert second.rewards.tolist() == [1, 0]
    np.testing.assert_array_equal(second.final.observations[1], first.view.observations[1])
    np.testing.assert_array_equal(second.final.legal_actions[1], first.view.legal_actions[1])
    assert second.view.observations[1, :, 1].tolist() == [0, 0]  # step 0 of another game
    assert third.done.tolist() == [True, False]
    assert (teams.game_restarts, Frail.made, Frail.closed) == (1, 1, 1)
    told = f"scripted battle raised {type(error).__name__}.*{error}.* in step 2 of a game"
    assert re.search(told, capsys.readouterr().err)


def test_one_that_raises_in_reset_is_made_anew_at_once():
    teams, view = frail(where="reset", at=(3, 4), lengths=[2], games=1)
    steps = list(play(teams, view, 6))
    assert [bool(step.done[0]) for step in steps] == [False, True] * 3
    assert not any(step.dropped.any() for step in steps)
    assert teams.game_restarts == 2


def test_new_envs_are_seeded_alike_in_every_run():
    seeds = []
    for _ in range(2):
        teams, view = frail(at=(1, 3), games=1)
        list(play(teams, view, 4))
        seeds.append(teams.envs[0].seeds)
        assert len(seeds[-1]) == 1
    assert seeds[0] == seeds[1]


def test_without_leave_to_restart_the_error_names_env_step_and_cause():
    teams, view = frail(restart=False, at=(4,))
    with pytest.raises(EnvFailed) as caught:
        list(play(teams, view, 3))
    assert re.match(
        r"scripted battle raised ConnectionError: simulator lost \(\S+\.py line \d+, in \w+\) in "
        r"step 2 of a game. In training, fault_tolerance\(restart_failed_sub_environments=True\)",
        str(caught.value),
    )
    assert isinstance(caught.value.__cause__, ConnectionError)


@pytest.mark.parametrize("where", ["step", "reset"])
def test_one_that_always_fails_is_given_up(where):
    teams, view = frail(where=where, at=range(2, 10_000), games=1)
    with pytest.raises(EnvFailed, match=r"last of 10 faults in a row without a game played"):
        list(play(teams, view, 100))


def test_one_that_can_not_be_made_anew_is_given_up():
    teams, view = frail(at=(2,), games=1)

    def make():
        raise OSError("no licence")

    teams._games._make = make
    with pytest.raises(EnvFailed, match=r"OSError: no licence \(.*\) in its constructor"):
        list(play(teams, view, 3))


def test_faults_between_games_that_end_are_no_row(capsys):
    # One game in two is lost, many more times than are allowed in a row.
    teams, view = frail(at=range(4, 400, 4), games=1, lengths=[2])
    steps = list(play(teams, view, 120))
    dropped = sum(int(step.dropped[0]) for step in steps)
    ended = sum(int(step.terminated[0]) for step in steps)
    assert dropped == teams.game_restarts == 30
    assert ended == 30
    assert 3 < capsys.readouterr().err.count("recreated") < 10  # hundreds would bury the rest


def test_rllibs_error_for_it_is_not_worth_a_message(capsys):
    teams, view = frail(at=(2,), error=StepFailedRecreateEnvError("again"))
    assert any(step.dropped.any() for step in play(teams, view, 2))
    assert teams.game_restarts == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("where", ["step", "reset"])
def test_the_check_is_begun_anew_too(where, capsys):
    Frail.begin()
    config = {"where": where, "at": (2, 9), "lengths": [3]}
    teams = make_teams(Frail, config, 2, rules=EnvRules(restart_failed=True))
    assert Frail.made == 4
    assert capsys.readouterr().err.count("in its check and is recreated") == 2
    assert not {"step", "reset"} & vars(teams.envs[0]).keys()
    Frail.begin()
    with pytest.raises(TeamContractError, match="simulator lost"):
        make_teams(Frail, config, 2)
    Frail.begin()
    with pytest.raises(TeamContractError, match="simulator lost"):
        make_teams(Frail, config | {"at": range(1, 999)}, 2, rules=EnvRules(restart_failed=True))
    assert Frail.made == 10


def test_a_game_without_an_end_is_cut_and_its_length_known():
    rules = EnvRules(max_episode_steps=7)
    teams = make_teams(ScriptedBattle, {"lengths": [10**9, 3]}, 1, rules=rules)
    teams.envs[0].game = -1
    assert teams.spec.episode_limit == 7
    steps = list(play(teams, teams.reset(), 17))
    ends = [t for t, step in enumerate(steps, 1) if step.done[0]]
    assert ends == [7, 10, 17]
    assert [bool(steps[t - 1].truncated[0]) for t in ends] == [True, False, True]
    assert not any(step.dropped.any() for step in steps)


def test_a_resumed_game_is_cut_at_the_same_step():
    rules = EnvRules(max_episode_steps=5)
    first, second = (
        make_teams(ScriptedBattle, {"lengths": [99]}, 1, rules=rules) for _ in range(2)
    )
    view = first.reset()
    *_, step = play(first, view, 3)
    second.reset()
    second.set_state(first.get_state())
    for teams in (first, second):
        assert [bool(s.truncated[0]) for s in play(teams, step.view, 3)] == [False, True, False]


def test_engines_end_their_own_games():
    with pytest.raises(ValueError, match=r"max_episode_steps is for Python.*smax.*60 steps"):
        make_teams(
            "smac", {"map_name": "3m", "engine": "smax"}, 2, rules=EnvRules(max_episode_steps=9)
        )


def test_a_game_without_an_end_is_told_of_once(monkeypatch, capsys):
    monkeypatch.setattr(python_games, "ENDLESS_STEPS", 20)
    teams = make_teams(ScriptedBattle, {"lengths": [10**9]}, 2)
    view = teams.reset()
    list(play(teams, view, 19))
    assert capsys.readouterr().err == ""
    list(play(teams, view, 30))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "scripted battle has played 20 steps of a game without an end" in said
    assert "max_episode_steps" in said


@pytest.mark.parametrize("where", ["step", "reset"])
def test_a_call_that_does_not_come_back_is_named(where, monkeypatch, capsys):
    monkeypatch.setattr(python_games, "LONG_CALL_S", 0.4)

    class Slow(ScriptedBattle):
        slow = False

        def reset(self, **kwargs):
            if self.slow and where == "reset":
                time.sleep(2.0)
            return super().reset(**kwargs)

        def step(self, action_dict):
            if self.slow and where == "step" and self.t == 1:
                time.sleep(2.0)
            return super().step(action_dict)

    teams = make_teams(Slow, {}, 1)
    view = teams.reset()
    list(play(teams, view, 2))
    assert capsys.readouterr().err == ""
    Slow.slow = True
    list(play(teams, teams.reset(), 2))
    said = capsys.readouterr().err.splitlines()
    assert 1 < len(said) < 4  # after 0.4, 0.8 and 1.6 seconds
    call = {"step": "step() of scripted battle (game 0, step 2)"}.get(
        where, "reset() of scripted battle (game 0)"
    )
    assert all(call in line and "hasn't returned for" in line for line in said)


def test_the_watch_ends_with_its_vector():
    before = set(threading.enumerate())
    teams = make_teams(ScriptedBattle, {}, 1)
    watches = set(threading.enumerate()) - before
    assert watches
    del teams
    gc.collect()
    for watch in watches:
        watch.join(timeout=10)
        assert not watch.is_alive()


HANGS = """
import time
from rllib_qatten.envs import EnvRules, make_teams
from tests.teams import ScriptedBattle
class Hangs(ScriptedBattle):
    def step(self, action_dict):
        if self.config["reward"] == 2.0:
            time.sleep(600)
        return super().step(action_dict)
teams = make_teams(Hangs, {}, 2, rules=EnvRules(hang_timeout_s=0.5))
view = teams.reset()
teams.envs[1].config["reward"] = 2.0
teams.step(view.legal_actions.argmax(-1))
"""


def test_a_process_that_may_end_does_so():
    ended = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert "step() of scripted battle (game 1, step 1) hasn't returned" in ended.stderr
