"""Armies by name: what names and mappings mean, and what is refused."""

import pytest

from rllib_qatten.envs.battles.armies import (
    DEFAULT,
    SMAC_LIMITS,
    UNITS,
    Armies,
    one_name,
    with_one_name,
)


def units(types):
    return {UNITS[t]: types.count(t) for t in set(types)}


@pytest.mark.parametrize(
    ("given", "name", "allies", "enemies", "limit"),
    [
        ("3m", "3m", {"marine": 3}, {"marine": 3}, 60),
        ("8m_vs_9m", "8m_vs_9m", {"marine": 8}, {"marine": 9}, 120),
        ("2m_vs_1z", "2m_vs_1z", {"marine": 2}, {"zealot": 1}, 150),
        ("3s_vs_3z", "3s_vs_3z", {"stalker": 3}, {"zealot": 3}, 150),
        ("3s_vs_4z", "3s_vs_4z", {"stalker": 3}, {"zealot": 4}, 200),
        ("corridor", "corridor", {"zealot": 6}, {"zergling": 24}, 400),
        ("6z_vs_24zg", "corridor", {"zealot": 6}, {"zergling": 24}, 400),
        ("4s6z", "4s6z", {"stalker": 4, "zealot": 6}, {"stalker": 4, "zealot": 6}, 200),
        ("5z3s", "3s5z", {"stalker": 3, "zealot": 5}, {"stalker": 3, "zealot": 5}, 150),
        ("3m_vs_3m", "3m", {"marine": 3}, {"marine": 3}, 60),
        (
            "6s9z_vs_6s10z",
            "6s9z_vs_6s10z",
            {"stalker": 6, "zealot": 9},
            {"stalker": 6, "zealot": 10},
            200,
        ),
        (
            {"allies": {"zealot": 5, "stalker": 3}, "enemies": {"marauder": 2, "hydralisk": 1}},
            "3s5z_vs_2M1h",
            {"stalker": 3, "zealot": 5},
            {"marauder": 2, "hydralisk": 1},
            200,
        ),
        ({"allies": {"marine": 3, "zealot": 0}}, "3m", {"marine": 3}, {"marine": 3}, 60),
    ],
)
def test_armies(given, name, allies, enemies, limit):
    armies = Armies.read(given)
    assert (armies.name, armies.episode_limit, armies.drawn) == (name, limit, False)
    assert (units(armies.allies), units(armies.enemies)) == (allies, enemies)
    assert one_name(given) == name
    assert Armies.read(armies.name) == armies


def test_names_of_smac_are_kept():
    for name in SMAC_LIMITS:
        assert Armies.read(name).name == name


def test_drawn_armies():
    armies = Armies.read("smacv2_7_units")
    assert (armies.name, armies.episode_limit, armies.drawn) == ("smacv2_7_units", 200, True)
    assert (len(armies.allies), len(armies.enemies)) == (7, 7)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("9q_vs_3m", ["'9q_vs_3m'", "no unit that names write as 'q'", "zg zergling"]),
        ("0m_vs_3m", ["'0m' is an army of nobody"]),
        ("3m_vs_0z", ["'0z' is an army of nobody"]),
        ("MMM", ["MMM needs the medivac", "engine: sc2"]),
        ("2c_vs_64zg", ["colossus", "engine: sc2"]),
        ("so_many_baneling", ["baneling", "engine: sc2"]),
        ("2s_vs_1sc", ["spine crawler", "engine: sc2"]),
        ("2c_vs_3m", ["colossus", "1c3s5z, 2c_vs_64zg"]),
        ("3s5", ["'3s5' is not a battle", "Did you mean '3s5z'"]),
        ("3m_vs_", ["is not a battle on SMAX"]),
        ("3m_vs_3m_vs_3m", ["is not a battle on SMAX"]),
        ("", ["is not a battle on SMAX", "3s5z"]),
        (None, ["'None' is not a battle on SMAX"]),
        ({"allies": {"medivac": 1}}, ["medivac", "MMM"]),
        ({"allies": {"stalkr": 1}}, ["'stalkr'", "Did you mean 'stalker'?"]),
        ({"allies": {}}, ["an army of nobody"]),
        ({"allies": {"marine": 3}, "enemies": {"marine": 0}}, ["enemies", "an army of nobody"]),
        ({"allies": {"marine": 1.5}}, ["allies.marine must be a whole number", "got 1.5"]),
        ({"allies": {"marine": True}}, ["allies.marine must be a whole number", "got True"]),
        ({"allies": {"marine": -1}}, ["0 or more; got -1"]),
        ({"allies": 3}, ["allies must be a mapping of units", "got 3"]),
        ({"enemies": {"marine": 1}}, ["names no allies"]),
        ({"allies": {"marine": 1}, "enemys": {}}, ["unknown side 'enemys'"]),
    ],
)
def test_refused(given, says):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is checked below
        Armies.read(given)
    for part in ["env_config.map_name", *says]:
        assert part in str(error.value)
    # Where a name is only printed, nothing fails: other engines have other battles.
    assert one_name(given) == given


@pytest.mark.parametrize(
    ("env", "env_config", "named"),
    [
        ("smac", {"map_name": "5z3s", "engine": "smax"}, {"map_name": "3s5z", "engine": "smax"}),
        ("smac", {"map_name": {"allies": {"marine": 3}}}, {"map_name": "3m"}),
        ("smac", {}, {"map_name": DEFAULT}),
        ("smac", None, {"map_name": DEFAULT}),
        ("smac", {"map_name": "terran_5_vs_5"}, {"map_name": "terran_5_vs_5"}),
        ("smac", {"map_name": {"grid_search": ["3m"]}}, {"map_name": {"grid_search": ["3m"]}}),
        ("maze", {"map_name": "5z3s"}, {"map_name": "5z3s"}),
        (None, {"map_name": "5z3s"}, {"map_name": "5z3s"}),
    ],
)
def test_a_battle_has_one_name_and_other_games_keep_theirs(env, env_config, named):
    settings = {"env": env, "env_config": env_config, "seed": 1}
    assert with_one_name(settings) == {"env": env, "env_config": named, "seed": 1}
