"""Envs of one's own, named by their path."""

import sys

import pytest

from rllib_qatten.envs import env_creator, make_teams
from rllib_qatten.envs.import_path import load_attribute, load_module

OWN = """\
from functools import partial
from shlex import quote as borrowed

from tests.teams import ScriptedBattle

LIMIT = 3


class MyEnv(ScriptedBattle):
    pass


def build(env_config):
    return MyEnv({"limit": LIMIT, **env_config})


half = partial(MyEnv, {})


class Nothing:
    def __init__(self, env_config):
        pass
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a package of the user's, as a console script finds it."""
    package = tmp_path / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "games.py").write_text(OWN)
    (package / "needy.py").write_text("import not_installed_anywhere")
    (package / "broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    yield tmp_path
    for name in [n for n in sys.modules if n.split(".")[0] == "own_package"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["MyEnv", "build"])
def test_classes_and_functions_of_the_current_directory(folder, name):
    teams = make_teams(f"own_package.games:{name}", {"agents": 3}, 2)
    assert teams.spec.n_agents == 3
    assert teams.spec.episode_limit == (3 if name == "build" else None)


def test_the_python_path_goes_before_what_is_installed(folder, monkeypatch):
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "own_game.py").write_text(OWN)
    monkeypatch.syspath_prepend(folder / "elsewhere")
    assert load_attribute("own_game:MyEnv").__name__ == "MyEnv"
    del sys.modules["own_game"]


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("own_packag.games:MyEnv", ModuleNotFoundError,
         "No module 'own_packag' in {folder}, in PYTHONPATH or among the installed packages. "
         "Did you mean 'own_package'?"),
        ("own_package.game:MyEnv", ModuleNotFoundError,
         "No module 'own_package.game' in {folder}, in PYTHONPATH or among the installed packages. "
         "Did you mean 'own_package.games'?"),
        ("own_package.needy:MyEnv", ModuleNotFoundError,
         "The module 'own_package.needy' imports 'not_installed_anywhere', "
         "which is not installed."),
        ("own_package.broken:MyEnv", ValueError,
         "Importing 'own_package.broken' raised ZeroDivisionError: division by zero "
         "({folder}/own_package/broken.py line 1, in <module>) "
         "(python -c 'import own_package.broken' shows all of it)"),
        ("own_package.games:MyEvn", ValueError,
         "Unknown class or function in own_package.games: 'MyEvn'. Did you mean 'MyEnv'? "
         "Accepted: MyEnv, Nothing, build."),
        ("own_package.games:LIMIT", ValueError,
         "own_package.games:LIMIT is a int: name a MultiAgentEnv class, a ParallelEnv class, or a "
         "function that takes env_config and returns an env."),
        ("own_package.games:", ValueError,
         "'own_package.games:' is not the path of a class: write my_package.my_module:MyEnv."),
        ("own_package.games:Nothing", ValueError,
         "own_package.games:Nothing is a class, but not an environment: subclass "
         "ray.rllib.env.multi_agent_env.MultiAgentEnv or pettingzoo.ParallelEnv."),
        ("own_package.games:borrowed", ValueError,
         "own_package.games:borrowed is defined in another module: write "
         "shlex:quote."),
        ("own_package.games:half", ValueError,
         "own_package.games:half is a partial: name an environment's class, or a function that "
         "takes env_config and returns an env."),
        *((path, ValueError, f"{path} is part of Python, not an environment.")
          for path in ("subprocess:run", "os:system", "subprocess:Popen", "builtins:exec")),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_path(folder, path, error, says):
    with pytest.raises(error) as raised:
        env_creator(path)({})
    assert str(raised.value) == says.format(folder=folder)


def test_a_missing_package_of_the_extra_is_said_to_be_in_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "rware", None)  # as if it were not installed
    with pytest.raises(ModuleNotFoundError, match=r"No module 'rware'.*pip install.*\[envs\]"):
        env_creator("gymnasium")({"id": "rware:rware-tiny-2ag-v2"})


def test_a_module_without_submodules_has_no_nearest(folder):
    with pytest.raises(ModuleNotFoundError, match=r"No module 'json\.decoder\.x'"):
        load_module("json.decoder.x")


def test_a_name_that_no_process_knows_says_how_it_would():
    with pytest.raises(ValueError, match=r"or tune.register_env in this process first\): 'friday'"):
        env_creator("friday")
