"""Folders of runs as Tune leaves them, made from the curves that are kept in docs/curves."""

import csv
import json
from pathlib import Path

from rllib_qatten import keys

CURVES = Path(__file__).parents[2] / "docs" / "curves"


def kept(algorithm, task, seed=1):
    """The rows of a kept run: all columns of 3s5z's, those that matter of others."""
    whole = CURVES.glob(f"compare_{task}/*/{algorithm}_*_seed={seed}_*/progress.csv")
    short = CURVES.glob(f"{algorithm.lower()}_{task}/*_seed={seed}/progress.csv")
    [file] = [*whole, *short]
    with open(file) as lines:
        return list(csv.DictReader(lines))


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
