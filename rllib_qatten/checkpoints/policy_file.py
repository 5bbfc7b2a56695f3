"""The content of `policy.json` as a typed model, which validates untrusted files."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Name = Annotated[str, Field(max_length=1000)]
#: Sizes are also bounded by the weights, see `team_files`; these limits keep the rest small.
Agents = Annotated[int, Field(ge=1, le=4096)]
Size = Annotated[int, Field(ge=1, le=2**24)]
#: An entity agent's weights do not bound its actions.
MOST_ACTIONS = 2**16
Pair = Annotated[list[int], Field(min_length=2, max_length=2)]
Games = Annotated[int, Field(ge=1, le=2**16)]


class _Strict(BaseModel):
    """No strings or booleans for numbers; additional keys, from later versions, are allowed."""

    model_config = ConfigDict(strict=True, extra="allow")


class Environment(_Strict):
    """What the team was trained in."""

    env: Name | None
    env_config: dict[str, Any]
    env_config_lost: Annotated[list[str], Field(max_length=4096)] = []
    team_reward: Name
    num_games: Games
    engine: Name


class Inputs(_Strict):
    """Fields of `InputLayout`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    observation_size: Annotated[int, Field(ge=0, le=2**24)]
    n_actions: Size
    n_agents: Agents
    last_action: bool = True
    agent_id: bool = True


class AgentSettings(_Strict):
    """Arguments of `make_agent`, which gets the others from the inputs."""

    hidden_size: Annotated[int, Field(ge=1, le=2**20)] = 64
    unit_types: Annotated[list[int], Field(max_length=4096)] | None = None
    entities: dict[str, Any] | None = None


class MixerAbout(_Strict):
    """The mixer's options and sizes; its class is the algorithm's.

    Options are what the mixer takes: the file's size and depth bound them, as they bound
    `env_config`, and the weights bound the mixer that they make.
    """

    options: dict[str, Any]
    state_size: Annotated[int, Field(ge=0, le=2**24)]
    unit_features: Pair | None
    sha256: Name


class PolicyFile(_Strict):
    """The whole file without its checksum."""

    format: int
    rllib_qatten: Name
    algorithm: Name
    environment: Environment
    agents: Annotated[list[Name | int | list[Any]], Field(min_length=1, max_length=4096)]
    own_sizes: Annotated[list[Pair], Field(max_length=4096)] | None = None
    inputs: Inputs
    agent: AgentSettings
    mixer: MixerAbout | None = None
    mixer_options_lost: Annotated[list[str], Field(max_length=4096)] = []


def faults(metadata: dict[str, Any]) -> str:
    """What is wrong with a file's content, as text; empty if nothing is."""
    try:
        found = PolicyFile.model_validate(metadata)
    except ValidationError as error:
        few = error.errors(include_url=False, include_input=False)[:3]
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in few)
    n = found.inputs.n_agents
    if len(found.agents) != n:
        return f"agents: {len(found.agents)} of them, but inputs.n_agents is {n}"
    if found.own_sizes is not None and len(found.own_sizes) != n:
        return f"own_sizes: {len(found.own_sizes)}, but inputs.n_agents is {n}"
    if found.agent.entities is not None and found.inputs.n_actions > MOST_ACTIONS:
        return f"inputs.n_actions: at most {MOST_ACTIONS} with agent.entities"
    if found.agent.unit_types is not None and len(found.agent.unit_types) != n:
        return f"agent.unit_types: {len(found.agent.unit_types)}, but inputs.n_agents is {n}"
    return ""
