"""How an observation of SMAC or SMACv2 is made of units, whatever their settings.

Its parts are what the agent may do and sees around it, rows of enemies, rows of teammates, and the
agent itself.
"""

from __future__ import annotations

from typing import Any

from rllib_qatten.agents.entities import Entities, Rows

#: Map types with Medivacs, which heal teammates by the actions that attack, and their type bit.
HEALS, MEDIVAC = ("MMM", "terran_gen"), 2


def unit_rows(settings: dict[str, Any] | None, size: int, n_actions: int) -> Entities | None:
    """The declaration for the team contract.

    Type bits mean what the type of the map makes of them, so they are named after it.

    Args:
        settings: What `sc2_game` reads off SMAC's env; None if there is nothing to declare.
        size: O.
        n_actions: A.
    """
    if settings is None:
        return None
    moves, first = settings["moves"], settings["n_actions_no_attack"]
    (enemies, of_enemy), (allies, of_ally) = settings["enemies"], settings["allies"]
    types = [f"{settings['map_type']} type {bit}" for bit in range(settings["unit_type_bits"])]
    where = ["distance", "x", "y"]
    health, shield = ["health"], ["shield"]
    of_each = where + health * settings["obs_all_health"]
    with_shields = settings["obs_all_health"]
    enemy_names = ["attackable", *of_each]
    enemy_names += shield * (with_shields and settings["shield_bits_enemy"]) + types
    ally_names = ["visible", *of_each]
    ally_names += shield * (with_shields and settings["shield_bits_ally"])
    # SMACv2's capabilities, those of teammates only if they are shown.
    own_skills = ["attack probability"] * settings["stochastic_attack"]
    own_skills += ["health level"] * settings["stochastic_health"]
    actions = n_actions * settings["obs_last_action"]
    shown = of_ally - len(ally_names) - len(types) - actions
    ally_names += [f"capability {i}" for i in range(shown)] + types
    ally_names += [f"last action {i}" for i in range(actions)]
    own_names = [f"surroundings {i}" for i in range(moves)]
    own_names += (health + shield * settings["shield_bits_ally"]) * settings["obs_own_health"]
    own_names += own_skills + ["x", "y"] * settings["obs_own_pos"]
    own_names += ["view x", "view y"] * settings["conic_fov"]
    medivac = len(own_names) + MEDIVAC
    own_names += types
    start = moves + enemies * of_enemy
    own = start + allies * of_ally
    # SMAC counts the time step among the own features, and once more.
    own_names += [f"time {i}" for i in range(size - own + moves - len(own_names))]
    heals = settings["map_type"] in HEALS
    return Entities(
        own=((0, moves), (own, size)),
        own_features=tuple(own_names),
        enemies=Rows(start=moves, count=enemies, size=of_enemy, features=tuple(enemy_names)),
        teammates=Rows(
            start=start,
            count=allies,
            size=of_ally,
            features=tuple(ally_names),
            # Attacks name enemies by their numbers.
            skip=(of_ally - (actions - first), of_ally) if actions else None,
        ),
        attacks=first,
        helps=first if heals else None,
        helper=own - moves + medivac if heals else None,
    )
