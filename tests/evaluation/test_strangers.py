"""A trained team of somebody else: no code of theirs runs, and what does not fit is a message."""

import copy
import hashlib
import json
import os
import pickle
import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from typer.testing import CliRunner

from rllib_qatten import QattenConfig, TeamPolicy
from rllib_qatten.__main__ import app
from rllib_qatten.checkpoints import team_files as stored
from rllib_qatten.envs.registry import ENVS
from rllib_qatten.errors import BadInput
from rllib_qatten.evaluation.environment import ADAPTERS, SHIPPED, make_games
from rllib_qatten.evaluation.mixer_weights import load_module
from tests.evaluation.teams import write_team
from tests.strangers import VALUES, drop, places, put


def rllib(*words):
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def seal(folder, change=None, weights=None, mixer=None):
    """Changes a team's files as somebody would who knows how they are summed."""
    team = folder / stored.FOLDER
    metadata = json.loads((team / stored.METADATA).read_text())
    metadata.pop("sha256")
    if weights is not None:
        (team / stored.WEIGHTS).write_bytes(weights)
    if mixer is not None:
        (team / stored.MIXER_WEIGHTS).write_bytes(mixer)
        metadata["mixer"]["sha256"] = hashlib.sha256(mixer).hexdigest()
    if change:
        change(metadata)
    content = (team / stored.WEIGHTS).read_bytes() + json.dumps(metadata, sort_keys=True).encode()
    metadata["sha256"] = hashlib.sha256(content).hexdigest()
    (team / stored.METADATA).write_text(json.dumps(metadata))


def refused_or_acts(folder):
    """Whether the team was refused; what is taken must act and be looked at."""
    try:
        team = TeamPolicy.from_checkpoint(folder)
    except BadInput:
        return True
    layout = team.network.layout
    n, size, actions = layout.n_agents, layout.observation_size, layout.n_actions
    assert team.act(np.zeros((n, size)), np.ones((n, actions))).shape == (n,)
    team.agent(0)
    return False


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, ray_session):
    """Qatten's on the two-step game, as training writes it."""
    config = QattenConfig().environment("two_step_game")
    algorithm = config.training(hidden_size=8, n_heads=2).build_algo()
    path = algorithm.save_to_path(tmp_path_factory.mktemp("trained") / "checkpoint")
    algorithm.stop()
    return Path(path)


@pytest.fixture
def team(tmp_path, checkpoint):
    """A copy of what lies in its team_policy/, alone."""
    target = tmp_path / "checkpoint" / stored.FOLDER
    target.mkdir(parents=True)
    for file in (checkpoint / stored.FOLDER).iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target.parent


#: Three agents that see two enemies, and help each other.
UNITS = {
    "hidden_size": 8,
    "kind": "entity",
    "entities": {
        "own": [[0, 2]],
        "own_features": ["x", "y"],
        "teammates": {"start": 2, "count": 2, "size": 3, "skip": [0, 1]},
        "enemies": {"start": 8, "count": 2, "size": 3, "features": ["a", "b", "c"]},
        "attacks": 2,
        "helps": 2,
        "helper": 1,
    },
}


@pytest.mark.slow
def test_any_value_in_any_place_of_an_entity_agents_metadata(tmp_path):
    team = write_team(tmp_path / "units", sizes=(14, 5, 3), agent=UNITS)
    assert not refused_or_acts(team)
    refused, tried = try_all(team, ("agent",))
    assert tried > 600
    assert refused > tried / 2


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_any_value_in_any_place_of_the_metadata(team, every):
    refused, tried = try_all(team, every=every)
    assert tried > 800 / every
    assert refused > tried / 3


def try_all(team, parts=None, every=1):
    """Some hundred files; no message but ours, no memory beyond what the weights take.

    Of each place every `every`-th value, another set of them in the next place.
    """
    whole = json.loads((team / stored.FOLDER / stored.METADATA).read_text())
    whole.pop("sha256")
    refused = tried = 0
    tracemalloc.start()
    tried_places = [path for path in places(whole) if parts is None or path[0] in parts]
    for i, path in enumerate(tried_places):
        for value in VALUES[i % every :: every]:
            changed = copy.deepcopy(whole)
            put(changed, path, value)
            seal(team, lambda metadata, c=changed: (metadata.clear(), metadata.update(c)))
            refused += refused_or_acts(team)
            tried += 1
        changed = copy.deepcopy(whole)
        drop(changed, path)
        seal(team, lambda metadata, c=changed: (metadata.clear(), metadata.update(c)))
        refused += refused_or_acts(team)
        tried += 1
    assert tracemalloc.get_traced_memory()[1] < 2**28
    tracemalloc.stop()
    return refused, tried


def header(entries, data=b""):
    """A safetensors file with a header of one's own."""
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensors(agent):
    """Files in place of the weights."""
    huge = {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}
    yield b""
    yield b"\0" * 8
    yield struct.pack("<Q", 2**63) + b"{}"
    yield header(b"[" * 100_000)
    yield header({"encoder.weight": huge}, b"\0" * 4)
    yield header({"encoder.weight": {**huge, "shape": [-1, 4]}}, b"\0" * 4)
    yield header({"encoder.weight": {**huge, "dtype": "X9"}}, b"\0" * 4)
    yield header({"encoder.weight": {**huge, "shape": [1], "data_offsets": [-4, 0]}})
    yield pickle.dumps(os.system)
    yield save({})
    for bad in (float("nan"), float("inf")):
        yield save({name: torch.full_like(weight, bad) for name, weight in agent.items()})
    for kind in (torch.int64, torch.bool, torch.complex64):
        yield save({name: weight.to(kind) for name, weight in agent.items()})
    yield save({name: weight.flatten().contiguous() for name, weight in agent.items()})
    yield save({f"{name}.x": weight for name, weight in agent.items()})
    yield save({**agent, "more": torch.zeros(10)})
    yield save(dict(list(agent.items())[1:]))


def test_weights_of_somebodys_making(team):
    agent = TeamPolicy.from_checkpoint(team).network.network.state_dict()
    mixer = stored.read_mixer(team).weights
    good = (team / stored.FOLDER / stored.WEIGHTS).read_bytes()
    for content in tensors(agent):
        seal(team, weights=content)
        with pytest.raises(BadInput, match=r"make no team"):
            TeamPolicy.from_checkpoint(team)
    seal(team, weights=good)
    for content in tensors(mixer):
        seal(team, mixer=content)
        TeamPolicy.from_checkpoint(team)  # which has no use for it
        with pytest.raises(BadInput, match=r"mixer"):
            load_module(team)


def test_options_of_a_mixer_of_somebodys_making(team):
    """Any value for any option: refused, or a mixer of the size of its weights."""
    options = stored.read_mixer(team).about["options"]
    for name in options:
        for value in VALUES:
            seal(team, lambda metadata, n=name, v=value: put(metadata, ("mixer", "options", n), v))
            try:
                load_module(team)
            except BadInput:
                continue
        seal(team, lambda m, n=name, v=options[name]: put(m, ("mixer", "options", n), v))
    load_module(team)


@pytest.mark.parametrize("name", [stored.WEIGHTS, stored.METADATA])
@pytest.mark.parametrize("kind", ["folder", "zeros", "pipe", "loop", "gap", "huge", "deep"])
def test_what_is_no_ordinary_file(team, name, kind):
    file = team / stored.FOLDER / name
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "zeros":
        file.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "loop":
        file.symlink_to(file)
    elif kind == "gap":
        file.symlink_to("nowhere")
    elif kind == "huge":
        with open(file, "wb") as opened:
            opened.truncate(2**40)  # takes no room on the disk
    else:
        file.write_bytes(b"[" * 10**6)
    with pytest.raises(BadInput, match=r"policy.json or policy.safetensors|not a checkpoint"):
        TeamPolicy.from_checkpoint(team)


EVIL = """\
open({mark!r}, "w").write("x")
from tests.teams import ScriptedBattle as Env
def parallel_env(**kwargs): pass
"""
#: What a checkpoint may name in hope of its code being run: env and env_config.
NAMED = (
    ("evil:Env", {}),
    ("subprocess:run", {"/usr/bin/touch": 0, "MARK": 0}),
    ("os:system", {}),
    ("builtins:exec", {}),
    ("scripted_battle", {}),
    ("CartPole-v1", {}),
    ("pettingzoo", {"env": "evil"}),
    ("pettingzoo", {"env": "evil:Env"}),
    ("pettingzoo", {"env": "subprocess:run", "args": ["/usr/bin/touch", "MARK"]}),
    ("pettingzoo", {"env": "mpe2:simple_spread_v3"}),
    ("pettingzoo", {}),
    ("pettingzoo", {"env": ["evil"]}),
    ("gymnasium", {"id": "evil:Foraging-8x8-2p-3f-v3"}),
    ("gymnasium", {"id": "lbforaging:evil:Foraging-8x8-2p-3f-v3"}),
    ("gymnasium", {"id": "lbforaging:CartPole-v1"}),
    ("gymnasium", {"id": "CartPole-v1"}),
    ("gymnasium", {"id": None}),
    ("gymnasium", {"id": "lbforaging.evil:Foraging-8x8-2p-3f-v3"}),
)


@pytest.mark.parametrize(("env", "env_config"), NAMED)
def test_a_checkpoint_names_no_code(tmp_path, monkeypatch, env, env_config):
    """Not even what lies where the command is given."""
    mark = tmp_path / "MARK"
    (tmp_path / "evil.py").write_text(EVIL.format(mark=str(mark)))
    monkeypatch.chdir(tmp_path)
    env_config = json.loads(json.dumps(env_config).replace("MARK", str(mark)))
    folder = write_team(tmp_path / "checkpoint", env, env_config)
    for command in ("evaluate", "attention"):
        result = rllib(command, folder)
        assert result.exit_code == 2, result.output
        assert result.output.startswith("Error: ")
        assert "Traceback" not in result.output
    assert rllib("export", folder, "--format", "torch").exit_code == 0
    assert not mark.exists()
    assert "evil" not in sys.modules


def test_shipped_packages_are_not_looked_for_in_the_working_directory(tmp_path, monkeypatch):
    pytest.importorskip("lbforaging")
    mark = tmp_path / "MARK"
    (tmp_path / "lbforaging.py").write_text(EVIL.format(mark=str(mark)))
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "lbforaging"]:
        monkeypatch.delitem(sys.modules, name)
    name = "lbforaging:Foraging-5x5-2p-1f-v3"
    folder = write_team(tmp_path / "checkpoint", "gymnasium", {"id": name}, sizes=(9, 6, 2))
    result = rllib("evaluate", folder, "--episodes", 1)
    # Its agents' rewards differ: it is the installed game that says so.
    assert "Foraging-5x5-2p-1f-v3 (lbforaging" in result.output
    assert not mark.exists()


@pytest.mark.parametrize(
    ("env", "env_config", "words"),
    [
        ("tests.teams:ScriptedBattle", {"lengths": [2]}, ("--env", "tests.teams:ScriptedBattle")),
        ("elsewhere:Env", {"lengths": [2]}, ("--env", "tests.teams:ScriptedBattle")),
        (None, {}, ("--env", "tests.teams:ScriptedBattle", "--set", "env_config.lengths=[2]")),
    ],
)
def test_the_user_names_an_environment(tmp_path, env, env_config, words):
    folder = write_team(tmp_path / "checkpoint", env, env_config)
    assert rllib("evaluate", folder).exit_code == 2
    result = rllib("evaluate", folder, "--episodes", 4, *words)
    assert result.exit_code == 0, result.output
    assert "on tests.teams:ScriptedBattle" in result.output


def test_the_user_names_the_code_of_an_adapter(tmp_path):
    path = "tests.envs.adapters.test_parallel:Rowers"
    folder = write_team(tmp_path / "checkpoint", "pettingzoo", {"env": path}, sizes=(1, 2, 2))
    team = TeamPolicy.from_checkpoint(folder)
    with pytest.raises(BadInput, match=f"--env {path}"):
        make_games(team, 1, {})
    for given in ({"env_config": {}, "env": path}, {"env_config": {"env": path}}):
        # It was made, and is of other sizes.
        with pytest.raises(BadInput, match="the team was trained with 2 agents"):
            make_games(team, 1, **given)


def test_every_shipped_environment_is_known_to_name_code_or_not():
    """Who adds one says here which setting of it is imported."""
    assert set(ENVS) == {*SHIPPED, *ADAPTERS}


EXPORT = ("export", "--format", "torch")


class Evil:
    """Runs a program when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_no_pickle_of_a_checkpoint_is_read(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, mark = tmp_path / "checkpoint", tmp_path / "MARK"
    for file in checkpoint.rglob("*"):
        target = folder / file.relative_to(checkpoint)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".pkl":
            target.write_bytes(pickle.dumps(Evil(mark)))
        elif file.is_file():
            target.write_bytes(file.read_bytes())
    assert list(folder.rglob("*.pkl"))
    for command, *words in (("evaluate", "--episodes", 2), ("attention",), EXPORT):
        result = rllib(command, folder, *words)
        assert result.exit_code == 0, result.output
    assert not mark.exists()


def test_the_terminal_gets_no_control_characters_and_no_markup(team):
    evil = "\x1b]0;owned\x07[bold red]x[/nope]\u202e"

    def change(metadata):
        metadata["algorithm"] = metadata["environment"]["engine"] = evil

    seal(team, change)
    for words in (("evaluate", team, "--episodes", 2), ("attention", team)):
        output = rllib(*words).output
        assert "[bold red]x[/nope]" in output
        assert not {"\x1b", "\x07", "\u202e"} & set(output)


@pytest.mark.parametrize("agents", [[("red", 1), ("blue", 2)], [7, 3], ["a", ("b", ("c", 1))]])
def test_ids_come_back_as_they_were(tmp_path, agents):
    folder = write_team(tmp_path / "checkpoint")
    seal(folder, lambda metadata: metadata.update(agents=agents))
    team = TeamPolicy.from_checkpoint(folder)
    assert team.agents == tuple(agents)
    for place, agent in enumerate(agents):
        assert team.agent(agent).place == place
    with pytest.raises(BadInput, match="No agent 'nobody': the team has"):
        team.agent("nobody")
