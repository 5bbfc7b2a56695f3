"""The program that plays one game of StarCraft II: one Python process, one game.

`GameProcess` runs this file by its path. It imports nothing of this package, so that a game costs
no Ray and no torch. Three processes in a row:

* the one that was started ends at once, as Ray kills the children of a worker that it stops, and
  nobody would be left to end the game;
* a guard outlives all others: when the env runner or the player is gone, however it went, the guard
  kills player and game and removes their temporary folder;
* the player imports SMAC, launches the game and answers requests.

Args on the command line: the number of the socket to talk over. Standard input is the env runner's
sign of life; on standard output comes at last what player and game had printed.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import inspect
import os
import random
import select
import shutil
import signal
import socket
import sys
import tempfile
from multiprocessing.connection import Connection
from typing import Any

#: Bytes of what player and game printed that the guard passes on.
LAST_WORDS = 2000
#: Linux: orphans below this process become its children (prctl's PR_SET_CHILD_SUBREAPER).
SUBREAPER = 36
#: Where games listen: below the ports that systems give out unasked, above those of Ray's workers.
PORTS = range(20_000, 32_768)
#: What decides how an observation is made: attributes of SMAC's env, the last ones only SMACv2's.
ROW_SETTINGS = (
    "map_type",
    "n_actions_no_attack",
    "obs_all_health",
    "obs_own_health",
    "obs_last_action",
    "obs_timestep_number",
    "shield_bits_ally",
    "shield_bits_enemy",
    "unit_type_bits",
    "stochastic_attack",
    "stochastic_health",
    "obs_own_pos",
    "conic_fov",
)
#: A wrong setting, not a fault of a game: so fails a program that it makes no sense to.
MISTAKES = (LookupError, TypeError, AttributeError, NameError, ValueError, AssertionError)

#: One step's answer: reward, how it went on, won?, observations, state, legal actions.
Answer = tuple[float, str, bool, Any, Any, Any]


class GameLost(Exception):
    """The game crashed, hung up or answered with an error."""


class Ports:
    """Chooses the ports that games of this process listen on, and keeps them until it ends.

    By itself pysc2 picks a free port and hopes that it still is when the game is up: of many games
    that start at once, two may meet on one. A UDP socket of the same number shows all our games
    that a port is taken, and goes with the process.
    """

    def __init__(self) -> None:
        """Keeps none yet."""
        self._kept: list[socket.socket] = []

    def pick(self) -> int:
        """A port of the loopback interface that nobody else has.

        Raises:
            GameLost: If all are taken.
        """
        draw = random.SystemRandom()  # the other generators belong to the game
        for port in draw.sample(PORTS, len(PORTS)):
            mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                mark.bind(("127.0.0.1", port))
                with socket.socket() as listener:
                    listener.bind(("127.0.0.1", port))
            except OSError:
                mark.close()
                continue
            self._kept.append(mark)
            return port
        raise GameLost(f"no port between {PORTS.start} and {PORTS.stop} is free")


def seed_generators(seed: int | None) -> None:
    """Makes all that SMACv2 draws follow a seed; to be called before it is imported.

    It draws armies and places from generators that it makes without a seed, some anew each time.
    """
    import numpy as np

    sequence, make = np.random.SeedSequence(seed), np.random.default_rng

    def seeded(given: Any = None) -> Any:
        return make(sequence.spawn(1)[0] if given is None else given)

    random.seed(seed)
    np.random.seed(None if seed is None else seed % 2**32)  # noqa: NPY002 - SMACv2's own, too
    generators: Any = np.random
    generators.default_rng = seeded


def describe(package: str) -> dict[str, Any]:
    """What SMAC's env takes: each argument's default, difficulties, versions of the game."""
    module = importlib.import_module(f"{package}.env")
    arguments = inspect.signature(module.StarCraft2Env.__init__).parameters
    from pysc2 import run_configs

    inner = sys.modules[module.StarCraft2Env.__module__]
    return {
        "defaults": {k: p.default for k, p in arguments.items() if p.default is not p.empty},
        "difficulties": sorted(inner.difficulties),
        "versions": sorted(run_configs.get().get_versions()),
    }


class Game:
    """SMAC's or SMACv2's env, unmodified, with its faults brought out.

    Args:
        package: "smac" or "smacv2"; both in one process would name maps twice.
        arguments: Of `StarCraft2Env`.
        seed: Of the game; SMAC takes it only here.
    """

    def __init__(self, package: str, arguments: dict[str, Any], seed: int | None) -> None:
        """See class."""
        if package == "smacv2":
            seed_generators(seed)
        module = importlib.import_module(f"{package}.env")
        with contextlib.suppress(ImportError):
            picker: Any = importlib.import_module("portpicker")
            picker.pick_unused_port = Ports().pick
        self._package = package
        # Only with continuing_episode does SMAC tell a time-out from a defeat.
        arguments = arguments | {"seed": seed, "continuing_episode": True}
        if package == "smacv2":
            self._env = module.StarCraftCapabilityEnvWrapper(**arguments)
            self._inner = self._env.env
            for draw in self._env.env_key_to_distribution_map.values():
                draw.generate()  # what cannot be drawn fails now, not with each launch
        else:
            self._env = self._inner = module.StarCraft2Env(**arguments)
        # SMAC would start a new game in the middle of a step and call the old one terminated.
        self._inner.full_restart = self._lost

    def _lost(self) -> None:
        raise GameLost("the game ended the connection or answered with an error")

    def info(self) -> dict[str, Any]:
        """Sizes and the game's version; launches nothing."""
        info = dict(self._env.get_env_info())
        # SMAC forgets the time step when it counts observations.
        if self._package == "smac":
            info["obs_shape"] += bool(self._inner.obs_timestep_number)
        if self._inner.obs_instead_of_state:
            info["state_shape"] = info["n_agents"] * info["obs_shape"]
            info["agent_features"] = None
        info["rows"] = self._rows()
        from pysc2 import run_configs
        from pysc2.run_configs.lib import VERSIONS

        build = run_configs.get(version=self._inner.game_version).version.build_version
        names = [v.game_version for v in VERSIONS.values() if v.build_version == build]
        info["game"] = " ".join(["StarCraft II", *names[-1:], f"build {build}"])
        return info

    def _rows(self) -> dict[str, Any] | None:
        """What observations are made of; None where SMAC does not say, or a team sees no units."""
        env = self._inner
        if not hasattr(env, "get_obs_move_feats_size") or not getattr(env, "obs_starcraft", True):
            return None
        return {name: getattr(env, name, False) for name in ROW_SETTINGS} | {
            "moves": env.get_obs_move_feats_size(),
            "enemies": env.get_obs_enemy_feats_size(),
            "allies": env.get_obs_ally_feats_size(),
        }

    def reset(self) -> Answer:
        """Begins the next battle; the first time, launches the game."""
        self._env.reset()
        # SMAC adds the enemies' health anew with every launch and late unit, SMACv2 keeps that of
        # the first battle's: rewards would shrink or differ between processes.
        inner = self._inner
        inner.max_reward = inner.n_enemies * inner.reward_death_value + inner.reward_win
        for unit in inner.enemies.values():
            inner.max_reward += unit.health_max + unit.shield_max
        answer = self._seen(0.0, "on", False)
        if any(legal[0] for legal in answer[-1]):
            raise GameLost("the battle began with dead units")
        return answer

    def step(self, actions: list[int]) -> Answer:
        """Plays one step."""
        reward, terminated, info = self._env.step(actions)
        if terminated and not info:
            self._lost()
        how = "time_limit" if info.get("episode_limit") else "over" if terminated else "on"
        return self._seen(float(reward), how, bool(info.get("battle_won", False)))

    def memory(self) -> int:
        """Bytes that this process and the game take."""
        import psutil

        own = psutil.Process()
        return sum(p.memory_info().rss for p in (own, *own.children(recursive=True)))

    def save_replay(self) -> bytes:
        """StarCraft II's replay of all battles since the game was launched."""
        # SMAC takes the folder and names the file by the time.
        self._inner.replay_dir = folder = tempfile.mkdtemp()
        self._env.save_replay()
        (name,) = os.listdir(folder)
        with open(os.path.join(folder, name), "rb") as file:
            return file.read()

    def _seen(self, reward: float, how: str, won: bool) -> Answer:
        import numpy as np

        env = self._env
        return (
            reward,
            how,
            won,
            np.array(env.get_obs(), np.float32),
            np.array(env.get_state(), np.float32),
            np.array(env.get_avail_actions(), bool),
        )


def play(connection: Connection) -> None:
    """Answers requests until the env runner is gone or something fails.

    Requests are a method's name with its arguments: "describe"; "make", which has no answer and
    takes those of `Game`; then the game's own. Each answer is a pair: "ok" and what was asked for;
    "lost" and the reason; or "refused" and the reason, where to try again is of no use.
    """
    game: Any = None
    begun = False
    try:
        while True:
            method, *arguments = connection.recv()
            if method == "make":
                game = Game(*arguments)
                continue
            call = describe if method == "describe" else getattr(game, method)
            connection.send(("ok", call(*arguments)))
            begun |= method == "reset"
    except EOFError:
        pass
    except Exception as error:
        # Before a first battle has begun, all that is wrong with a setting comes to light.
        kind = "refused" if not begun and isinstance(error, MISTAKES) else "lost"
        plain = isinstance(error, GameLost)
        message = str(error) if plain else f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            connection.send((kind, message))


def guard(player: int, folder: str) -> None:
    """Kills what is left of a game and removes its folder."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(player, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    words = b""
    # A player that was killed early has written nothing, not even the file.
    with contextlib.suppress(OSError), open(os.path.join(folder, "output"), "rb") as file:
        words = file.read()[-LAST_WORDS:]
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.write(1, words)


def main() -> None:
    """See the module."""
    talk = int(sys.argv[1])
    if os.fork():
        os._exit(0)
    os.setsid()
    folder = tempfile.mkdtemp(prefix="rllib-qatten-sc2-")
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(SUBREAPER, 1)
    living, alive = os.pipe()
    player = os.fork()
    if not player:
        try:
            os.setpgid(0, 0)
            os.close(living)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            output = os.open(os.path.join(folder, "output"), os.O_WRONLY | os.O_CREAT)
            os.dup2(output, 1)
            os.dup2(output, 2)
            # Where pysc2 makes its folders.
            os.environ["TMPDIR"] = tempfile.tempdir = folder
            play(Connection(talk))
        finally:
            os._exit(0)
    with contextlib.suppress(OSError):
        os.setpgid(player, player)
    os.close(talk)
    os.close(alive)
    # Nothing is ever written: a pipe becomes readable when its other end is gone.
    select.select([0, living], [], [])
    guard(player, folder)


if __name__ == "__main__":
    main()
