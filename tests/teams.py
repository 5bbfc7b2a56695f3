"""Team environments whose games are known beforehand."""

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv


class ScriptedBattle(MultiAgentEnv):
    """Games of scripted lengths and outcomes; agent i dies after step `deaths[i]`.

    Config: `lengths` (cycled through), `wins` (cycled), `limit` (time limit: longer games are
    truncated), `deaths`, `reward` per step, `break_at` (a step at which `broken` becomes NaN).
    """

    is_battle = True
    engine = "scripted battle"

    def __init__(self, config=None):
        super().__init__()
        self.config = {
            "agents": 2,
            "lengths": [3],
            "wins": [True],
            "limit": None,
            "deaths": [],
            "reward": 1.0,
            "break_at": None,
            "broken": "rewards",
            **(config or {}),
        }
        self.agents = self.possible_agents = [f"unit_{i}" for i in range(self.config["agents"])]
        box = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
        space = gym.spaces.Dict({"observations": box, "action_mask": gym.spaces.MultiBinary(4)})
        self.observation_spaces = dict.fromkeys(self.agents, space)
        self.action_spaces = dict.fromkeys(self.agents, gym.spaces.Discrete(4))
        n = len(self.agents)
        self.state_space = gym.spaces.Box(-np.inf, np.inf, (2 * n + 1,), np.float32)
        self.unit_features = slice(0, 2 * n)
        self.episode_limit = self.config["limit"]
        self.game = -1
        self.seeds = []

    def _of_game(self, key):
        values = self.config[key]
        return values[self.game % len(values)]

    def _alive(self, i):
        deaths = self.config["deaths"]
        return i >= len(deaths) or self.t <= deaths[i]

    def _seen(self):
        seen, infos = {}, {}
        for i, agent in enumerate(self.agents):
            alive = self._alive(i)
            mask = np.array([0, 1, 1, self.t % 2] if alive else [1, 0, 0, 0], np.int8)
            plain = np.array([self.game, self.t, i], np.float32) * alive
            if self.config["broken"] == "observations" and self.t == self.config["break_at"]:
                plain[1] = np.nan
            seen[agent] = {"observations": plain, "action_mask": mask}
            infos[agent] = {"alive": alive}
        return seen, infos

    def state(self):
        units = [[self._alive(i), self.t] for i in range(len(self.agents))]
        return np.array([*np.ravel(units), self.game], np.float32)

    def reset(self, *, seed=None, options=None):
        self.game += 1
        self.t = 0
        if seed is not None:
            self.seeds.append(seed)
        return self._seen()

    def step(self, action_dict):
        seen, _ = self._seen()
        for agent, action in action_dict.items():
            assert seen[agent]["action_mask"][action], f"{agent} played illegal {action}"
        self.t += 1
        over = self.t >= self._of_game("lengths")
        cut = not over and self.config["limit"] is not None and self.t >= self.config["limit"]
        seen, infos = self._seen()
        if over:
            infos["__common__"] = {"battle_won": self._of_game("wins")}
        reward = self.config["reward"]
        if self.config["broken"] == "rewards" and self.t == self.config["break_at"]:
            reward = float("nan")
        rewards = dict.fromkeys(self.agents, reward)
        return seen, rewards, {"__all__": over}, {"__all__": cut}, infos
