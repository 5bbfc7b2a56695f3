"""One gradient update, beside the textbook form of the same, TorchRL's, and RLlib's Learner."""

from __future__ import annotations

from typing import Any

from ray.rllib.core import DEFAULT_MODULE_ID

from benchmarks import torchrl_peer
from benchmarks.peak import products
from benchmarks.teams import Size, random_episodes
from benchmarks.turns import Row, Spread, Work, rates, ratios, take_turns
from benchmarks.updaters import (
    assert_equal,
    build_learner,
    flops,
    learner_update,
    package_loss,
    textbook_loss,
    updater,
)
from rllib_qatten import QattenConfig, QMIXConfig
from rllib_qatten.training.batch import pack

KINDS = "full", "ragged"
TORCHRL = "TorchRL"
#: How many textbook updates of 3s5z one of theirs takes, with the least and a good speed-up over
#: them. Measured on one machine, not in this run; the README says how.
TRANSLATED = {
    "Qatten": {"PyMARL2": (1.2, 1.5, 1.7), "its authors' code": (1.6, 2.0, 2.4)},
    "QMIX": {"PyMARL2": (1.2, 1.3, 1.5), "EPyMARL": (1.4, 1.5, 1.8), "RLlib 2.6": (2.0, 2.2, 2.5)},
}


def run(name: str, size: Size, rounds: int, seconds: float) -> list[Row]:
    """Measures Qatten and QMIX on full and ragged batches of one size, all in the same rounds."""
    configs = {config.name: config for config in (QattenConfig(), QMIXConfig())}
    episodes = {kind: random_episodes(size, ragged=kind == "ragged") for kind in KINDS}
    contenders: dict[str, Work] = {}
    work = {}
    for algorithm, config in configs.items():
        learner = build_learner(config, size)
        module = learner.module[DEFAULT_MODULE_ID]
        for kind in KINDS:
            ours = package_loss(config, episodes[kind])
            plain = textbook_loss(config, episodes[kind], size)
            assert_equal(module, ours, plain)
            contenders[f"{algorithm} {kind} textbook"] = updater(config, module, plain)
            contenders[f"{algorithm} {kind} package"] = updater(config, module, ours)
            if kind == "full":
                work[algorithm] = flops(module, plain)
        contenders[f"{algorithm} Learner.update"] = learner_update(learner, episodes["full"])
    if torchrl_peer.installed():
        contenders[TORCHRL] = torchrl_peer.updater(configs["QMIX"], episodes["full"], size)
    peaks = products(256 if name == "tiny" else 4096)

    def packing() -> float:
        pack(episodes["full"])
        return 1

    taken = take_turns(contenders | peaks | {"pack": packing}, rounds, seconds)
    table = _Rows(name, {who: rates(turns) for who, turns in taken.items()})
    table.peaks = list(peaks)
    for algorithm in configs:
        table.add_algorithm(algorithm, size, work[algorithm])
    table.add_torchrl()
    table.add("pack: a list of episodes to a batch", table.milliseconds("pack"))
    return table.rows


class _Rows:
    """Rows from the speeds of all contenders of one size."""

    def __init__(self, size: str, speeds: dict[str, list[float]]) -> None:
        self.size, self.speeds = size, speeds
        self.rows: list[Row] = []
        self.peaks: list[str] = []

    def add(self, name: str, numbers: list[float], unit: str = "ms (cpu)", **more: Any) -> None:
        self.rows.append(Row("update", f"{self.size} {name}", unit, Spread.of(numbers), **more))

    def milliseconds(self, name: str) -> list[float]:
        return [1e3 / speed for speed in self.speeds[name]]

    def add_algorithm(self, algorithm: str, size: Size, work: float) -> None:
        for kind in KINDS:
            plain, ours = f"{algorithm} {kind} textbook", f"{algorithm} {kind} package"
            times = ratios(self.speeds[ours], self.speeds[plain])
            self.add(plain, self.milliseconds(plain))
            self.add(
                ours, self.milliseconds(ours), ratio=times, against=f"{kind} textbook", goal=1.3
            )
            if kind == "full" and self.size == "3s5z":
                self._add_translated(algorithm, times)
        ours, learner = f"{algorithm} full package", f"{algorithm} Learner.update"
        trained = [size.batch * size.steps * speed for speed in self.speeds[learner]]
        self.add(learner, self.milliseconds(learner))
        self.add(f"{learner}, trained", trained, "env steps/s (cpu)")
        both = zip(self.milliseconds(learner), self.milliseconds(ours), strict=True)
        beyond = [a - b for a, b in both]
        share = ratios(beyond, self.milliseconds(learner))
        self.add(f"{learner} less the bare update", beyond, ratio=share, against="Learner.update")
        reached = [work * speed for speed in self.speeds[ours]]
        # Per round the fastest library: that is what the machine can do.
        peak = [max(speeds) for speeds in zip(*(self.speeds[p] for p in self.peaks), strict=True)]
        best = max(self.peaks, key=lambda p: Spread.of(self.speeds[p]).median)
        self.add(
            f"{ours}, {work / 1e9:.2f} GFLOP",
            [x / 1e9 for x in reached],
            "GFLOP/s (cpu)",
            ratio=ratios(reached, peak),
            against=f"peak: {best}, {Spread.of(peak).median / 1e9:.0f} GFLOP/s",
        )

    def _add_translated(self, algorithm: str, times: Spread) -> None:
        for peer, (slower, goal, good) in TRANSLATED[algorithm].items():
            self.rows.append(
                Row(
                    "update", f"{self.size} {algorithm} full package, translated", "", None,
                    ratio=times.times(slower), against=peer, goal=goal, good=good,
                    note=f"1 of {peer} = {slower:g} of the textbook",
                )
            )  # fmt: skip

    def add_torchrl(self) -> None:
        name = f"{self.size} QMIX full {TORCHRL}"
        if TORCHRL not in self.speeds:
            self.rows.append(Row("update", name, "", None, note=torchrl_peer.HOW_TO_INSTALL))
            return
        self.add(f"QMIX full {TORCHRL}", self.milliseconds(TORCHRL))
        ours = "QMIX full package"
        times = ratios(self.speeds[ours], self.speeds[TORCHRL])
        self.add(ours, self.milliseconds(ours), ratio=times, against=TORCHRL, goal=1.3, good=1.5)
