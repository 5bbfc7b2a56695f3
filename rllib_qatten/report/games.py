"""Names for what runs played: one env with other settings is another game."""

from __future__ import annotations

from typing import Any

from rllib_qatten.envs.battles.armies import with_one_name
from rllib_qatten.report import differences
from rllib_qatten.report.run import Run

#: Key of env_config by which readers know the game, of the envs in which it isn't map_name.
TITLES = {"gymnasium": "id", "pettingzoo": "env"}
#: Keys of env_config that change how a game is run, or what is learned from it, but not the game;
#: the engine is told apart by its name and version.
NOT_THE_GAME = (
    "engine",
    "time_limit_terminal",
    "hang_timeout_s",
    "full_restart_episodes",
    "max_game_processes",
    "replay_dir",
)
#: The longest list of settings in a game's name, in characters.
SHORT = 40


def title(config: dict[str, Any]) -> str:
    """What a game is called where there is no other of that name."""
    return str(_env_config(with_one_name(config)).get(_key(config), _env(config)))


def tell_games_apart(runs: list[Run]) -> None:
    """Adds to tasks the settings of the env in which they differ, if short, else a number."""
    for task in {(run.environment, run.task) for run in runs}:
        of_task = [run for run in runs if (run.environment, run.task) == task]
        games = [_game(run.config) for run in of_task]
        if not (names := differences.differing(games)):
            continue
        values = [differences.values(game, names) for game in games]
        brief = differences.short(names, values, SHORT)
        texts = brief or differences.numbered(values)
        for run, of_run in zip(of_task, values, strict=True):
            run.task = f"{task[1]} ({texts[of_run]})" if texts[of_run] else task[1]
            if not brief:
                run.explained[run.task] = differences.whole(names, of_run)


def _game(config: dict[str, Any]) -> dict[str, str]:
    apart = (_key(config), *NOT_THE_GAME)
    settings = {key: value for key, value in _env_config(config).items() if key not in apart}
    # The whole title: of a long one, names show the beginning.
    return {"env": _env(config), "game": title(config), **differences.flat(settings)}


def _key(config: dict[str, Any]) -> str:
    return TITLES.get(_env(config), "map_name")


def _env(config: dict[str, Any]) -> str:
    return str(config.get("env", "unknown"))


def _env_config(config: dict[str, Any]) -> dict[str, Any]:
    found = config.get("env_config")
    return found if isinstance(found, dict) else {}
