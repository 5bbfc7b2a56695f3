"""The tables that README and docs/results.md embed, made from the runs that are kept."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ray.tune.result import TIME_TOTAL_S
from scipy import stats

from rllib_qatten.errors import BadInput
from rllib_qatten.evaluation.estimate import CONFIDENCE, Estimate, student
from rllib_qatten.experiment.file import read
from rllib_qatten.files import replacing
from rllib_qatten.report import statistics
from rllib_qatten.report.run import Run
from rllib_qatten.report.runs import read_all

ROOT = Path(__file__).parents[1]
#: The study's runs, and earlier ones with the settings of their examples.
RESULTS, EARLIER = ROOT / "docs" / "results", ROOT / "docs" / "curves"
#: Its battles, in its order.
STUDY = ROOT / "tuned_examples" / "study.yaml"
#: The columns of README's table.
MAIN = ("Qatten", "QMIX", "VDN")
#: A table's place in a page: between these lines, the first of which names it.
PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
#: README shows runs of at least so many env steps, and on a line no shorter ones than this share.
LEAST_STEPS, ALIKE = 500_000, 0.9
#: A win rate whose env steps are told.
REACHED = 0.8
#: Games behind a run's win rate: five evaluations of a hundred.
GAMES = 500
#: What stands for a number that nobody knows.
UNKNOWN = "-"
#: (battle, algorithm, agent) -> its runs.
Rows = dict[tuple[str, str, str], list[Run]]


def pages(root: Path = ROOT) -> dict[Path, str]:
    """Page -> its text with all tables as the kept runs give them.

    Raises:
        BadInput: If a page has a place for a table that does not exist.
    """
    made: dict[str, Callable[[], str]] = {
        "study": lambda: _whole(_rows(RESULTS), over_battles=True),
        "earlier": lambda: _whole(_rows(EARLIER)),
        "battles": _battles,
        "against": _against,
    }

    def filled(match: re.Match[str]) -> str:
        if match[2] not in made:
            raise BadInput(f"no table is called {match[2]}: one of {', '.join(made)}.")
        return f"{match[1]}{made[match[2]]()}{match[3]}"

    texts = {page: page.read_text() for page in (root / "README.md", root / "docs/results.md")}
    return {page: PLACE.sub(filled, text) for page, text in texts.items()}


def write() -> list[Path]:
    """Writes the tables into the pages; returns those that changed."""
    changed = {page: text for page, text in pages().items() if page.read_text() != text}
    for page, text in changed.items():
        with replacing(page) as file:
            file.write_text(text, encoding="utf-8")
    return list(changed)


def _rows(folder: Path) -> Rows:
    """The runs below a folder, by the rows they make, in the study's order, the best first."""
    if not any(folder.rglob("progress.csv")):
        return {}
    found, warnings = read_all([folder])
    if warnings:
        raise BadInput("\n".join(warnings))
    rows: Rows = {}
    for run in found:
        rows.setdefault((run.task, run.label, _agent(run)), []).append(run)
    # A label tells settings apart; the agent has a column of its own.
    plain: dict[tuple[str, str, str], set[str]] = {}
    for task, label, agent in rows:
        plain.setdefault((task, label.split(" (")[0], agent), set()).add(label)
    named = {
        (task, label.split(" (")[0] if len(labels) == 1 else label, agent): rows[task, label, agent]
        for (task, _, agent), labels in plain.items()
        for label in labels
    }
    order = _order()
    place = {key: (order.get(key[0], len(order)), key[0], -_mean(of)) for key, of in named.items()}
    return {key: named[key] for key in sorted(named, key=lambda key: (place[key], key))}


def _whole(rows: Rows, over_battles: bool = False) -> str:
    """Every row: its subject, win rate with intervals, seeds, env steps, minutes, speed."""
    head = "battle", "algorithm", "agent", "win rate", "95 % interval", "another seed", "seeds"
    lines = [
        (*head, "env steps", "minutes", f"{REACHED} after"),
        ("---",) * 3 + ("---:",) * 7,
    ]
    for (battle, algorithm, agent), runs in rows.items():
        rate, interval = _estimate(runs).cells("{:.3f}")
        end, minutes = _millions(runs), _minutes(runs)
        made = rate, interval, _another(runs), str(len(runs)), end, minutes, _reached(runs)
        lines.append((battle, algorithm, agent, *made))
    if not rows:
        lines.append(("no run yet", *("",) * 9))
    return _table(lines) + (_over_battles(rows) if over_battles else "")


def _over_battles(rows: Rows) -> str:
    """A sentence on all battles that the same algorithms played."""
    runs = [run for of_row in rows.values() for run in of_row]
    compared = statistics.comparison(runs) if runs else None
    if compared is None or min(len(compared.runs), len(compared.tasks)) < 2:
        return ""
    found = statistics.over_tasks(statistics.final_scores(compared), "iqm")
    cells = {label: estimate.cells("{:.3f}") for label, estimate in found.items()}
    each = ", ".join(
        f"{label} {mean}" + (f" ({ends})" if ends != UNKNOWN else "")
        for label, (mean, ends) in sorted(cells.items(), key=lambda item: item[1], reverse=True)
    )
    many = min(len(of) for by_task in compared.runs.values() for of in by_task.values())
    battles = ", ".join(task for _, task in compared.tasks)
    seeds = f"{many} seed{'' if many == 1 else 's'} of each"
    return f"\nInterquartile mean over {battles}, {seeds}: {each}.\n"


def _battles() -> str:
    """README's: a line per battle and agent, from the study or, where it has none, from before."""
    study, before = _rows(RESULTS), _rows(EARLIER)
    known = {battle for battle, *_ in study}
    rows = study | {key: runs for key, runs in before.items() if key[0] not in known}
    by_line: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for (battle, label, agent), runs in rows.items():
        algorithm, line = label.split(" (")[0], by_line.setdefault((battle, agent), {})
        if algorithm in MAIN and _steps(runs) > max(LEAST_STEPS, _steps(line.get(algorithm, []))):
            line[algorithm] = runs
    order = _order()
    lines = [("battle", "agent", *MAIN, "seeds", "env steps"), ("---",) * 2 + ("---:",) * 5]
    for battle, agent in sorted(by_line, key=lambda key: (order.get(key[0], len(order)), key)):
        line = by_line[battle, agent]
        most = max(map(_steps, line.values()), default=0)
        shown = {name: runs for name, runs in line.items() if _steps(runs) > ALIKE * most}
        if not shown:
            continue
        best = max(map(_mean, shown.values())) if len(shown) > 1 else math.inf
        cells = [_cell(shown.get(algorithm, []), best) for algorithm in MAIN]
        seeds = _span(sorted(map(len, shown.values())), str)
        every = [run for runs in shown.values() for run in runs]
        lines.append((battle, agent, *cells, seeds, _millions(every)))
    return _table(lines)


def _against() -> str:
    """README's sentence: Qatten's win rates less the others', over battles that both learned."""
    ours, *others = MAIN
    rows = {(battle, label): runs for (battle, label, _), runs in _rows(RESULTS).items()}
    found = []
    for other in others:
        apart = {
            battle: _mean(rows[battle, ours]) - _mean(runs)
            for (battle, label), runs in rows.items()
            if label == other and (battle, ours) in rows
        }
        if len(apart) < 2:
            continue
        mean, low, high = student(np.array(list(apart.values())))
        most = max(apart, key=lambda battle: abs(apart[battle]))
        shown = "" if low > 0 or high < 0 else ", so no difference is shown"
        found.append(
            f"over {len(apart)} battles {mean:+.3f} ({low:+.3f} .. {high:+.3f}) to {other}'s{shown}"
            f", the most on {most} ({apart[most]:+.3f})"
        )
    if not found:
        return "No two battles have been learned by others, too.\n"
    kind = "mean and Student's interval of 95 %"
    return f"**{ours}'s win rate against others'**, {kind}: {'; '.join(found)}.\n"


def _cell(runs: list[Run], best: float) -> str:
    if not runs:
        return UNKNOWN
    found = _estimate(runs)
    rate = f"{found.mean:.3f}"
    bold = f"**{rate}**" if _mean(runs) == best else rate
    return f"{bold} ({found.low:.2f} .. {found.high:.2f})" if found.kind == "student" else bold


def _estimate(runs: list[Run]) -> Estimate:
    """The mean of the seeds' win rates: Student's interval of three or more, the range of two."""
    wins = np.array([run.final("win_rate") for run in runs])
    mean, low, high = map(float, student(wins))
    if len(runs) < statistics.STUDENT_RUNS or math.isnan(low):
        return Estimate.of_range(mean, wins)
    return Estimate(mean, max(low, 0.0), min(high, 1.0), "student")


def _another(runs: list[Run]) -> str:
    """Where one more seed's win rate lies 95 times in 100: Student's prediction interval.

    The seeds' spread counts for no less than what `GAMES` games leave open, by Agresti and Coull's
    share: few seeds may be alike by chance.
    """
    wins, n = np.array([run.final("win_rate") for run in runs]), len(runs)
    if n < 2:
        return UNKNOWN
    share = (GAMES * wins.mean() + 2) / (GAMES + 4)
    spread = max(wins.std(ddof=1), math.sqrt(share * (1 - share) / (GAMES + 4)))
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * spread * math.sqrt(1 + 1 / n)
    return f"{max(wins.mean() - reach, 0):.2f} .. {min(wins.mean() + reach, 1):.2f}"


def _mean(runs: list[Run]) -> float:
    return float(np.mean([run.final("win_rate") for run in runs]))


def _agent(run: Run) -> str:
    return str(run.config.get("agent", "recurrent"))


def _steps(runs: list[Run]) -> float:
    """Env steps of the runs, their mean; 0 without runs."""
    return float(np.mean([run.steps[-1] for run in runs])) if runs else 0.0


def _millions(runs: list[Run]) -> str:
    return f"{_steps(runs) / 1e6:.2f} M"


def _minutes(runs: list[Run]) -> str:
    known = [run.columns[TIME_TOTAL_S] for run in runs if TIME_TOTAL_S in run.columns]
    if not known:
        return UNKNOWN
    return _span(sorted(float(np.nanmax(seconds)) / 60 for seconds in known), "{:.0f}".format)


def _reached(runs: list[Run]) -> str:
    """Env steps after which two evaluations in a row win `REACHED` on average, median of seeds."""
    after = []
    for run in runs:
        wins = run.scores["win_rate"]
        enough = (wins[1:] + wins[:-1]) / 2 >= REACHED
        if not enough.any():
            return UNKNOWN
        after.append(run.steps[1:][enough.argmax()])
    return f"{np.median(after) / 1e6:.2f} M"


def _span(values: list, form: Callable[..., str]) -> str:
    return " to ".join(dict.fromkeys(form(value) for value in (values[0], values[-1])))


@functools.cache
def _order() -> dict[str, int]:
    """Battle -> its place in the study."""
    battles = [experiment.config["env_config"]["map_name"] for experiment in read(STUDY)]
    return {battle: place for place, battle in enumerate(dict.fromkeys(battles))}


def _table(lines: list[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
