"""Where the time of an update and of an iteration goes."""

from __future__ import annotations

import time
from collections import Counter

from ray.rllib.core import DEFAULT_MODULE_ID
from torch.profiler import ProfilerActivity, profile

from benchmarks.end_to_end import Stopwatch, qatten
from benchmarks.teams import Size, random_episodes
from benchmarks.turns import Row, Spread
from benchmarks.updaters import build_learner, learner_update, package_loss, updater
from rllib_qatten import QattenConfig
from rllib_qatten.envs.smax import installed

UPDATES = 20
#: Parts of torch's operator names, in the order they are looked for.
KINDS = {
    "matrix products": ("mm", "linear", "matmul", "mkldnn", "onednn"),
    "copies, gathers, concatenations": (
        "copy", "cat", "gather", "scatter", "index", "stack", "clone", "fill", "zero", "_to_",
    ),
    "sums, norms, softmax, arg max": ("sum", "norm", "softmax", "max", "mean"),
    "element-wise": (
        "mul", "add", "sub", "div", "sigmoid", "tanh", "relu", "threshold", "lerp", "elu", "abs",
        "neg", "pow", "sqrt", "square", "where", "sgn", "bitwise", "eq", "lt", "le", "gt", "ge",
    ),
}  # fmt: skip
VIEWS = "views, allocation, dispatch"


def kind(operator: str) -> str:
    """Which of `KINDS` an operator is of."""
    name = operator.removeprefix("aten::").lower()
    found = (kind for kind, words in KINDS.items() if any(word in name for word in words))
    return next(found, VIEWS)


def update(size: Size) -> list[Row]:
    """Shares of the wall time of the bare update and what RLlib's Learner adds."""
    config = QattenConfig()
    learner = build_learner(config, size)
    episodes = random_episodes(size, ragged=False)
    work = updater(config, learner.module[DEFAULT_MODULE_ID], package_loss(config, episodes))
    whole = learner_update(learner, episodes)
    bare_seconds, whole_seconds = _seconds(work), _seconds(whole)
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(UPDATES):
            work()
    spent: Counter[str] = Counter()
    for event in recorded.key_averages():
        spent[kind(event.key)] += event.self_cpu_time_total / 1e6 / UPDATES
    # Recording slows everything but the kernels: kernels keep their seconds, what is left over of
    # an update that was not recorded went to Python and torch's dispatch.
    shares = {name: spent[name] / bare_seconds for name in KINDS}
    shares["Python, views, allocation, dispatch"] = 1 - sum(shares.values())
    rows = [Row("profile", "Qatten update", "ms (wall)", Spread.of([1e3 * bare_seconds]))]
    rows += [
        Row("profile", f"... {name}", "% of update", Spread.of([100 * share]))
        for name, share in shares.items()
    ]
    beyond = max(0.0, whole_seconds - bare_seconds)
    share = Spread.of([100 * beyond / bare_seconds])
    return [*rows, Row("profile", "Learner.update adds", "% of update", share)]


def _seconds(work: object) -> float:
    """Of one call, the median of several."""
    work()
    taken = []
    for _ in range(UPDATES):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return Spread.of(taken).median


def iteration(tiny: bool) -> list[Row]:
    """Shares of the wall time of one `train()`: of playing, learning, and their pieces."""
    if tiny or not installed():
        config = qatten("two_step_game", {}, games=2, batch=4)
        config.min_sample_timesteps_per_iteration = 40
    else:
        config = qatten("smac", {"map_name": "3s5z", "engine": "smax"}, games=32, batch=32)
    config.evaluation(evaluation_interval=None)
    algorithm = config.build_algo()
    try:
        algorithm.train()  # compiles and fills
        runner, learner = algorithm.env_runner, algorithm.learner_group
        watches = {
            "playing": Stopwatch(runner, "sample"),
            "... acting": Stopwatch(runner.module, "forward_inference"),
            "... the games": Stopwatch(runner.env, "step"),
            "... recording": Stopwatch(runner._recorder, "record"),
            "drawing": Stopwatch(algorithm.replay, "sample"),
            "learning": Stopwatch(learner, "update"),
        }
        begun = time.perf_counter()
        algorithm.train()
        took = time.perf_counter() - begun
    finally:
        algorithm.stop()
    rows = [Row("profile", "iteration of Qatten", "s (wall)", Spread.of([took]))]
    rows += [
        Row("profile", name, "% of iteration", Spread.of([100 * watch.seconds / took]))
        for name, watch in watches.items()
    ]
    known = sum(watches[name].seconds for name in ("playing", "drawing", "learning"))
    return [
        *rows,
        Row("profile", "the rest", "% of iteration", Spread.of([100 * (took - known) / took])),
    ]
