"""JaxMARL's own QMIX and PQN-VDN with their published settings, kept beside our runs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray.tune.result import TIME_THIS_ITER_S, TIME_TOTAL_S, TRAINING_ITERATION

from rllib_qatten import keys
from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.record import commit, record
from study.keep import write

SCRIPT = Path(__file__).with_name("jaxmarl_script.py")
#: Algorithm -> the script of JaxMARL's and its settings for SMAX.
ALGORITHMS = {
    "JaxMARL-QMIX": ("qmix_rnn", "ql_rnn_smax.yaml"),
    "JaxMARL-PQN-VDN": ("pqn_vdn_rnn", "pqn_vdn_rnn_smax.yaml"),
}
#: The script's numbers -> columns of Tune's results.
COLUMNS = {
    "env_steps": keys.STEPS,
    "updates": keys.NUM_UPDATES,
    "seconds": TIME_TOTAL_S,
    "loss": f"{keys.LEARNER}/{keys.LOSS}",
    "exploring_win_rate": keys.WINS,
    "exploring_return": keys.RETURN,
    "greedy_win_rate": keys.GREEDY_WINS,
    "greedy_return": keys.GREEDY_RETURN,
}
#: Returns of its env, 2 at best, are counted on SMAC's scale, as it does itself while it learns.
SCALE = "REW_SCALE"


def run(
    algorithm: str,
    battle: str,
    env_steps: int,
    seed: int,
    checkout: Path,
    python: Path,
    command: str,
    results: Path,
) -> Path:
    """Trains, and keeps the run after each evaluation; returns its folder.

    Everything is as published, except for the battle, and for the env steps: exploration and
    evaluations are shares of them. Evaluations play as many games as it does itself.

    Args:
        algorithm: A key of `ALGORITHMS`.
        battle: A name of SMAX's.
        env_steps: How many env steps to train.
        seed: Of everything.
        checkout: A checkout of JaxMARL.
        python: A Python that has what its scripts import, and the JaxMARL whose battles count.
        command: The shell command that asked for it.
        results: Where the run's folder goes.

    Raises:
        BadInput: If the script cannot be started or ends early.
    """
    changed = {"TOTAL_TIMESTEPS": env_steps, "MAP_NAME": battle}
    lines = _lines([*ALGORITHMS[algorithm], str(seed), json.dumps(changed)], checkout, python)
    about = next(lines)
    engine = f"smax (jaxmarl {about['versions']['jaxmarl']})"
    settings = {
        "env": "smac",
        "env_config": {"map_name": battle, "engine": "smax"},
        "agent": "recurrent",
        "seed": seed,
        "jaxmarl": about["settings"],
    }
    known = {"algorithm": algorithm, **record(command)}
    known["versions"] = about["versions"] | {"jaxmarl_baselines": commit(checkout) or "unknown"}
    folder = results / battle / f"{algorithm}_smac_recurrent_seed={seed}"
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for line in lines:
        row = {COLUMNS[name]: value for name, value in line.items()}
        for key in (keys.RETURN, keys.GREEDY_RETURN):
            row[key] = row[key] * about["settings"][SCALE] if key in row else None
        before = rows[-1][TIME_TOTAL_S] if rows else 0.0
        row |= {TRAINING_ITERATION: len(rows) + 1, TIME_THIS_ITER_S: row[TIME_TOTAL_S] - before}
        rows.append(row | {keys.ENGINE: engine})
        write(folder, rows, settings, known)
    if not rows:
        raise BadInput(f"{algorithm} ended without an evaluation: more than {env_steps} env steps?")
    return folder


def _lines(words: list[str], checkout: Path, python: Path) -> Iterator[dict[str, Any]]:
    """What the script says, line by line.

    Raises:
        BadInput: If it does not start, or ends with an error.
    """
    command = [str(python), str(SCRIPT), str(checkout), *words]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"}
    try:
        script = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    except OSError as error:
        raise BadInput(f"{python}: cannot be started: {error.strerror}.") from error
    assert script.stdout is not None
    try:
        for line in script.stdout:
            yield json.loads(line)
        if script.wait():
            raise BadInput(
                f"JaxMARL's script ended with exit code {script.returncode}: see what it said "
                "above. Give its checkout by --checkout, and by --python a Python that has what it "
                "imports (jaxmarl==0.2.0, flashbax, hydra-core, wandb, six)."
            )
    finally:
        script.kill()
        script.wait()
