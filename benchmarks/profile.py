"""Where the time of an update and of an iteration goes."""

from __future__ import annotations

import time
from collections import Counter

from ray.rllib.core import DEFAULT_MODULE_ID
from torch.profiler import ProfilerActivity
from torch.profiler import profile as torch_profile

from benchmarks.end_to_end import Stopwatch, qatten
from benchmarks.teams import Size, random_episodes
from benchmarks.turns import Row, Spread, rates, ratios, take_turns
from benchmarks.updaters import build_learner, learner_update, package_loss, updater
from rllib_qatten import QattenConfig
from rllib_qatten.envs.battles.smax import installed

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


def update(size: Size, rounds: int, seconds: float) -> list[Row]:
    """Shares of the bare update's CPU time, and what RLlib's Learner adds.

    Recording slows everything but the kernels. So kernels count what they took while recorded, and
    what is left of an update that was not recorded went to Python and torch's dispatch.
    """
    config = QattenConfig()
    learner = build_learner(config, size)
    episodes = random_episodes(size, ragged=False)
    bare = updater(config, learner.module[DEFAULT_MODULE_ID], package_loss(config, episodes))
    works = {"bare": bare, "Learner": learner_update(learner, episodes)}
    taken = take_turns(works, rounds, seconds)
    took = {name: [1 / rate for rate in rates(turns)] for name, turns in taken.items()}
    begun = time.perf_counter(), time.process_time()
    with torch_profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(UPDATES):
            bare()
        wall, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
    spent: Counter[str] = Counter()
    for event in recorded.key_averages():  # by the wall clock, others' work included
        spent[kind(event.key)] += event.self_cpu_time_total / 1e6 / UPDATES * cpu / wall
    one = Spread.of(took["bare"])
    shares = {name: 100 * spent[name] / one.median for name in KINDS}
    shares["Python, views, allocation, dispatch"] = 100 - sum(shares.values())
    beyond = ratios(took["Learner"], took["bare"])
    return [
        Row("profile", "Qatten update", "ms (cpu)", one.times(1000)),
        *(
            Row("profile", f"... {name}", "% of update", Spread.of([share]))
            for name, share in shares.items()
        ),
        Row("profile", "Learner.update", "ms (cpu)", Spread.of(took["Learner"]).times(1000),
            ratio=beyond, against="update"),
    ]  # fmt: skip


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
            "... recording": Stopwatch(runner.games.recorder, "record"),
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
