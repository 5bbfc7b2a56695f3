"""RLlib's callbacks of episodes and steps, as an env runner calls them."""

import pickle
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from rllib_qatten import QMIXConfig
from rllib_qatten.rollout.env_runner import TeamEnvRunner
from tests.teams import ScriptedBattle

HOOKS = ("on_episode_created", "on_episode_start", "on_episode_step", "on_episode_end")


class Diary(MultiAgentEnv):
    """Keeps all it ever said; b leaves after its step `leaves`, a plays on to step `length`."""

    made: ClassVar[list] = []

    def __init__(self, config=None):
        super().__init__()
        self.config = {"leaves": 2, "length": 4, "cut": False} | dict(config or {})
        self.agents = self.possible_agents = ["a", "b"]
        box = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.observation_spaces = dict.fromkeys(self.agents, box)
        self.action_spaces = dict.fromkeys(self.agents, gym.spaces.Discrete(3))
        self.games = []
        self.rng = np.random.default_rng(len(Diary.made))
        Diary.made.append(self)

    def reset(self, *, seed=None, options=None):
        self.t = 0
        seen = {agent: self.rng.random(2, np.float32) for agent in self.agents}
        infos = {"a": {"begun": len(self.games)}, "__common__": {"map": "north"}}
        self.games.append({"seen": [seen], "infos": [infos], "sent": [], "rewards": []})
        return seen, infos

    def step(self, action_dict):
        self.t += 1
        b_is_in = self.t <= self.config["leaves"]
        seen = {"a": self.rng.random(2, np.float32)}
        if self.t < self.config["leaves"]:
            seen["b"] = self.rng.random(2, np.float32)
        rewards = {"a": float(self.rng.random())} | ({"b": 1.0} if b_is_in else {})
        infos = {"a": {"t": self.t, "sent": dict(action_dict)}, "__common__": {"t": self.t}}
        over = self.t == self.config["length"]
        game = self.games[-1]
        for key, value in zip(game, (seen, infos, dict(action_dict), rewards), strict=True):
            game[key].append(value)
        terminateds = {"b": self.t == self.config["leaves"], "__all__": over}
        truncateds = {"__all__": False}
        if self.config["cut"]:
            terminateds, truncateds = truncateds, terminateds
        return seen, rewards, terminateds, truncateds, infos


class Told(RLlibCallback):
    """Notes every call."""

    calls: ClassVar[list] = []

    def __init__(self):
        self.calls.clear()

    def on_environment_created(self, *, env_runner, env, env_context, metrics_logger, **kwargs):
        assert env is env_runner.env.unwrapped
        self.calls.append(("on_environment_created", env_context.worker_index, env.num_envs))


def noting(hook):
    def note(self, *, episode, env_runner, env, env_index, rl_module, metrics_logger, **kwargs):
        assert (env, rl_module) == (env_runner.env, env_runner.module)
        self.calls.append((hook, env_index, len(episode), episode))
        if hook == "on_episode_end":
            assert kwargs["prev_episode_chunks"] == []
            metrics_logger.log_value("my_return", episode.get_return(), reduce="sum")

    return note


for _hook in HOOKS:
    setattr(Told, _hook, noting(_hook))


def runner(env=ScriptedBattle, env_config=None, games=2, evaluation=False, **callbacks):
    config = (
        QMIXConfig()
        .environment(env, env_config=env_config or {})
        .env_runners(num_env_runners=0, num_envs_per_env_runner=games)
        .training(hidden_size=8, team_reward="sum")
        .callbacks(**callbacks)
        .debugging(seed=3)
    )
    config.validate()
    config.in_evaluation = evaluation
    return TeamEnvRunner(config=config)


def test_the_calls_of_a_game_come_in_rllibs_order():
    played = runner(env_config={"lengths": [2, 3]}, games=1, callbacks_class=Told)
    played.sample(num_episodes=2)
    assert [call[:3] for call in Told.calls] == [
        ("on_environment_created", 0, 1),
        ("on_episode_created", 0, 0),
        ("on_episode_start", 0, 0),
        ("on_episode_step", 0, 1),
        ("on_episode_step", 0, 2),
        ("on_episode_end", 0, 2),
        ("on_episode_created", 0, 0),
        ("on_episode_start", 0, 0),
        ("on_episode_step", 0, 1),
        ("on_episode_step", 0, 2),
        ("on_episode_step", 0, 3),
        ("on_episode_end", 0, 3),
        ("on_episode_created", 0, 0),
        ("on_episode_start", 0, 0),
    ]
    ids = [call[3].id_ for call in Told.calls[1:]]
    assert len(set(ids)) == 3
    assert ids == sorted(ids, key=ids.index)


def test_the_last_step_is_seen_before_the_env_begins_anew():
    seen = []

    def on_end(*, env, env_index, episode, **kwargs):
        seen.append((env.envs[env_index].t, len(episode)))

    runner(env_config={"lengths": [3, 5]}, on_episode_end=on_end).sample(num_episodes=4)
    assert set(seen) == {(3, 3), (5, 5)}


def test_what_is_set_before_a_game_begins_holds_in_it():
    def harder(*, env, env_index, **kwargs):
        env.unwrapped.envs[env_index].config["lengths"] = [7]

    episodes = runner(on_episode_created=harder).sample(num_episodes=2)
    assert [len(episode) for episode in episodes] == [7, 7]


@pytest.mark.parametrize("cut", [False, True])
def test_the_episode_says_what_the_env_said(cut):
    ended = []
    played = runner(Diary, {"cut": cut}, on_episode_end=lambda *, episode, env, env_index, **_: (
        ended.append((episode, env.envs[env_index].games[-1]))
    ))  # fmt: skip
    episodes = played.sample(num_episodes=4)
    assert len(ended) == len(episodes) == 4
    for (episode, diary), ours in zip(ended, episodes, strict=True):
        assert isinstance(episode, MultiAgentEpisode)
        assert len(episode) == episode.env_steps() == 4
        assert episode.is_done
        assert (episode.is_terminated, episode.is_truncated) == (not cut, cut)
        for t in range(5):
            got, said = episode.get_observations(t), diary["seen"][t]
            assert got.keys() >= said.keys()
            for agent in said:
                np.testing.assert_array_equal(got[agent], said[agent])
            assert episode.get_infos(t)["a"] == diary["infos"][t]["a"]
        for t in range(4):
            assert episode.get_actions(t) == diary["sent"][t]
            assert episode.get_rewards(t) == pytest.approx(diary["rewards"][t])
        assert episode.common_infos == {"t": 4}
        assert len(episode.agent_episodes["b"]) == 2
        assert episode.agent_episodes["b"].is_done
        assert episode.get_rewards(agent_ids="b") == {"b": [1.0, 1.0]}
        assert episode.module_for("a") == "default_policy"
        total = sum(sum(rewards.values()) for rewards in diary["rewards"])
        assert episode.get_return() == pytest.approx(total)
        assert episode.get_return() == ours.get_return()  # to the bit what is reported
        assert episode.agent_steps() == 6
        assert episode.id_ == ours.id_


def test_an_agent_that_is_back_does_not_end_the_run():
    class Revives(Diary):
        def step(self, action_dict):
            seen, rewards, *rest = super().step(action_dict)
            seen.setdefault("b", np.ones(2, np.float32))
            return seen, {"a": 0.0, "b": 0.0} | rewards, *rest

    ends = []
    played = runner(Revives, on_episode_end=lambda *, episode, **_: ends.append(episode))
    played.sample(num_episodes=2)
    assert [len(episode.agent_episodes["b"]) for episode in ends] == [2, 2]
    assert [len(episode.agent_episodes["a"]) for episode in ends] == [4, 4]


def test_games_of_arrays_look_like_those_of_multi_agent_envs():
    ends = []
    config = {"map_name": "3m", "engine": "smax"}
    played = runner("smac", config, on_episode_end=lambda *, episode, **_: ends.append(episode))
    episodes = played.sample(num_episodes=2)
    for episode, ours in zip(ends, episodes, strict=True):
        assert len(episode) == len(ours)
        agents = played.env.spec.agents
        for i, agent in enumerate(agents):
            mine = episode.get_observations(agent_ids=agent)[agent]
            np.testing.assert_array_equal(
                [o["observations"] for o in mine], ours.observations[:, i]
            )
            np.testing.assert_array_equal(
                [o["action_mask"] for o in mine], ours.legal_actions[:, i]
            )
            assert episode.get_actions()[agent] == ours.actions[:, i].tolist()
            alive = [info["alive"] for info in episode.get_infos(agent_ids=agent)[agent]]
            assert alive == ours.alive[:, i].tolist()
        assert episode.common_infos == {"battle_won": ours.won}
        assert episode.get_return() == ours.episode_return
    with pytest.raises(AttributeError, match=r"smax.*no env of one game.*make_env\(\)"):
        played.env.unwrapped.envs  # noqa: B018 - it raises


@pytest.mark.parametrize("games", [1, 2, 4])
def test_an_evaluation_tells_of_exactly_the_games_that_count(games):
    played = runner(
        env_config={"lengths": [2, 9, 3]}, games=games, evaluation=True, callbacks_class=Told
    )
    for _ in range(2):
        Told.calls.clear()
        episodes = played.sample(num_episodes=3)
        ends = [call[3] for call in Told.calls if call[0] == "on_episode_end"]
        assert sorted(e.id_ for e in ends) == sorted(e.id_ for e in episodes)
        assert len(ends) == 3
        for hook in ("on_episode_created", "on_episode_start"):
            assert sum(call[0] == hook for call in Told.calls) == 3
        assert played.get_metrics()["my_return"].peek() == sum(e.get_return() for e in episodes)


def test_one_class_a_list_functions_and_both():
    said = []

    class Other(RLlibCallback):
        def on_episode_end(self, **kwargs):
            said.append("other")

    played = runner(
        games=1, callbacks_class=[Told, Other],
        on_episode_end=[lambda **_: said.append("f"), lambda **_: said.append("g")],
    )  # fmt: skip
    played.sample(num_episodes=1)
    assert said == ["other", "f", "g"]
    assert "on_episode_end" in {call[0] for call in Told.calls}


@pytest.mark.parametrize(
    ("callbacks", "hears"),
    [
        ({}, False),
        ({"callbacks_class": RLlibCallback}, False),
        ({"on_sample_end": lambda **_: None}, False),
        ({"on_episode_step": lambda **_: None}, True),
        ({"callbacks_class": Told}, True),
    ],
)
def test_nothing_is_kept_when_nobody_listens(callbacks, hears):
    played = runner(**callbacks)
    episodes = played.sample(num_episodes=2)
    assert (played.env.before_resets is not None) is hears
    assert all((episode.id_ is not None) is hears for episode in episodes)


def test_custom_data_reaches_the_end_of_the_sample_and_goes_no_further():
    class Keeps(RLlibCallback):
        def on_episode_step(self, *, episode, **kwargs):
            episode.custom_data.setdefault("steps", []).append(len(episode))

        def on_sample_end(self, *, samples, metrics_logger, **kwargs):
            for episode in samples:
                assert episode.is_done
                assert episode.custom_data["steps"] == [1, 2, 3]
                episode.get_rewards()[:] = 5.0  # what is changed here is learned from

    episodes = runner(callbacks_class=Keeps).sample(num_episodes=2)
    assert [episode.custom_data for episode in episodes] == [None, None]
    assert [episode.rewards.tolist() for episode in episodes] == [[5.0] * 3] * 2


@pytest.mark.parametrize("env", [ScriptedBattle, "smac"])
def test_a_resumed_game_goes_on_for_the_callbacks_too(env):
    config = {"lengths": [6]} if env is ScriptedBattle else {"map_name": "3m", "engine": "smax"}

    def ends_of(played):
        ends = []
        played.config.callbacks_on_episode_end = lambda *, episode, **_: ends.append(episode)
        while len(ends) < 2:
            played.sample(num_timesteps=2)
        return [
            (len(e), e.get_return(), e.id_, e.custom_data, e.get_actions(), e.get_rewards())
            for e in ends[:2]
        ]

    def steps(*, episode, **kwargs):
        episode.custom_data["steps"] = episode.custom_data.get("steps", 0) + 1

    first, second = (
        runner(env, config, on_episode_step=steps, on_episode_end=lambda **_: None)
        for _ in range(2)
    )
    first.sample(num_timesteps=6)
    saved = pickle.loads(pickle.dumps(first.get_games()))
    second.sample(num_timesteps=2)
    assert not second.set_games(saved, 6)
    assert ends_of(first) == ends_of(second)


def test_games_that_were_saved_without_callbacks_begin_for_them_where_they_are():
    quiet = runner(env_config={"lengths": [6]}, games=1)
    quiet.sample(num_timesteps=4)
    ends = []
    heard = runner(
        env_config={"lengths": [6]}, games=1, on_episode_end=lambda *, episode, **_: ends.append(
            (len(episode), episode.get_return(), len(episode.get_observations()["unit_0"]))
        ),
    )  # fmt: skip
    assert not heard.set_games(quiet.get_games(), 4)
    heard.sample(num_episodes=1)
    assert ends == [(2, 4.0, 3)]  # a reward of 1 for each of two agents


def test_games_made_anew_have_other_settings():
    played = runner(env_config={"lengths": [3]}, callbacks_class=Told)
    played.sample(num_episodes=2)
    played.config.environment(env_config={"lengths": [5]})
    played.make_env()
    assert [len(episode) for episode in played.sample(num_episodes=2)] == [5, 5]
    assert [call[0] for call in Told.calls].count("on_environment_created") == 2
    played.config.environment(env_config={"agents": 3})
    with pytest.raises(ValueError, match=r"anew with 3 agents.*policy is for 2 agents"):
        played.make_env()
