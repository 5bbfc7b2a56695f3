"""Teams with random weights, as checkpoints hold them."""

import torch

from rllib_qatten.agents import AGENTS, ActingNetwork, InputLayout
from rllib_qatten.checkpoints import team_files as stored

AGENT = {"hidden_size": 8}


def write_team(
    folder,
    env="scripted_battle",
    env_config=None,
    sizes=(3, 4, 2),
    num_games=3,
    agent=AGENT,
    lost=(),
    own_sizes=None,
):
    """Writes the folder of a team for an env; `sizes` are O, A, N, `agent` settings.

    `lost` are keys of the env's settings that could not be written, `own_sizes` O and A of each
    agent if they differ.
    """
    torch.manual_seed(3)
    layout = InputLayout(*sizes, agent_id=AGENTS[agent.get("kind", "recurrent")].agent_id)
    network = ActingNetwork(layout, agent).network
    about = {
        "rllib_qatten": "0.0",
        "algorithm": "QMIX",
        "environment": {
            "env": env,
            "env_config": env_config or {},
            "env_config_lost": list(lost),
            "team_reward": "equal",
            "num_games": num_games,
            "engine": "scripted battle",
        },
        "agents": [f"unit_{i}" for i in range(sizes[2])],
        "own_sizes": own_sizes,
    }
    target = folder / stored.FOLDER
    target.mkdir(parents=True)
    for name, content in stored.files(network.state_dict(), layout, agent, about).items():
        (target / name).write_bytes(content)
    return folder
