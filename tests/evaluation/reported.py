"""Folders of runs as Tune leaves them, made from the curves that are kept in docs/curves."""

import csv
import json
from pathlib import Path

from rllib_qatten.metrics import GREEDY_RETURN, GREEDY_WINS, NUM_UPDATES, STEPS

CURVES = Path(__file__).parents[2] / "docs" / "curves"
COLUMNS = {"env_steps": STEPS, "greedy_win_rate": GREEDY_WINS, "greedy_return": GREEDY_RETURN,
           "seconds": "time_total_s", "updates": NUM_UPDATES}  # fmt: skip


def raw(algorithm, task, seed=1):
    """The rows of a kept curve."""
    with open(CURVES / f"{algorithm.lower()}_{task}.csv") as file:
        return [row for row in csv.DictReader(file) if row["seed"] == str(seed)]


def write_run(folder, algorithm="Qatten", task="3s5z", seed=1, rows=None, *, config=None):
    """A trial's folder with progress.csv and params.json; returns it."""
    trial = folder / f"{algorithm}_smac_abcde_0000{seed}_{task}"
    trial.mkdir(parents=True)
    if rows is None:
        rows = [
            {COLUMNS.get(k, k): v for k, v in row.items()} for row in raw(algorithm, task, seed)
        ]
        for i, row in enumerate(rows):
            before = float(rows[i - 1]["time_total_s"]) if i else 0
            row |= {"training_iteration": i + 1, "engine": "smax (jaxmarl 0.2.0)"}
            row |= {"time_this_iter_s": float(row["time_total_s"]) - before}
    with open(trial / "progress.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    settings = {"env": "smac", "env_config": {"map_name": task}, "seed": seed, **(config or {})}
    (trial / "params.json").write_text(json.dumps(settings))
    return trial


def rows(wins, steps=None, returns=None):
    """Made-up evaluations."""
    steps = steps or range(100, 100 * len(wins) + 1, 100)
    returns = returns or [20 * win for win in wins]
    return [
        {STEPS: s, GREEDY_WINS: w, GREEDY_RETURN: r, "training_iteration": i + 1}
        for i, (s, w, r) in enumerate(zip(steps, wins, returns, strict=True))
    ]
