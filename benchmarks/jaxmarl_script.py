"""Runs JaxMARL's own QMIX in turns. It belongs to another Python: nothing of the package is here.

    python jaxmarl_script.py CHECKOUT ROLLOUTS JSON

CHECKOUT is a checkout of JaxMARL, ROLLOUTS are a turn's, JSON holds settings that replace those of
its configuration for SMAX. The training function, compiled whole, is the script's own. It reports
every rollout to wandb: here it reports to this file, which lets it go on when a line comes in, and
answers each turn with one JSON line of its env steps, updates and seconds.
"""

import json
import os
import sys
import time
from pathlib import Path


class Turns:
    """Stands where the script expects wandb."""

    def __init__(self, rollouts, answers):
        """Counts `rollouts` a turn and writes to the file `answers`."""
        self._rollouts, self._answers = rollouts, answers
        self._left = None

    def log(self, metrics):
        """Called by the running program after each rollout; while it waits here, all waits."""
        now = time.perf_counter(), time.process_time()
        steps, updates = int(metrics["env_step"]), int(metrics["grad_steps"])
        if self._left is None:
            if not updates:  # it learns once its replay holds enough
                return
            self._say({"ready": True, "env_steps": steps})
        else:
            self._left -= 1
            if self._left:
                return
            (wall, cpu), begun = now, self._begun
            turn = {"wall": wall - begun[0], "cpu": cpu - begun[1]}
            turn |= {"env_steps": steps - begun[2], "updates": updates - begun[3]}
            self._say(turn)
        if not sys.stdin.readline():
            os._exit(0)
        self._left = self._rollouts
        self._begun = time.perf_counter(), time.process_time(), steps, updates

    def _say(self, answer):
        try:
            print(json.dumps(answer), file=self._answers, flush=True)
        except BrokenPipeError:  # whoever started this is gone
            os._exit(0)


def main():
    """See module."""
    checkout, rollouts, settings = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    folder = checkout / "baselines" / "QLearning"
    sys.path[:0] = [str(folder), str(checkout)]
    import jax
    import qmix_rnn
    from omegaconf import OmegaConf

    file = folder / "config" / "alg" / "ql_rnn_smax.yaml"
    config = {**OmegaConf.to_container(OmegaConf.load(file)), **settings}
    qmix_rnn.wandb = Turns(rollouts, answers)
    env, _ = qmix_rnn.env_from_config(config)
    seeds = jax.random.split(jax.random.PRNGKey(0), 1)
    train = jax.jit(jax.vmap(qmix_rnn.make_train(config, env)))
    jax.block_until_ready(train.lower(seeds).compile()(seeds))


if __name__ == "__main__":
    main()
