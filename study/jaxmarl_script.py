"""Trains JaxMARL's own QMIX or PQN-VDN, in another Python: nothing of the package is here.

    python jaxmarl_script.py CHECKOUT MODULE CONFIG SEED JSON

CHECKOUT is a checkout of JaxMARL, MODULE one of its scripts in baselines/QLearning, CONFIG the file
of its settings, JSON holds settings that replace those. The training function, compiled whole, is
the script's own; the battles are those of the JaxMARL that this Python has installed. The script
reports every update to wandb: here to this file, which writes a JSON line for each evaluation.
"""

import importlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from pathlib import Path

#: What is reported, by the names of the script.
NUMBERS = {
    "env_steps": "env_step",
    "updates": "grad_steps",
    "loss": "loss",
    "exploring_win_rate": "returned_won_episode",
    "exploring_return": "returned_episode_returns",
    "greedy_win_rate": "test_returned_won_episode",
    "greedy_return": "test_returned_episode_returns",
}


class Evaluations:
    """Stands where the script expects wandb."""

    def __init__(self, every, answers):
        """Says what is known after each `every` updates; writes to the file `answers`."""
        self._every, self._answers, self._begun = every, answers, time.perf_counter()

    def log(self, metrics, step=None):
        """Called by the running program after each rollout with its updates."""
        if int(metrics["update_steps"]) % self._every:
            return
        said = {name: float(metrics[key]) for name, key in NUMBERS.items() if key in metrics}
        said["seconds"] = time.perf_counter() - self._begun
        print(json.dumps(said), file=self._answers, flush=True)


def main():
    """See module."""
    checkout, name, file, seed = Path(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    folder = checkout / "baselines" / "QLearning"
    sys.path.insert(0, str(folder))
    import jax
    from omegaconf import OmegaConf

    module = importlib.import_module(name)
    settings = OmegaConf.to_container(OmegaConf.load(folder / "config" / "alg" / file))
    settings |= json.loads(sys.argv[5]) | {"WANDB_MODE": "offline"}  # so that it reports
    settings = {k: int(v) if k.startswith("TOTAL") else v for k, v in settings.items()}
    packages = ("jaxmarl", "jax", "flax", "optax")
    versions = {package: importlib.metadata.version(package) for package in packages}
    about = {"settings": settings, "versions": {"python": platform.python_version(), **versions}}
    print(json.dumps(about), file=answers, flush=True)
    rollouts = settings["TOTAL_TIMESTEPS"] // settings["NUM_STEPS"] // settings["NUM_ENVS"]
    module.wandb = Evaluations(int(rollouts * settings["TEST_INTERVAL"]), answers)
    env, _ = module.env_from_config(dict(settings))
    seeds = jax.random.split(jax.random.PRNGKey(seed), 1)
    jax.block_until_ready(jax.jit(jax.vmap(module.make_train(settings, env)))(seeds))


if __name__ == "__main__":
    main()
