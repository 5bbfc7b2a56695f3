"""Nothing imports upward, no circle of files, and no Ray below the line: over every module."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Loose modules, which all others may use.
GROUND = ("version", "errors", "messages", "keys", "columns", "files")
#: The rooms from the ground up; a module imports from its own room and from those before it.
ROOMS = (
    GROUND,
    ("hardware",),
    ("compiled",),
    ("mixers", "agents"),
    ("envs",),
    ("rollout",),
    ("training",),
    ("checkpoints",),
    ("algorithms",),
    ("evaluation",),
    ("drawing",),
    ("report",),
    ("experiment",),
    ("commands",),
    ("__init__", "__main__"),
)
#: Rooms in which nothing of Ray is imported.
PLAIN = (*GROUND, "hardware", "compiled", "mixers", "agents")


def module_name(root, file):
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imported(root, package):
    """Module -> names of modules it imports, functions' own and TYPE_CHECKING ones included."""
    files = {module_name(root, f): f for f in (root / package).rglob("*.py")}
    found = {}
    for module, file in files.items():
        names = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{file}: write imports in full"
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= full & files.keys() or {node.module}
                names |= {node.module} if full - files.keys() else set()
        found[module] = names
    return found


def inside(names, modules):
    """Those of the names that are modules of the package, as the nearest module there is."""
    for name in names:
        while name and name not in modules:
            name = name.rpartition(".")[0]
        if name:
            yield name


def circles(graph):
    """Sets of modules that import each other in a circle."""
    reached = {}
    for module in graph:
        seen, todo = set(), [module]
        while todo:
            for other in inside(graph[todo.pop()], graph.keys()):
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        reached[module] = seen
    return {
        frozenset(other for other in seen if module in reached[other]) | {module}
        for module, seen in reached.items()
        if any(module in reached[other] for other in seen - {module})
    }


def room(module):
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 else "__init__"
    return next((floor for floor, rooms in enumerate(ROOMS) if name in rooms), None)


def upward(graph):
    """Imports of a higher room, as (module, what it imports)."""
    return {
        (module, other)
        for module, names in graph.items()
        for other in inside(names, graph.keys())
        if room(other) > room(module)
    }


def with_ray(graph):
    """Modules of plain rooms that import Ray."""
    return {
        module
        for module, names in graph.items()
        if module.split(".")[1:2] and module.split(".")[1] in PLAIN
        if "ray" in {name.split(".")[0] for name in names}
    }


GRAPHS = {package: imported(ROOT, package) for package in ("rllib_qatten", "benchmarks")}


@pytest.mark.parametrize("package", GRAPHS)
def test_no_circle_of_files(package):
    assert [sorted(circle) for circle in circles(GRAPHS[package])] == []


def test_every_module_has_its_room():
    assert [module for module in GRAPHS["rllib_qatten"] if room(module) is None] == []


def test_nothing_imports_upward():
    assert sorted(upward(GRAPHS["rllib_qatten"])) == []


def test_no_ray_below_the_line():
    assert with_ray(GRAPHS["rllib_qatten"]) == set()


def tree(folder, files):
    """A package of the given files: path -> source."""
    for path, source in files.items():
        file = folder / "rllib_qatten" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return imported(folder, "rllib_qatten")


def test_a_circle_is_found(tmp_path):
    files = {
        "agents/base.py": "def f():\n    from rllib_qatten.agents import recurrent\n",
        "agents/recurrent.py": "if TYPE_CHECKING:\n    import rllib_qatten.agents.base\n",
    }
    graph = tree(tmp_path, files)
    assert circles(graph) == {frozenset(graph)}
    assert not upward(graph)


def test_an_upward_import_is_found(tmp_path):
    files = {
        "__init__.py": "",
        "keys.py": "import rllib_qatten\n",
        "envs/battles/smax.py": "from rllib_qatten.rollout.replay import EpisodeReplay\n",
        "rollout/replay.py": "from rllib_qatten.envs.battles import smax\n",
    }
    assert upward(tree(tmp_path, files)) == {
        ("rllib_qatten.envs.battles.smax", "rllib_qatten.rollout.replay"),
        ("rllib_qatten.keys", "rllib_qatten"),
    }


def test_ray_below_the_line_is_found(tmp_path):
    files = {
        "mixers/qmix.py": "def f():\n    from ray.rllib.core import Columns\n",
        "envs/team.py": "import ray\n",
    }
    assert with_ray(tree(tmp_path, files)) == {"rllib_qatten.mixers.qmix"}
