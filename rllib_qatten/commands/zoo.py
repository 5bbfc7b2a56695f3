"""`rllib zoo`: the trained teams that come with the package."""

from __future__ import annotations

import typer

from rllib_qatten.commands.terminal import line, table


def zoo() -> None:
    """List the trained teams that come with the package: zoo:NAME, wherever a checkpoint goes.

    Win rates of greedy games, with their 95 % intervals; millions of env steps of training; size.
    """
    from rllib_qatten.evaluation.zoo import entries

    found = entries()
    if not found:
        line("This installation has no trained teams.")
        return
    head = ("team", "battle", "run", "agent", "won", "95 %", "steps", "MB")
    rows = []
    for entry in found:
        won, steps = entry.win_rate, entry.training["env_steps"]
        rows.append(
            (
                entry.name,
                entry.battle,
                entry.policy["algorithm"],
                entry.agent,
                f"{won.mean:.3f}",
                "-".join(f"{end:.2f}".lstrip("0") for end in (won.low, won.high)),
                "-" if steps is None else f"{steps / 1e6:.1f}M",
                f"{entry.size / 1e6:.1f}",
            )
        )
    table(head, rows, numbers=False, gap=1)
    typer.echo()
    games = sorted({entry.evaluation["games"] for entry in found})
    engines = ", ".join(sorted({entry.evaluation["engine"] for entry in found}))
    line(f"won: of {' to '.join(map(str, games))} greedy games on {engines}.")
    line(f"Watch one: rllib evaluate zoo:{found[0].name} --video battle.gif")
    line(f"Begin a run with one: --set init_from=zoo:{found[0].name}")
