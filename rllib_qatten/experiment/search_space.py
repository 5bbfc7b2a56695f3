"""Values that Tune samples, written in YAML: `lr: {loguniform: [0.0001, 0.01]}`.

A mapping whose only key is one of `DOMAINS` stands for `ray.tune`'s function of that name, like
`grid_search` in Tune's own format. No setting has such a value otherwise. Tune's `{eval: ...}` is
refused: an experiment file runs no code.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ray import tune
from ray.tune.search.sample import Categorical, Domain, Integer, Normal, Quantized
from ray.tune.search.variant_generator import parse_spec_vars

from rllib_qatten.experiment.typed import shown

GRID = "grid_search"
#: Name -> what is listed after it; `choice` takes any number of values.
DOMAINS = {
    "choice": "value, value, ...",
    "uniform": "lower, upper",
    "quniform": "lower, upper, step",
    "loguniform": "lower, upper",
    "qloguniform": "lower, upper, step",
    "randint": "lower, upper",
    "qrandint": "lower, upper, step",
    "lograndint": "lower, upper",
    "qlograndint": "lower, upper, step",
    "randn": "mean, deviation",
    "qrandn": "mean, deviation, step",
}

Path = tuple[Any, ...]


def sampled(tree: Any, path: Path = ()) -> Any:
    """Returns a copy of settings with Tune's domains in place of their YAML form.

    Args:
        tree: Settings as read from YAML.
        path: Its path, for messages.

    Raises:
        ValueError: For a domain with invalid bounds, a grid that is empty or has a value twice, or
            `eval`.
    """
    if isinstance(tree, list):
        return [sampled(value, (*path, i)) for i, value in enumerate(tree)]
    if not isinstance(tree, dict):
        return tree
    if len(tree) == 1:
        [(name, values)] = tree.items()
        where = ".".join(map(str, path))
        if name == "eval":
            raise ValueError(
                f"{where}: eval would run code. Use grid_search or one of {', '.join(DOMAINS)}."
            )
        if name == GRID:
            if not isinstance(values, list):
                raise ValueError(f"{where}: grid_search needs a list of values, [0.1, 0.2].")
            if not values:
                raise ValueError(f"{where}: grid_search has no values.")
            several = [value for value, n in Counter(map(repr, values)).items() if n > 1]
            if several:
                raise ValueError(
                    f"{where}: grid_search has {several[0][:80]} more than once, and equal trials "
                    "tell nothing new: leave it out, or vary the seed."
                )
            return tree
        if name in DOMAINS:
            return _domain(name, values, where)
    return {key: sampled(value, (*path, key)) for key, value in tree.items()}


def _domain(name: str, values: Any, where: str) -> Domain:
    form = f"{where}: {name} needs [{DOMAINS[name]}]"
    if not isinstance(values, list) or not values:
        raise ValueError(f"{form}; got {shown(values)}.")
    if name == "choice":
        return tune.choice(values)
    kinds: Any = int if "randint" in name else int | float
    plain = [isinstance(v, kinds) and not isinstance(v, bool) for v in values]
    if len(values) != len(DOMAINS[name].split(", ")) or not all(plain):
        numbers = "whole numbers" if kinds is int else "numbers"
        raise ValueError(f"{form}, all {numbers}; got {shown(values)}.")
    lower, upper, *step = values
    if "randn" in name:
        faults = {"the deviation must be above 0": upper <= 0}
    else:
        faults = {
            "lower must be below upper": lower >= upper,
            "a logarithm needs lower above 0": "log" in name and lower <= 0,
        }
    faults |= {"the step must be above 0": bool(step) and step[0] <= 0}
    for fault, is_so in faults.items():
        if is_so:
            raise ValueError(f"{form}, and {fault}; got {shown(values)}.")
    try:
        return getattr(tune, name)(*values)
    except ValueError as error:  # bounds that are not multiples of the step
        raise ValueError(f"{form}: {error}") from error


def searched(tree: dict[str, Any]) -> dict[Path, list[Any]]:
    """What varies in settings: path -> representative values.

    These are all values of a grid or choice, the ends of a range, and the mean of a normal
    distribution.
    """
    _, domains, grid = parse_spec_vars(tree)
    return {path: examples(domain) for path, domain in [*grid, *domains]}


def examples(domain: Any) -> list[Any]:
    """See `searched`; for a list, all values."""
    if isinstance(domain, list):
        return domain
    if isinstance(domain, Categorical):
        return list(domain.categories)
    sampler = domain.get_sampler()
    sampler = sampler.sampler if isinstance(sampler, Quantized) else sampler
    return [sampler.mean] if isinstance(sampler, Normal) else bounds(domain)


def bounds(domain: Any) -> list[Any]:
    """The least and the greatest value of a range.

    Ranges of whole numbers exclude their upper bound, unless they have a step.
    """
    stepped = isinstance(domain.get_sampler(), Quantized)
    whole = isinstance(domain, Integer) and not stepped
    return [domain.lower, domain.upper - 1 if whole else domain.upper]


def grids(tree: dict[str, Any]) -> list[int]:
    """How many values each `grid_search` has."""
    return [len(values.categories) for _, values in parse_spec_vars(tree)[2]]


def put(tree: Any, path: Path, value: Any) -> None:
    """Sets a value deep inside settings."""
    for part in path[:-1]:
        tree = tree[part] if isinstance(tree, list) else tree.setdefault(part, {})
    tree[path[-1]] = value
