"""One of several learners: `python -m tests.training.several_learners FOLDER RANK`.

Takes its shares of each case in FOLDER/cases.pkl and leaves FOLDER/RANK.pkl.
"""

import pickle
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from rllib_qatten import ALGORITHMS
from rllib_qatten.agents import Entities, Rows
from rllib_qatten.envs.team import TeamSpace, TeamSpec
from tests.settings import those_of

LEARNERS = 2
SPEC = TeamSpec(
    ("a", "b"), n_actions=4, observation_size=3, state_size=5,
    entities=Entities(
        own=((2, 3),),
        teammates=Rows(start=0, count=1, size=1),
        enemies=Rows(start=1, count=1, size=1),
        attacks=3,
    ),
)  # fmt: skip
SMALL = {
    "hidden_size": 8, "mixing_embed_dim": 8, "hypernet_embed": 8, "train_batch_size_episodes": 8,
    "replay": "prioritized", "updates_per_episode": 1.0, "tau": 0.5,
}  # fmt: skip
PLAYED = {"num_env_steps_sampled_lifetime": 10, "num_episodes_lifetime": 10}


def build(name, learners, **settings):
    config = ALGORITHMS[name].get_default_config().environment("two_step_game")
    config.update_from_dict(
        {**those_of(name, SMALL), **settings, "num_learners": learners}
    ).validate()
    space = gym.spaces.MultiDiscrete([SPEC.n_actions] * SPEC.n_agents)
    return config.build_learner(spaces={DEFAULT_MODULE_ID: (TeamSpace(SPEC), space)})


def learn(learner, batches):
    """Results of an update with each batch, then what the learner knows."""
    results = []
    for episodes in batches:
        result = learner.update(episodes=episodes, timesteps=PLAYED)[DEFAULT_MODULE_ID]
        results.append({name: np.ravel(stats.peek()) for name, stats in result.items()})
    state = learner.get_state()
    return results, state["rl_module"][DEFAULT_MODULE_ID], state["optimizer"]


def main(folder, rank):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=LEARNERS
    )
    learned, first = {}, None
    for case, (name, settings, state, shares) in pickle.loads(
        (folder / "cases.pkl").read_bytes()
    ).items():
        # Each begins with weights of its own: those of the first are to hold.
        learner = build(name, LEARNERS, **settings)
        if state is not None:
            learner.set_state(state)
        first = first or shares[rank]
        try:
            learned[case] = learn(learner, shares[rank])
        except FloatingPointError as error:
            learned[case] = str(error)
    # The first fails alone, on a batch that has nothing in it; the other waits for its loss.
    learner, made = build("VDN", LEARNERS), [[[None]], first]
    begun = time.monotonic()
    try:
        learn(learner, made[rank])
    except Exception as error:
        learned["alone"] = time.monotonic() - begun, str(error)
    (folder / f"{rank}.pkl").write_bytes(pickle.dumps(learned))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
