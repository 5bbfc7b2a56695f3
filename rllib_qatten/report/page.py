"""`rllib report`: one page, its figures as files next to it, and the numbers as JSON."""

from __future__ import annotations

import contextlib
import importlib.resources
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from rllib_qatten.drawing.style import Look, looks, save, use_style
from rllib_qatten.drawing.templates import render
from rllib_qatten.errors import BadInput, one_of
from rllib_qatten.files import replacing
from rllib_qatten.messages import printable
from rllib_qatten.report import (
    figures,
    final_numbers,
    marl_eval,
    number_files,
    runs,
    statistics,
    timing,
)
from rllib_qatten.report.improvement import improvements
from rllib_qatten.report.inline_svg import inline
from rllib_qatten.report.run import Run
from rllib_qatten.report.scores import SCORES
from rllib_qatten.report.statistics import TITLES
from rllib_qatten.version import __version__

PAGE = "report.html"
#: Figures beside the learning curves: of one task, and at most.
OTHERS = 3, 5


class Report:
    """Draws the figures and collects the page's content."""

    def __init__(self, found: list[Run], folder: Path, aggregate: str) -> None:
        """Nothing is drawn yet.

        Args:
            found: The runs.
            folder: Where figures go.
            aggregate: "iqm" or "median".
        """
        self.runs, self.folder, self.aggregate = found, folder, aggregate
        groups = statistics.by_task(found)
        of_label = looks(sorted({run.label for run in found}))
        #: Of every algorithm, the best first.
        self.looks: dict[str, Look] = {
            label: of_label[label] for label in final_numbers.order(groups)
        }
        self.groups = {task: self._ordered(runs) for task, runs in groups.items()}
        #: Widths of the figures, in rem.
        self.widths: set[int] = set()
        self._names: dict[str, int] = {}
        self._on_figure: Callable[[int], None] = lambda more: None

    def content(self, counting: runs.Counting = runs.uncounted) -> dict[str, Any]:
        """The template's variables; draws and writes all figures.

        Args:
            counting: Shows how many are drawn, as `Screen.counting`.
        """
        curves = sum(any(s in run.scores for of in task.values() for run in of)
                     for task in self.groups.values() for s in SCORES)  # fmt: skip
        self._on_figure = counting("drawing", curves + OTHERS[len(self.groups) > 1], "figures")
        number = len(self.runs)
        tasks = ", ".join(map(self._title, self.groups))
        environments = ", ".join(sorted({environment for environment, _ in self.groups}))
        return {
            "title": f"{', '.join(self.looks)} on {tasks}" if number < 4 else "Training report",
            "subtitle": f"{_count(number, 'run')} of {_count(len(self.looks), 'algorithm')} on "
            f"{_count(len(self.groups), 'task')}: {tasks}. Played by {environments}.",
            "aggregate": TITLES[self.aggregate],
            "final": self._table(
                "final_numbers",
                final_numbers.by_algorithm(self.groups, self.aggregate, self._title),
            ),
            "games": " of greedy games" if {r.games for r in self.runs} == {"greedy"} else "",
            "notes": self._notes(),
            "curves": [(self._title(task), self._curves(task)) for task in self.groups],
            "compared": self._compared(),
            "time": self._time(),
            "each": self._table("runs", final_numbers.of_runs(self.runs)),
            "settings": [
                {
                    "title": f"{run.label}, {run.task}, {run.name}: {run.about['versions']}",
                    "config": json.dumps(run.config, indent=1, default=str),
                }
                for run in self.runs
            ],
        }

    def _notes(self) -> list[str]:
        """What the names of tasks and algorithms do not say."""
        explained = {name: text for run in self.runs for name, text in run.explained.items()}
        notes = [f"{name}: {text}." for name, text in sorted(explained.items())]
        unsure = {run.label for run in self.runs if run.games == "evaluation"}
        labels = ", ".join(label for label in self.looks if label in unsure)
        if labels:
            notes.append(
                f"The evaluations of {labels} explored, or may have: the settings do not say "
                "evaluation_config: {explore: false}."
            )
        return notes

    def _title(self, task: tuple[str, str]) -> str:
        """The task, with the environment if there are several."""
        several = len({environment for environment, _ in self.groups}) > 1
        return f"{task[1]} ({task[0]})" if several and task[0] != task[1] else task[1]

    def _ordered(self, of_labels: dict[str, Any]) -> dict[str, Any]:
        """The same, the best algorithm first."""
        return {label: of_labels[label] for label in self.looks if label in of_labels}

    def _table(self, name: str, table: number_files.Table) -> dict[str, Any]:
        """Writes a table as files, and returns it for the page."""
        number_files.write(self.folder, name, table)
        return table._asdict()

    def _curves(self, task: tuple[str, str]) -> list[dict[str, Any]]:
        drawn = []
        for score, (title, *_) in SCORES.items():
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
                caption = f"{title.capitalize()} on {task[1]} against environment steps."
                drawn.append(self._keep(figure, f"{score}_{self._title(task)}", caption))
        return drawn

    def _compared(self) -> dict[str, Any]:
        compared = statistics.comparison(self.runs)
        if len(self.groups) < 2 and len(compared.runs) < 2:
            return {}
        scores = self._ordered(statistics.final_scores(compared))
        drawn = self._normalized(compared, scores)
        tasks = ", ".join(map(self._title, compared.tasks))
        sizes = sorted({len(values) for values in scores.values()})
        many = " to ".join(str(n) for n in dict.fromkeys((sizes[0], sizes[-1])))
        about = f"Tasks: {tasks}; runs of an algorithm on each: {many}."
        if drawn:
            about += (
                " A normalized score is the win rate, or, where nothing is won, the return between "
                "the task's lowest and highest."
            )
        if len(scores) > 1:
            found = improvements(scores)
            least = sorted({pair.least_p for pair in found.values()})
            bounds = " to ".join(dict.fromkeys(f"{p:.2g}" for p in (least[0], least[-1])))
            drawn.append(
                self._keep(
                    figures.improvement(found),
                    "probability_of_improvement",
                    "The probability that a run of the row's algorithm ends above one of the "
                    "column's on the same task; 0.5 means no difference. p: two-sided, by an exact "
                    "permutation test (runs exchanged within each task; of one task, Mann and "
                    f"Whitney's); these runs could not give less than {bounds}.",
                )
            )
        if not drawn:
            return {}
        table = final_numbers.over_tasks(scores, len(compared.tasks), self.aggregate)
        return {
            "table": self._table("over_tasks", table) if len(compared.tasks) > 1 else None,
            "about": about,
            "left_out": compared.left_out,
            "figures": drawn,
        }

    def _normalized(
        self, compared: statistics.Comparison, scores: dict[str, np.ndarray]
    ) -> list[dict[str, Any]]:
        """The figures of normalized scores, where they show what no other one does."""
        drawn, title = [], TITLES[self.aggregate]
        if len(compared.tasks) > 1:  # of one task, the learning curve shows it
            efficiency = self._ordered(statistics.sample_efficiency(compared, self.aggregate))
            drawn.append(
                self._keep(
                    figures.sample_efficiency(f"normalized score, {title}", efficiency, self.looks),
                    "sample_efficiency",
                    f"The {title} of the normalized score over all runs and tasks, with the "
                    "stratified bootstrap interval from five runs of every task, or three of each "
                    "of six tasks, on.",
                )
            )
        if max(values.size for values in scores.values()) > final_numbers.SHOWN:
            # Of fewer runs, the first table has each one's number.
            drawn.append(
                self._keep(
                    figures.performance_profiles(statistics.profiles(scores), self.looks),
                    "performance_profile",
                    "Higher is better; a line that stays high until far right has no poor runs. "
                    "Shaded: the interval of a share of all runs, from three runs on.",
                )
            )
        return drawn

    def _time(self) -> list[dict[str, Any]]:
        speeds: dict[str, list[tuple[float, bool | None]]] = {}
        splits: dict[str, list[timing.TimeSplit]] = {}
        for run, alone in zip(self.runs, timing.alone(self.runs), strict=True):
            if speed := timing.steps_per_second(run):
                speeds.setdefault(run.label, []).append((speed, alone))
            if split := timing.time_split(run):
                splits.setdefault(run.label, []).append(split)
        drawn = []
        if speeds:
            caption = (
                "Dot: a run; hollow if another of these runs was under way beside it, or nobody "
                "knows. Bar: the mean of those that ran alone; hatched where none did, which is "
                "no measure of speed. Only machines of one kind compare; other load shows, too."
            )
            figure = figures.throughput(self._ordered(speeds), self.looks)
            drawn.append(self._keep(figure, "throughput", caption))
        if splits:
            means = {
                label: {
                    part: float(np.mean([split[part] for split in splits[label]]))
                    for part in timing.PARTS
                }
                for label in self._ordered(splits)
            }
            caption = "From RLlib's timers, mean over runs, without the first iteration."
            drawn.append(self._keep(figures.time_split(means), "time_split", caption))
        return drawn

    def _keep(self, figure: Figure, name: str, caption: str) -> dict[str, Any]:
        """Writes a figure as PNG, SVG and PDF, and returns it for the page."""
        name = self._unique(re.sub(r"[\W_]+", "_", name).strip("_").lower()[:80])
        for ending in (".png", ".svg", ".pdf"):
            save(figure, self.folder / f"{name}{ending}")
        text = io.StringIO()
        save(figure, text, ".svg", transparent=True)
        plt.close(figure)
        # Text has the same size in all figures.
        width = round(8.5 * figure.get_figwidth())
        self.widths.add(width)
        self._on_figure(1)
        return {
            "name": name,
            "caption": caption,
            "svg": inline(text.getvalue(), name, caption),
            "width": width,
        }

    def _unique(self, name: str) -> str:
        """A unique name: tasks may differ only in characters that file names drop."""
        taken = self._names.setdefault(name, 0)
        self._names[name] += 1
        return f"{name}_{taken + 1}" if taken else name


def write(
    paths: Iterable[Path],
    folder: Path,
    aggregate: str,
    json_file: Path | None,
    counting: runs.Counting = runs.uncounted,
) -> tuple[list[str], Path]:
    """Reports the runs in and below some folders.

    Args:
        paths: The folders.
        folder: Where the page and its figures go; created if necessary.
        aggregate: How to aggregate over runs: "iqm" or "median".
        json_file: A file for all evaluations in marl-eval's layout.
        counting: Shows how far it is, as `Screen.counting`.

    Returns:
        Warnings about what could not be shown, and the page.

    Raises:
        BadInput: For an unknown aggregate, no usable run, or an unwritable path.
    """
    try:
        one_of(aggregate, statistics.AGGREGATES, "aggregate")
    except ValueError as error:
        raise BadInput(str(error)) from error
    found, warnings = runs.read_all(paths, counting)
    with contextlib.ExitStack() as stack:
        # Unwritable paths are noticed before anything is drawn; the JSON file may be in the folder.
        stack.enter_context(_created(folder))
        file = stack.enter_context(replacing(json_file)) if json_file else None
        page = stack.enter_context(replacing(folder / PAGE))
        if file:
            file.write_text(json.dumps(marl_eval.layout(found), indent=1), encoding="utf-8")
        use_style()
        report = Report(found, folder, aggregate)
        content = report.content(counting)
        shown = [printable(warning, 2000) for warning in warnings]
        content |= {"warnings": shown, "footer": printable(_footer(folder), 2000)}
        style = importlib.resources.files(__package__).joinpath("report.css").read_text("utf-8")
        widths = [f".w{width} svg {{ max-width: {width}rem; }}" for width in sorted(report.widths)]
        html = render("report", f"{PAGE}.jinja", content, "\n".join([style, *widths]))
        page.write_text(html, encoding="utf-8")
    return warnings, folder / PAGE


@contextlib.contextmanager
def _created(folder: Path) -> Iterator[None]:
    """Creates a folder, and removes it again if nothing was written into it."""
    there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be created: {error.strerror}.") from error
    try:
        yield
    finally:
        if not there:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


def _footer(folder: Path) -> str:
    about = ", ".join(f"{name} {version(name)}" for name in ("ray", "scipy", "matplotlib"))
    versions = f"Made with rllib_qatten {__version__}, {about}."
    files = "figures as PNG, SVG and PDF, tables as CSV, Markdown and LaTeX"
    return f"{versions} Beside this page, {files}: {folder.resolve()}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
