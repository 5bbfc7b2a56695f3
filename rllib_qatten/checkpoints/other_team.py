"""Trained agent networks in a team that is not the one they were trained in.

An entity agent's weights do not depend on how many units there are, so that it can play, and begin
to learn, wherever observations are made alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from rllib_qatten.agents import AGENTS, ActingNetwork, Entities, InputLayout, check_entities
from rllib_qatten.checkpoints import team_files
from rllib_qatten.errors import BadInput

if TYPE_CHECKING:  # a team acts without gymnasium and Ray
    from rllib_qatten.envs.team import TeamSpec

#: Settings of agent networks that must agree where one begins as another.
ALIKE = {
    "kind": "agent",
    "sharing": "parameter_sharing",
    "layer_norm": "layer_norm",
    "hidden_size": "hidden_size",
}
#: What they were before there was a choice.
BEFORE = {"kind": "recurrent", "sharing": "all", "layer_norm": False, "hidden_size": 64}


def fitted(network: ActingNetwork, spec: TeamSpec) -> ActingNetwork:
    """The same network in another team; itself if the team has the same sizes.

    Args:
        network: A trained one.
        spec: The team's sizes and names.

    Raises:
        BadInput: If it cannot play in that team, with the reason.
    """
    layout, settings = network.layout, network.settings
    sizes = (layout.n_agents, layout.observation_size, layout.n_actions)
    here = (spec.n_agents, spec.observation_size, spec.n_actions)
    entities = settings.get("entities")
    made = entities and Entities.read(entities)
    if sizes == here and (made is None or made == spec.entities):
        return network
    if made is None:
        words = "{} agents, observations of length {}, {} actions"
        raise BadInput(
            f"the team was trained with {words.format(*sizes)}; here there are "
            f"{words.format(*here)}. Only agent: entity plays in teams of other sizes."
        )
    if why := _misfit(made, layout, settings, spec):
        raise BadInput(f"the team cannot play here: {why}.")
    assert spec.entities is not None
    other = InputLayout(
        spec.observation_size, spec.n_actions, spec.n_agents, layout.last_action, layout.agent_id
    )
    changed = {"unit_types": None, "entities": spec.entities.model_dump(mode="json")}
    there = ActingNetwork(other, settings | changed)
    there.network.load_state_dict(network.network.state_dict())
    return there.eval().requires_grad_(False)


def initial_weights(
    checkpoint: Any, layout: InputLayout, settings: dict[str, Any], spec: TeamSpec
) -> tuple[dict[str, Tensor], str]:
    """Weights for an agent network to begin with, and what they were trained for, in words.

    Args:
        checkpoint: As for `location.find`; nobody needs to trust it.
        layout: The input layout of the network.
        settings: Its settings.
        spec: Its team.

    Raises:
        BadInput: If it is no checkpoint, or its network does not fit, with the reason.
    """
    network, metadata = team_files.read(checkpoint)
    differ = [
        f"{name} is {there} there and {here} here"
        for name, there, here in other_settings(network.settings, settings)
    ]
    fix = " Give this run the settings of that team." if differ else ""
    if not differ:
        differ = _unlike(network.layout, network.settings, layout, settings, spec)
    if differ:
        raise BadInput(
            f"init_from: the agent network of {checkpoint} does not fit this run: "
            f"{'; '.join(differ)}.{fix}"
        )
    trained = metadata["environment"]
    where = trained["env_config"].get("map_name", trained["env"] or trained["engine"])
    return network.network.state_dict(), f"{metadata['algorithm']} on {where}, {trained['engine']}"


def other_settings(there: dict[str, Any], here: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Name and both values of the settings in which two agent networks differ in kind."""
    there, here = BEFORE | there, BEFORE | here
    return [(name, there[key], here[key]) for key, name in ALIKE.items() if there[key] != here[key]]


def _unlike(
    layout: InputLayout,
    settings: dict[str, Any],
    here: InputLayout,
    settings_here: dict[str, Any],
    spec: TeamSpec,
) -> list[str]:
    """How inputs differ for networks with the same settings."""
    kind = settings.get("kind", BEFORE["kind"])
    if AGENTS[kind].needs_entities:
        check_entities(kind, spec.entities)
        why = _misfit(Entities.read(settings["entities"]), layout, settings, spec)
        return [why] if why else []
    if layout == here and settings.get("unit_types") == settings_here.get("unit_types"):
        return []
    words = (
        "{0.n_agents} agents, observations of length {0.observation_size}, {0.n_actions} actions"
    )
    return [
        f"it has {words.format(layout)}, and here there are {words.format(here)}"
        " (only agent: entity begins from teams of other sizes)"
    ]


def _misfit(made: Entities, layout: InputLayout, settings: dict[str, Any], spec: TeamSpec) -> str:
    """Why an entity agent's network does not fit another team; empty if it does."""
    if spec.entities is None:
        return "this env does not say how its observations are made of units"
    sharing = settings.get("sharing", "all")
    same = (layout.n_agents, settings.get("unit_types")) == (
        spec.n_agents, None if spec.unit_types is None else list(spec.unit_types)
    )  # fmt: skip
    if sharing != "all" and not same:
        return (
            f"with parameter_sharing {sharing} it has a network for each "
            f"{'agent' if sharing == 'none' else 'unit type'} of its own team"
        )
    differ = list(made.differences(spec.entities))
    there = len(made.plain_actions(layout.n_actions))
    here = len(spec.entities.plain_actions(spec.n_actions))
    if there != here:
        differ.append(f"{there} actions concern no unit there and {here} here")
    return "; ".join(differ)
