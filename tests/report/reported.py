"""Folders of runs as Tune leaves them, made from the curves that are kept in docs/curves."""

import csv
import json
from pathlib import Path

from rllib_qatten import keys

CURVES = Path(__file__).parents[2] / "docs" / "curves"
COLUMNS = {
    "env_steps": keys.STEPS,
    "greedy_win_rate": keys.GREEDY_WINS,
    "greedy_return": keys.GREEDY_RETURN,
    "seconds": "time_total_s",
    "updates": keys.NUM_UPDATES,
}


def kept(algorithm, task, seed=1):
    """The rows of a kept run: its whole progress.csv, or its part of a curve."""
    run = f"compare_{task}/*/{algorithm}_*_seed={seed}_*/progress.csv"
    for file in CURVES.glob(run):
        with open(file) as lines:
            return list(csv.DictReader(lines))
    with open(CURVES / f"{algorithm.lower()}_{task}.csv") as lines:
        curve = [row for row in csv.DictReader(lines) if row["seed"] == str(seed)]
    return [
        {COLUMNS.get(key, key): value for key, value in row.items()}
        | {"training_iteration": i, "engine": "smax (jaxmarl 0.2.0)"}
        for i, row in enumerate(curve, start=1)
    ]


def write_run(folder, algorithm="Qatten", task="3s5z", seed=1, rows=None, *, config=None):
    """A trial's folder with progress.csv and params.json; returns it."""
    trial = folder / f"{algorithm}_smac_abcde_0000{seed}_{task}"
    trial.mkdir(parents=True)
    rows = rows or kept(algorithm, task, seed)
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
        {keys.STEPS: s, keys.GREEDY_WINS: w, keys.GREEDY_RETURN: r, "training_iteration": i + 1}
        for i, (s, w, r) in enumerate(zip(steps, wins, returns, strict=True))
    ]
