"""`rllib report`: one page, its figures as files beside it, and the numbers as JSON."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from ray.tune.result import TIME_TOTAL_S

from rllib_qatten.errors import BadInput
from rllib_qatten.evaluation import figures, marl_eval, runs, statistics, timing
from rllib_qatten.evaluation.output import replacing
from rllib_qatten.evaluation.runs import Run
from rllib_qatten.evaluation.statistics import TITLES, Estimate
from rllib_qatten.evaluation.style import INK, Look, looks, use_style
from rllib_qatten.suggest import one_of

PAGE = "report.html"
#: Score -> title, format.
SCORES = {"win_rate": ("win rate", "{:.3f}"), "return": ("return", "{:.2f}")}


class Report:
    """Draws, and keeps what the page shows."""

    def __init__(self, found: list[Run], folder: Path, aggregate: str) -> None:
        """Nothing is drawn yet.

        Args:
            found: The runs.
            folder: Where figures go.
            aggregate: "iqm" or "median".
        """
        self.runs, self.folder, self.aggregate = found, folder, aggregate
        self.groups = statistics.by_task(found)
        self.looks: dict[str, Look] = looks(sorted({run.label for run in found}))

    def content(self) -> dict[str, Any]:
        """What the template shows; draws and writes all figures."""
        number, several = len(self.runs), len(self.groups) > 1
        tasks = ", ".join(_title(task) for task in self.groups)
        return {
            "title": f"{', '.join(self.looks)} on {tasks}" if number < 4 else "Training report",
            "subtitle": f"{_count(number, 'run')} of {_count(len(self.looks), 'algorithm')} on "
            f"{_count(len(self.groups), 'task')}: {tasks}.",
            "aggregate": TITLES[self.aggregate],
            "final": self._final(),
            "curves": [(_title(task), self._curves(task)) for task in self.groups],
            "compared": self._compared(several),
            "time": self._time(),
            "each": self._each(),
            "settings": [
                {
                    "title": f"{run.label}, {run.task}, {run.name}: {run.versions}",
                    "config": json.dumps(run.config, indent=1, default=str),
                }
                for run in self.runs
            ],
        }

    def _final(self) -> dict[str, Any]:
        scores = [score for score in SCORES if any(score in run.scores for run in self.runs)]
        rows = []
        for (environment, task), algorithms in self.groups.items():
            for label, of_label in algorithms.items():
                row = [task, environment, label, str(len(of_label)), _span(of_label)]
                for score in scores:
                    if all(score in run.scores for run in of_label):
                        estimate = statistics.final(of_label, score, self.aggregate)
                        row += _cells(estimate, SCORES[score][1])
                    else:
                        row += ["-", "-"]
                rows.append(row)
        head = ["task", "environment", "algorithm", "runs", "env steps"]
        for score in scores:
            head += [SCORES[score][0], "95 % interval"]
        return {"head": head, "rows": rows, "numbers": range(3, len(head))}

    def _curves(self, task: tuple[str, str]) -> list[dict[str, str]]:
        drawn = []
        for score, (title, _) in SCORES.items():
            of_score = {
                label: measured
                for label, all_runs in self.groups[task].items()
                if (measured := [run for run in all_runs if score in run.scores])
            }
            if of_score:
                estimates = {
                    label: statistics.curve(of_label, score, self.aggregate)
                    for label, of_label in of_score.items()
                }
                figure = figures.learning_curves(task[1], score, of_score, estimates, self.looks)
                caption = f"Greedy {title} on {task[1]} against environment steps."
                drawn.append(self._keep(figure, f"{score}_{'_'.join(task)}", caption))
        return drawn

    def _compared(self, several: bool) -> dict[str, Any]:
        compared = statistics.comparison(self.runs)
        if not several and len(compared.runs) < 2:
            return {}
        scores = statistics.final_scores(compared)
        tasks = ", ".join(_title(task) for task in compared.tasks)
        sizes = sorted({len(values) for values in scores.values()})
        many = " to ".join(str(n) for n in dict.fromkeys((sizes[0], sizes[-1])))
        title = TITLES[self.aggregate]
        drawn = [
            self._keep(
                figures.sample_efficiency(
                    f"normalised score, {title}",
                    statistics.sample_efficiency(compared, self.aggregate),
                    self.looks,
                ),
                "sample_efficiency",
                f"The {title} of the normalised score over all runs and tasks.",
            ),
            self._keep(
                figures.performance_profiles(statistics.profiles(scores), self.looks),
                "performance_profile",
                "Higher is better; a line that falls late has no bad runs.",
            ),
        ]
        if len(scores) > 1:
            drawn.append(
                self._keep(
                    figures.improvement(statistics.improvements(scores)),
                    "probability_of_improvement",
                    "How probable it is that a run of the row's algorithm ends above one of the "
                    "column's on the same task; 0.5 is no difference.",
                )
            )
        return {
            "about": f"Tasks: {tasks}; runs of an algorithm on each: {many}. A normalised score is "
            "the win rate, or, where nothing is won, the return between the task's lowest and "
            "highest.",
            "left_out": compared.left_out,
            "figures": drawn,
        }

    def _time(self) -> list[dict[str, str]]:
        speeds: dict[str, list[float]] = {}
        splits: dict[str, list[timing.TimeSplit]] = {}
        for run in self.runs:
            if speed := timing.steps_per_second(run):
                speeds.setdefault(run.label, []).append(speed)
            if split := timing.time_split(run):
                splits.setdefault(run.label, []).append(split)
        drawn = []
        if speeds:
            caption = "Bar: mean over runs; dot: a run. What else the machine did counts, too."
            drawn.append(self._keep(figures.throughput(speeds, self.looks), "throughput", caption))
        if splits:
            means = {
                label: {part: float(np.mean([s[part] for s in of])) for part in timing.PARTS}
                for label, of in splits.items()
            }
            caption = "From RLlib's timers, mean over runs, without the first iteration."
            drawn.append(self._keep(figures.time_split(means), "time_split", caption))
        return drawn

    def _each(self) -> dict[str, Any]:
        head = ["task", "algorithm", "run", "env steps", "win rate", "return", "steps/s", "time"]
        rows = []
        for run in self.runs:
            speed = timing.steps_per_second(run)
            seconds = run.columns.get(TIME_TOTAL_S)
            rows.append(
                [
                    run.task,
                    run.label,
                    run.name,
                    f"{run.steps[-1]:,.0f}",
                    *(_number(run.final(score), form) for score, (_, form) in SCORES.items()),
                    "-" if speed is None else f"{speed:,.0f}",
                    "-" if seconds is None else f"{np.nanmax(seconds) / 60:.1f} min",
                    run.command,
                    str(run.folder),
                ]
            )
        return {"head": [*head, "command", "folder"], "rows": rows, "numbers": range(3, 8)}

    def _keep(self, figure: Figure, name: str, caption: str) -> dict[str, str]:
        """Writes a figure as PNG and SVG, and returns it for the page."""
        name = re.sub(r"\W+", "_", name).strip("_").lower()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(self.folder / f"{name}.png")
        figure.savefig(self.folder / f"{name}.svg", metadata=nothing)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=nothing, transparent=True)
        plt.close(figure)
        return {"name": name, "caption": caption, "svg": _inline(text.getvalue(), name, caption)}


def write(
    paths: Iterable[Path], folder: Path, aggregate: str, json_file: Path | None
) -> tuple[list[str], Path]:
    """Reports the runs in and below some folders.

    Args:
        paths: The folders.
        folder: Where the page and its figures go; made if need be.
        aggregate: What joins runs: "iqm" or "median".
        json_file: Where all evaluations go in marl-eval's layout.

    Returns:
        Warnings about what could not be shown, and the page.

    Raises:
        BadInput: If the aggregate is none, there is no usable run, or something cannot be written.
    """
    try:
        one_of(aggregate, statistics.AGGREGATES, "aggregate")
    except ValueError as error:
        raise BadInput(str(error)) from error
    found, warnings = runs.read_all(paths)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be made: {error.strerror}.") from error
    use_style()
    with replacing(folder / PAGE) as page:
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("rllib_qatten", "evaluation"), autoescape=True,
            trim_blocks=True, undefined=jinja2.StrictUndefined,
        )  # fmt: skip
        template = environment.get_template(f"{PAGE}.jinja")
        content = Report(found, folder, aggregate).content()
        page.write_text(template.render(content, warnings=warnings, footer=""), encoding="utf-8")
    if json_file:
        with replacing(json_file) as file:
            file.write_text(json.dumps(marl_eval.layout(found), indent=1), encoding="utf-8")
    return warnings, folder / PAGE


def _inline(svg: str, name: str, label: str) -> str:
    """An SVG document as an element: its own ids, the page's colour of text, no outer size."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return svg.replace(INK, "currentColor")


def _title(task: tuple[str, str]) -> str:
    return task[1] if task[0] == task[1] else f"{task[1]} ({task[0]})"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _span(of_label: list[Run]) -> str:
    ends = sorted(run.steps[-1] for run in of_label)
    return " to ".join(dict.fromkeys(f"{end:,.0f}" for end in (ends[0], ends[-1])))


def _cells(estimate: Estimate, form: str) -> list[str]:
    interval = "-"
    if np.isfinite(estimate.low[0]):
        interval = f"{form.format(estimate.low[0])} .. {form.format(estimate.high[0])}"
    return [form.format(estimate.centre[0]), interval]


def _number(value: float, form: str) -> str:
    return form.format(value) if np.isfinite(value) else "-"
