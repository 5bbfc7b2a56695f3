"""The tables of a report: what each algorithm reached on each task, and every run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ray.tune.result import TIME_TOTAL_S

from rllib_qatten.messages import printable
from rllib_qatten.report import statistics, timing
from rllib_qatten.report.number_files import Table
from rllib_qatten.report.run import Run
from rllib_qatten.report.scores import SCORES

#: What is said of a run's speed: it ran alone, or others ran beside it, or nobody knows.
ALONE = {True: "", False: " (shared)", None: " (?)"}
#: Up to so many runs, each one's number is shown instead of their range.
SHOWN = 4
Task = tuple[str, str]


def by_algorithm(
    groups: dict[Task, dict[str, list[Run]]], aggregate: str, title: Callable[[Task], str]
) -> Table:
    """A row for each algorithm on each task, the best first.

    Args:
        groups: Task -> algorithm -> its runs.
        aggregate: "iqm" or "median".
        title: A task's title.
    """
    every = [run for algorithms in groups.values() for of in algorithms.values() for run in of]
    scores = [score for score in SCORES if any(score in run.scores for run in every)]
    head = ["task", "algorithm"]
    for score in scores:
        head += [SCORES[score].title, "95 % interval", "its runs"]
    table = Table([*head, "runs", "env steps"], [], range(2, len(head) + 2), [])
    for task, algorithms in groups.items():
        for label in sorted(algorithms, key=lambda label: _rank(algorithms[label])):
            of_label = algorithms[label]
            row = [title(task), label]
            record: dict[str, Any] = {"task": title(task), "algorithm": label}
            for score in scores:
                cells, found = _cells(of_label, score, aggregate)
                row += cells
                record |= found
            table.rows.append([*row, str(len(of_label)), _span(of_label)])
            ends = sorted(run.steps[-1] for run in of_label)
            about = {"runs": len(of_label), "env_steps_least": ends[0], "env_steps_most": ends[-1]}
            table.records.append(record | about)
    return table


def order(groups: dict[Task, dict[str, list[Run]]]) -> list[str]:
    """All algorithms, the best first: by their mean place among those of a task."""
    places: dict[str, list[float]] = {}
    for algorithms in groups.values():
        ranked = sorted(algorithms, key=lambda label: _rank(algorithms[label]))
        for place, label in enumerate(ranked):
            places.setdefault(label, []).append(place / len(ranked))
    return sorted(places, key=lambda label: (np.mean(places[label]), label))


def over_tasks(scores: dict[str, np.ndarray], tasks: int, aggregate: str) -> Table:
    """A row for each algorithm: the aggregate of its normalized final scores, the best first.

    Args:
        scores: Algorithm -> [R, M].
        tasks: Their number M.
        aggregate: "iqm" or "median".
    """
    title = statistics.TITLES[aggregate]
    head = ["algorithm", title, "95 % interval", "tasks", "runs of each"]
    table = Table(head, [], range(1, len(head)), [])
    found = statistics.over_tasks(scores, aggregate)
    for label in sorted(found, key=lambda label: -found[label].mean):
        estimate, runs = found[label], len(scores[label])
        table.rows.append([label, *estimate.cells("{:.3f}"), str(tasks), str(runs)])
        about = {"algorithm": label, **estimate.to_dict(), "tasks": tasks, "runs_of_each": runs}
        table.records.append(about)
    return table


def of_runs(runs: list[Run]) -> Table:
    """A row for each run, by task, the best first."""
    titles = [score.title for score in SCORES.values()]
    head = ["task", "algorithm", "run", *titles, "env steps", "steps/s", "time"]
    about = ["date", "commit", "versions", "machine", "command", "folder"]
    table = Table([*head, *about], [], range(3, len(head)), [])
    alone = {id(run): known for run, known in zip(runs, timing.alone(runs), strict=True)}
    for run in sorted(runs, key=lambda run: (run.environment, run.task, *_rank([run]))):
        speed = timing.steps_per_second(run)
        seconds = run.columns.get(TIME_TOTAL_S)
        total = None if seconds is None else float(np.nanmax(seconds))
        known = [*(run.about[name] for name in about[:-1]), printable(run.folder, 2000)]
        table.rows.append(
            [
                run.task,
                run.label,
                run.name,
                *(_number(run.final(name), score.form) for name, score in SCORES.items()),
                f"{run.steps[-1]:,.0f}",
                "-" if speed is None else f"{speed:,.0f}{ALONE[alone[id(run)]]}",
                "-" if total is None else f"{total / 60:.1f} min",
                *known,
            ]
        )
        table.records.append(
            {"environment": run.environment, "task": run.task, "algorithm": run.label}
            | {"run": run.name}
            | {score: run.final(score) for score in run.scores}
            | {"env_steps": run.steps[-1], "env_steps_per_second": speed, "seconds": total}
            | {"alone": alone[id(run)]}
            | dict(zip(about, known, strict=True))
        )
    return table


def _cells(runs: list[Run], score: str, aggregate: str) -> tuple[list[str], dict[str, Any]]:
    """Table cells of the runs' final numbers, and the same as a record."""
    if not all(score in run.scores for run in runs):
        return ["-", "-", "-"], {}
    form = SCORES[score].form
    estimate = statistics.final(runs, score, aggregate)
    known = estimate.kind not in ("range", "none")
    finals = sorted(run.final(score) for run in runs)
    each = ", ".join(map(form.format, finals))
    if len(finals) > SHOWN:
        each = f"{form.format(finals[0])} .. {form.format(finals[-1])}"
    center, ends = estimate.cells(form)
    record: dict[str, Any] = {
        score: estimate.mean,
        f"{score}_low": estimate.low if known else None,
        f"{score}_high": estimate.high if known else None,
        f"{score}_interval": estimate.kind if known else None,
        f"{score}_least": finals[0],
        f"{score}_most": finals[-1],
    }
    return [center, ends if known else "-", each], record


def _rank(runs: list[Run]) -> tuple[float, str]:
    """The best come first: by win rate, or by return where nothing is won."""
    score = "win_rate" if all("win_rate" in run.scores for run in runs) else "return"
    return -float(np.mean([run.final(score) for run in runs])), runs[0].label


def _span(runs: list[Run]) -> str:
    ends = sorted(run.steps[-1] for run in runs)
    return " to ".join(dict.fromkeys(f"{end:,.0f}" for end in (ends[0], ends[-1])))


def _number(value: float, form: str) -> str:
    return form.format(value) if np.isfinite(value) else "-"
