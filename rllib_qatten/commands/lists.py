"""`rllib algorithms`, `rllib envs`, `rllib maps`: the names that experiments may use."""

from __future__ import annotations

import inspect

import typer

from rllib_qatten.commands.terminal import line, table

#: What users of an env need to know first; their own env needs its path only.
ENVS = {
    "smac": "SMAC's battles on SMAX or StarCraft II; env_config: map_name (rllib maps), engine",
    "matrix_game": "one step, a payoff for every joint action; env_config: payoff",
    "two_step_game": "two agents, two steps, 8 at best: seconds to learn",
    "pettingzoo": "a PettingZoo parallel env; env_config: env, the module's name",
    "gymnasium": "a gymnasium env with a Tuple entry per agent; env_config: id",
}


def algorithms() -> None:
    """List the algorithms: a name for run, and what it is."""
    from rllib_qatten.experiment.process_environment import prepare, silence

    prepare()
    from rllib_qatten.algorithms import ALGORITHMS

    rows = []
    for name, algorithm in ALGORITHMS.items():
        about = (inspect.getdoc(inspect.getmodule(algorithm)) or "").partition("\n")[0]
        rows.append((name, about.removeprefix(f"{name}: ")))
    silence()
    table(("run", "what it is"), rows, numbers=False)
    typer.echo()
    line("Also RLlib's own, such as PPO, and yours: my_package.my_module:MyAlgorithm.")
    line("rllib config NAME shows the settings of one.")


def envs() -> None:
    """List the environments: a name for env, and what it is."""
    from rllib_qatten.envs import ENVS as REGISTERED

    rows = [(name, ENVS.get(name) or _first_line(made)) for name, made in REGISTERED.items()]
    table(("env", "what it is"), rows, numbers=False)
    typer.echo()
    line("Your own: its path, my_package.my_module:MyEnv; see docs/your_own_env.md.")


def _first_line(made: object) -> str:
    return (inspect.getdoc(made) or "").partition("\n")[0]


def maps() -> None:
    """List SMAC's maps: armies, time limits, and the engines that have them."""
    from rllib_qatten.envs.battles.armies import NEEDS, SMAC_LIMITS, UNITS, Armies

    def army(types: tuple[int, ...]) -> str:
        kinds = dict.fromkeys(types)
        return ", ".join(f"{types.count(kind)} {UNITS[kind]}" for kind in kinds)

    rows = []
    for name, limit in SMAC_LIMITS.items():
        armies = Armies.read(name)
        same = armies.allies == armies.enemies
        enemies = "the same" if same else army(armies.enemies)
        rows.append((name, army(armies.allies), enemies, str(limit), "smax, sc2"))
    rows += [(name, f"with a {unit}", "", "", "sc2") for name, unit in NEEDS.items()]
    table(("map_name", "allies", "enemies", "steps", "engine"), rows, numbers=False)
    typer.echo()
    line("On SMAX any army has a name: 4s6z_vs_4s7z, 5M, smacv2_5_units.")
