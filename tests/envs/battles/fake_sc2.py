"""A scripted stand-in for the package `smac`: its env's interface, known battles, faults on demand.

`install` makes a folder that imports as the StarCraft project's `smac` and as `pysc2`, and a
StarCraft II installation without a game. This file becomes `smac/env/starcraft2/starcraft2.py`, so
it imports nothing but the standard library and numpy. Battles are numbered over all processes; what
happens in battle k is `SCRIPT[...]` of k, so that the truth about every run is known.
"""

import fcntl
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

N, ENEMIES, LIMIT = 2, 3, 9
difficulties = dict.fromkeys("123456789A")
ACTIONS = 6 + ENEMIES
HEALTH = (45, 40, 5)
MAX_REWARD = ENEMIES * 10 + 200 + sum(HEALTH)


def outcome(battle):
    """Length in steps and how it ends: "won", "lost" or "timeout"."""
    kinds = ("won", "lost", "won", "timeout", "lost")
    kind = kinds[battle % len(kinds)]
    return (LIMIT if kind == "timeout" else 3 + battle % 4), kind


def install(folder, faults=None):
    """Makes the folders.

    Args:
        folder: Where to.
        faults: Battle -> [kind, step]; step 0 is its reset.

    Returns:
        What goes on sys.path, and SC2PATH.
    """
    site, game = folder / "site", folder / "game"
    inner = site / "smac" / "env" / "starcraft2"
    inner.mkdir(parents=True)
    (site / "smac" / "__init__.py").touch()
    (inner / "__init__.py").touch()
    (inner.parent / "__init__.py").write_text(
        "from smac.env.starcraft2.starcraft2 import StarCraft2Env\n"
    )
    (inner / "starcraft2.py").write_text(Path(__file__).read_text())
    (inner / "faults.json").write_text(json.dumps(faults or {}))
    configs = site / "pysc2" / "run_configs"
    configs.mkdir(parents=True)
    (configs.parent / "__init__.py").touch()
    (configs / "lib.py").write_text(
        "from types import SimpleNamespace\n"
        "VERSIONS = {'4.10.0': SimpleNamespace(game_version='4.10.0', build_version=75689)}\n"
    )
    (configs / "__init__.py").write_text(
        "from types import SimpleNamespace\n"
        "def get(version=None):\n"
        "    return SimpleNamespace(\n"
        "        version=SimpleNamespace(build_version=75689),\n"
        "        get_versions=lambda: {'4.10.0': None, 'latest': None},\n"
        "    )\n"
    )
    for name, version in (("SMAC", "1.0.0"), ("pysc2", "4.0.0")):
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    binary = game / "Versions" / "Base75689" / "SC2_x64"
    binary.parent.mkdir(parents=True)
    binary.touch(mode=0o755)
    maps = game / "Maps" / "SMAC_Maps"
    maps.mkdir(parents=True)
    for name in ("3m", "3s5z"):
        (maps / f"{name}.SC2Map").touch()
    return site, game


def ledger(site):
    """All that happened in all processes, in order."""
    file = site / "smac" / "env" / "starcraft2" / "ledger"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def alive(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second while it is read
        return False


class StarCraft2Env:
    """Two agents against three; agent 1 dies in the last step of a battle that isn't won."""

    def __init__(
        self,
        map_name="8m",
        step_mul=8,
        difficulty="7",
        game_version=None,
        seed=None,
        continuing_episode=False,
        obs_instead_of_state=False,
        obs_timestep_number=False,
        reward_sparse=False,
        reward_death_value=10,
        reward_win=200,
        reward_scale=True,
        heuristic_ai=False,
        replay_dir="",
        replay_prefix="",
    ):
        self.map_name, self.game_version, self._seed = map_name, game_version, seed
        self.continuing_episode, self.reward_scale = continuing_episode, reward_scale
        self.obs_instead_of_state = obs_instead_of_state
        self.obs_timestep_number = obs_timestep_number
        self.n_agents, self.n_enemies = N, ENEMIES
        self.reward_death_value, self.reward_win = reward_death_value, reward_win
        self.max_reward = ENEMIES * reward_death_value + reward_win
        self.enemies, self.t, self.battle = {}, 0, None
        self._game, self._ended = None, 0
        self.replay_dir, self.replay_prefix = replay_dir, replay_prefix
        self._faults = json.loads(Path(__file__).with_name("faults.json").read_text())

    def get_env_info(self):
        return {
            "state_shape": 4 * N + 3 * ENEMIES + N * ACTIONS,
            "obs_shape": 4,
            "n_actions": ACTIONS,
            "n_agents": N,
            "episode_limit": LIMIT,
            "agent_features": ["health", "energy/cooldown", "rel_x", "rel_y"],
            "enemy_features": ["health", "rel_x", "rel_y"],
        }

    def _write(self, event, **more):
        """Adds a line; a beginning gets the next battle's number."""
        path = Path(__file__).with_name("ledger")
        with path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            begun = sum('"begin"' in line for line in file)
            pids = {"player": os.getpid(), "game": self._game and self._game.pid}
            line = {"event": event, **pids, "folder": tempfile.gettempdir(), **more}
            file.write(json.dumps(line) + "\n")
        return begun

    def _launch(self):
        tempfile.mkdtemp(prefix="sc-")
        if self._game:
            self._game.kill()
        self._game = subprocess.Popen(["sleep", "600"])
        self._write("launch", seed=self._seed)

    def full_restart(self):
        self._launch()

    def _fault(self):
        kind, step = self._faults.get(str(self.battle), (None, None))
        if step != self.t:
            return False
        if kind == "exit":
            os._exit(139)
        if kind == "hang":
            time.sleep(600)
        if kind == "mistake":
            raise KeyError(kind)
        if kind == "raise":
            raise ConnectionError("websocket closed")
        return kind == "crash"

    def reset(self):
        if not self._ended:
            self._launch()
            self.max_reward += sum(HEALTH)
        self.t = 0
        self.battle = self._write("begin")
        self.dead = False
        self.last = np.zeros((N, ACTIONS))
        if self._fault():
            self.full_restart()
            self.dead = True
        self.enemies = {
            k: SimpleNamespace(health_max=health, shield_max=0) for k, health in enumerate(HEALTH)
        }
        return self.get_obs(), self.get_state()

    def step(self, actions):
        for legal, action in zip(self.get_avail_actions(), actions, strict=True):
            assert legal[action] == 1, f"illegal action {action}"
        self.t += 1
        if self._fault():
            self.full_restart()
            return 0, True, {}
        self.last = np.eye(ACTIONS)[actions]
        length, kind = outcome(self.battle)
        over = self.t >= length
        info = {"battle_won": over and kind == "won", "dead_allies": 0, "dead_enemies": 0}
        self.dead = over and kind != "won"
        reward = 10 + self.reward_win * info["battle_won"]
        if self.reward_scale:
            reward /= self.max_reward / 20
        if over:
            self._ended += 1
            self._write("end", battle=self.battle, kind=kind)
            if kind == "timeout" and self.continuing_episode:
                info["episode_limit"] = True
        return reward, over, info

    def save_replay(self):
        """As pysc2 does: named by the time, in the game's own folder unless another is given."""
        if Path(__file__).with_name("no_replay").exists():
            raise ConnectionError("websocket closed")
        content = {"map": self.map_name, "player": os.getpid(), "battles": self._ended}
        name = f"{self.replay_prefix or self.map_name}_2026-01-01-00-00-00.SC2Replay"
        Path(os.environ["SC2PATH"], "Replays", self.replay_dir, name).write_text(
            json.dumps(content)
        )

    def get_obs(self):
        seen = [np.array([self.battle, self.t, i, 1], np.float32) for i in range(N)]
        if self.dead:
            seen[1] = np.zeros(4, np.float32)
        return [np.append(row, self.t / LIMIT) if self.obs_timestep_number else row for row in seen]

    def get_state(self):
        if self.obs_instead_of_state:
            return np.concatenate(self.get_obs())
        units = np.arange(4 * N + 3 * ENEMIES) + 100 * self.battle
        return np.concatenate([units, self.last.ravel()]).astype(np.float32)

    def get_avail_actions(self):
        """Stop always, move on even steps, attack on odd ones; the dead have the no-op."""
        row = [0, 1] + [1 - self.t % 2] * 4 + [self.t % 2] * ENEMIES
        dead = [1] + [0] * (ACTIONS - 1)
        return [row, dead if self.dead else row]
