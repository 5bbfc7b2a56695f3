"""Finds which private names of Ray the package uses: overrides, calls, attributes, imports.

`python -m tests.ray_private` prints the table that `tests/test_ray_private.py` keeps.
"""

import ast
import functools
import importlib
import inspect
import pkgutil
import textwrap

import rllib_qatten

#: Private names of Python's and torch's.
NOT_RAYS = ("_VF", "_asdict", "_cudnn_rnn_flatten_weight", "_exit", "_linear_pointwise")
#: Lists every setting of RLlib's by itself, private ones too, with a test of its own.
SETTINGS = ("rllib_qatten.algorithms.rllib_settings", "rllib_qatten.algorithms.refusals")


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


@functools.cache
def sources():
    """Module name -> module, of the whole package."""
    names = [m.name for m in pkgutil.walk_packages(rllib_qatten.__path__, "rllib_qatten.")]
    # `__main__` runs the command; the program of one game is no part of the package's process.
    skipped = (".__main__", ".sc2_game")
    return {name: importlib.import_module(name) for name in names if not name.endswith(skipped)}


@functools.cache
def assigned(cls):
    """Private attributes that a class's own methods assign to self."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError):
        return frozenset()
    return frozenset(
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if isinstance(node.value, ast.Name) and node.value.id == "self" and is_private(node.attr)
    )


def of_ray(cls):
    return cls.__module__.split(".")[0] == "ray"


def owner(cls, name):
    """The class of Ray's, among a class's bases, that has a private name."""
    bases = [base for base in cls.__mro__ if of_ray(base)]
    for base in bases:
        if name in vars(base):
            return base
    # The one that set it first: the last in the order of resolution.
    return next((base for base in reversed(bases) if name in assigned(base)), None)


def names_in(cls):
    """Private names that a class defines or reaches through self and super()."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and is_private(node.name):
            yield node.name
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            base = node.value
            own = isinstance(base, ast.Name) and base.id == "self"
            parent = isinstance(base, ast.Call) and isinstance(base.func, ast.Name)
            if own or (parent and base.func.id == "super"):
                yield node.attr


def used():
    """What is used -> where: "module:Class.name", "module:name", or ".name" of some object."""
    found = {}

    def note(what, module):
        found.setdefault(what, set()).add(module)

    ours = set()
    for name, module in sources().items():
        tree = ast.parse(inspect.getsource(module))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                ours.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                if isinstance(node.value, ast.Name) and node.value.id == "self":
                    ours.add(node.attr)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                ours.add(node.target.id)
        for cls in vars(module).values():
            if not inspect.isclass(cls) or cls.__module__ != name:
                continue
            for private in names_in(cls):
                if base := owner(cls, private):
                    note(f"{base.__module__}:{base.__name__}.{private}", name)
    for name, module in sources().items():
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ray":
                for alias in node.names:
                    hidden = any(map(is_private, node.module.split(".")))
                    if hidden or is_private(alias.name):
                        note(f"{node.module}:{alias.name}", name)
            elif isinstance(node, ast.Attribute) and is_private(node.attr):
                own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                known = node.attr in ours or node.attr in NOT_RAYS
                if not own and not isinstance(node.value, ast.Call) and not known:
                    note(f".{node.attr}", name)
            elif isinstance(node, ast.keyword) and node.arg and is_private(node.arg):
                note(f"{node.arg}=", name)
            elif isinstance(node, ast.Dict) and name not in SETTINGS:
                for key in node.keys:
                    text = key.value if isinstance(key, ast.Constant) else None
                    if isinstance(text, str) and is_private(text) and text not in ours:
                        note(f"{text}=", name)
    return {what: sorted(where) for what, where in sorted(found.items())}


def signature(what):
    """What is known of a private name: its signature, or that it is an attribute; None if gone."""
    if what.startswith(".") or what.endswith("="):
        return ""
    module, _, path = what.partition(":")
    try:
        owned = importlib.import_module(module)
        *parents, last = path.split(".")
        for parent in parents:
            owned = getattr(owned, parent)
    except (ImportError, AttributeError):
        return None
    if not parents:
        owned, found = None, getattr(owned, last, None)
        if found is None:
            return None
    elif last in vars(owned):
        found = inspect.getattr_static(owned, last)
    else:
        return "attribute" if last in assigned(owned) else None
    if isinstance(found, property):
        return "property"
    found = getattr(found, "__func__", found)
    if not callable(found):
        return type(found).__name__
    parameters = inspect.signature(found).parameters.values()
    # Names and kinds: annotations and defaults may change without harm. Ray adds an argument of its
    # own to methods of actors.
    plain = [p.replace(annotation=p.empty, default=p.empty) for p in parameters]
    return ", ".join(str(p) for p in plain if p.name != "_ray_trace_ctx")


if __name__ == "__main__":
    for what, where in used().items():
        print(f"    {what!r}: ({signature(what)!r}, {where}),")
