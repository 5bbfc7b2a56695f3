"""Nothing imports upward, no circle of files, and no Ray below the line: over every module."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: The rooms from the ground up; a module imports from its own room and from those before it.
ROOMS = (
    ("version", "errors", "messages", "keys", "columns", "files", "fast_linear"),
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
PLAIN = ("version", "errors", "keys", "columns", "files", "fast_linear", "mixers", "agents")


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
