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


class Skirmish(MultiAgentEnv):
    """A battle whose observations are made of units, for any number of agents and enemies.

    Actions: 0 and 1 do nothing, 2 + j attacks enemy j, who takes 1 + j % 2 attacks. Config:
    `agents`, `enemies`, `limit`, `numbers` of a row, `declares`: whether it says what they are.
    """

    is_battle = True
    engine = "skirmish"

    def __init__(self, config=None):
        super().__init__()
        given = {"agents": 3, "enemies": 2, "limit": 6, "numbers": 3, "declares": True}
        self.config = given | (config or {})
        self.n, self.e = self.config["agents"], self.config["enemies"]
        self.size, self.episode_limit = self.config["numbers"], self.config["limit"]
        self.agents = self.possible_agents = [f"unit_{i}" for i in range(self.n)]
        length = 2 + (self.n - 1 + self.e) * self.size
        box = gym.spaces.Box(-np.inf, np.inf, (length,), np.float32)
        actions = gym.spaces.Discrete(2 + self.e)
        mask = gym.spaces.MultiBinary(2 + self.e)
        space = gym.spaces.Dict({"observations": box, "action_mask": mask})
        self.observation_spaces = dict.fromkeys(self.agents, space)
        self.action_spaces = dict.fromkeys(self.agents, actions)
        self.state_space = gym.spaces.Box(-np.inf, np.inf, (self.e + 1,), np.float32)
        enemies = 2 + (self.n - 1) * self.size
        if self.config["declares"]:
            self.entities = {
                "own": [(0, 2)],
                "teammates": {"start": 2, "count": self.n - 1, "size": self.size},
                "enemies": {"start": enemies, "count": self.e, "size": self.size},
                "attacks": 2,
            }

    def _row(self, health, of):
        return np.resize([health, of, health * of], self.size) * (health > 0)

    def _seen(self):
        seen = {}
        for i, agent in enumerate(self.agents):
            mates = [self._row(1, k + 1) for k in range(self.n) if k != i]
            enemies = [self._row(h, j + 1) for j, h in enumerate(self.health)]
            plain = np.concatenate([[self.t, i], *mates, *enemies]).astype(np.float32)
            mask = np.array([1, 1, *(h > 0 for h in self.health)], np.int8)
            seen[agent] = {"observations": plain, "action_mask": mask}
        return seen

    def state(self):
        return np.array([*self.health, self.t], np.float32)

    def get_state(self):
        return self.t, self.health

    def set_state(self, state):
        self.t, self.health = state

    def reset(self, *, seed=None, options=None):
        self.t, self.health = 0, [1 + j % 2 for j in range(self.e)]
        return self._seen(), {}

    def step(self, action_dict):
        self.t += 1
        before = sum(self.health)
        for action in action_dict.values():
            if action > 1:
                self.health[action - 2] = max(0, self.health[action - 2] - 1)
        over = not any(self.health)
        late = not over and self.t >= self.episode_limit
        infos = {"__common__": {"battle_won": True}} if over else {}
        rewards = dict.fromkeys(self.agents, float(before - sum(self.health)))
        return self._seen(), rewards, {"__all__": over}, {"__all__": late}, infos
