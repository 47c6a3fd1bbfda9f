"""What `make bench` says about its runs: tables, required figures, the plot.

Lines are those of the two programs. Instances of seed 0 are the shared ones; all others are fresh.
"""

from __future__ import annotations

import math
import os
import pathlib
import platform
import re
import statistics
import subprocess

import loads
import plot
from cells import percentile, percents, seconds, shown, spread, table

BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"
# Best objectives known of the shared instances before any run.
BEST_KNOWN = {"rich_50x10_0": 347.2, "rich_200x20_0": 1014.5, "rich_1000x50_0": 4526.0}
# HiGHS stops within this part of the optimum when nothing else is said.
HIGHS_GAP = 1e-4
# Part of a time limit that a decision may take longer.
OVERTIME = 0.1


class Lines:
    """The lines of all runs."""

    def __init__(self, lines: list[dict]):
        self.lines = lines
        self.best = dict(BEST_KNOWN)
        for line in lines:
            if line["strategy"].endswith("cost") and line["objective"] is not None:
                best = self.best.get(line["instance"], math.inf)
                self.best[line["instance"]] = min(best, line["objective"])

    def of(
        self, strategy: str, family: str, size: str, shared: bool | None = None, limit: float | None = None
    ) -> list[dict]:
        """Those of a strategy on a family and size, only shared or only fresh ones, and with this time limit."""
        found = []
        for line in self.lines:
            line_family, line_size, seed = line["instance"].split("_")
            if (strategy, family, size) != (line["strategy"], line_family, line_size):
                continue
            if shared in (None, seed == "0") and limit in (None, line["time_limit"]):
                found.append(line)
        return found

    def ratios(self, strategy: str, family: str, size: str, shared: bool | None = None) -> list[float]:
        """Baseline's CPU time / ours, instance by instance."""
        ours = {line["instance"]: line["cpu_s"] for line in self.of(strategy, family, size, shared)}
        baseline = self.of(f"baseline-{strategy}", family, size, shared)
        return [line["cpu_s"] / ours[line["instance"]] for line in baseline]

    def unequal(self, strategy: str, family: str, size: str) -> list[str]:
        """Instances on which ours is worse than the baseline, or better by more than the baseline's own gap."""
        ours = {line["instance"]: line["objective"] for line in self.of(strategy, family, size)}
        unequal = []
        for line in self.of(f"baseline-{strategy}", family, size):
            if not equal(ours[line["instance"]], line["objective"]):
                unequal.append(line["instance"])
        return unequal

    def above(self, lines: list[dict]) -> list[float]:
        """By how many percent of the best known each one is above it; infinite without a plan."""
        return [
            100 * (line["objective"] / self.best[line["instance"]] - 1) if line["objective"] is not None else math.inf
            for line in lines
        ]


def equal(one: float | None, other: float | None) -> bool:
    """Whether ours is as good as the baseline's, and better by no more than the baseline's own gap."""
    if one is None or other is None:
        return one is other
    return -1e-6 <= (other - one) / max(1.0, one) <= HIGHS_GAP


def tables(raw: list[dict], sections, cost_sizes: dict) -> tuple[dict[str, str], list[str]]:
    """The tables of each section as Markdown, and the required figures that are missed."""
    lines, texts, missed = Lines(raw), {}, []
    for section in sections:
        goals, parts = SECTIONS[section](lines, cost_sizes)
        if goals:
            parts.insert(0, goal_table(goals))
        texts[section] = "\n\n".join(parts)
        missed += [text for required, text, _, met in goals if required and not met]
    return texts, missed


def moves_section(lines: Lines, _: dict) -> tuple[list[tuple], list[str]]:
    return moves_goals(lines), [comparison(lines, "min-moves", ("basic", "tight"))]


def loads_section(lines: Lines, _: dict) -> tuple[list[tuple], list[str]]:
    return loads.goals(lines), [loads.summary(lines), loads.unproven(lines)]


def replicas_section(lines: Lines, _: dict) -> tuple[list[tuple], list[str]]:
    return replicas_goals(lines), [comparison(lines, "replicas", ("scale",))]


def cost_section(lines: Lines, cost_sizes: dict) -> tuple[list[tuple], list[str]]:
    parts = [
        "Within the time limit. " + cost_table(lines, cost_sizes),
        "On the shared instances. " + shared_cost_table(lines, cost_sizes),
        "On instances that CVXPY can solve. " + small_cost_table(lines),
    ]
    return cost_goals(lines, cost_sizes), parts


SECTIONS = {"moves": moves_section, "loads": loads_section, "replicas": replicas_section, "cost": cost_section}


def moves_goals(lines: Lines) -> list[tuple]:
    goals = []
    for size in ("50x10", "200x20"):
        ratios = {
            (family, shared): statistics.median(lines.ratios("min-moves", family, size, shared) or [0.0])
            for family in ("basic", "tight")
            for shared in (True, False)
            if lines.of("min-moves", family, size, shared)
        }
        unequal = [*lines.unequal("min-moves", "basic", size), *lines.unequal("min-moves", "tight", size)]
        least = min(ratios.values(), default=0.0)
        text = f"`min-moves` {shown(size)}: ≥ 1000 times less CPU time than the baseline, equal moves"
        measured = f"{least:.0f} times, {'equal' if not unequal else 'unequal: ' + ', '.join(unequal)}"
        goals.append((True, text, measured, least >= 1000 and not unequal))
    for size in ("1000x50", "5000x100"):
        all_lines = [*lines.of("min-moves", "basic", size), *lines.of("min-moves", "tight", size)]
        slow = percentile([line["cpu_s"] for line in all_lines])
        exact = sum(line["outcome"] == "optimal" for line in all_lines)
        measured = f"{seconds(slow)} (p95), {exact} of {len(all_lines)} proven"
        met = slow < 0.5 and exact == len(all_lines)
        goals.append((True, f"`min-moves` {shown(size)}: exact in < 0.5 s", measured, met))
    return goals


def replicas_goals(lines: Lines) -> list[tuple]:
    slow = percentile([line["cpu_s"] for line in lines.of("replicas", "scale", "1000")])
    unequal = [name for size in ("3", "10", "100", "1000") for name in lines.unequal("replicas", "scale", size)]
    text = "equal objectives" if not unequal else f"unequal: {', '.join(unequal)}"
    goal = "replicas of 1000 services: < 1 ms, objectives equal the baseline's"
    return [(True, goal, f"{seconds(slow)} (p95), {text}", slow < 1e-3 and not unequal)]


def cost_goals(lines: Lines, cost_sizes: dict) -> list[tuple]:
    goals = []
    for size, required, gap in (("50x10", 3.0, 3.0), ("200x20", 3.0, 5.0), ("1000x50", 4.0, 8.0)):
        limit, _, proof = cost_sizes[size]
        groups = [lines.of("cost", "rich", size, shared, limit) for shared in (True, False)]
        groups = [group for group in groups if group]
        medians = [statistics.median(lines.above(group)) for group in groups]
        wall = max(statistics.median(line["wall_s"] for line in group) for group in groups)
        bounds = all(line["bound"] for group in groups for line in group)
        measured = " / ".join(f"{median:.2f} %" for median in medians) + f" (shared / fresh), {seconds(wall)} wall"
        for percent in (required, 2.0):
            text = f"`cost` {shown(size)}: median within {percent:g} % of the best known in {limit:g} s, with a bound"
            met = max(medians) <= percent and bounds and wall <= limit * (1 + OVERTIME)
            goals.append((percent == required, text, measured, met))
        long_runs = lines.of("cost", "rich", size, True, proof)
        proven = 100 * max((math.inf if line["gap"] is None else line["gap"] for line in long_runs), default=math.inf)
        text = f"`cost` {shown(size)}: proven gap of {gap:g} % in {proof:g} s"
        goals.append((False, text, f"{proven:.2f} %", proven <= gap))
    return goals


def goal_table(goals) -> str:
    word = {(True, True): "PASS", (True, False): "FAIL", (False, True): "reached", (False, False): "not reached"}
    rows = [(text, measured, word[required, bool(met)]) for required, text, measured, met in goals]
    return table(("figure", "measured", ""), rows)


def comparison(lines: Lines, strategy: str, families: tuple) -> str:
    """Median and 95th percentile of the fresh instances by family and size, then the shared ones by name."""
    solving = any("solve_cpu_s" in line for line in lines.lines if line["strategy"] == strategy)
    ours = ("smo", "of it solving") if solving else ("smo",)
    heads = ("instances", "proven", *ours, "CVXPY", "CVXPY, matrix form", "CVXPY / smo")
    rows = []
    for shared in (False, True):
        for family in families:
            for size in sizes(lines, strategy, family):
                ours = lines.of(strategy, family, size, shared)
                if not ours:
                    continue
                others = [lines.of(f"baseline-{strategy}{form}", family, size, shared) for form in ("", "-matrix")]
                ratios = lines.ratios(strategy, family, size, shared)
                rows.append((
                    f"{family}_{size}_0" if shared else f"{family} {shown(size)}, {len(ours)} fresh",
                    f"{sum(line['outcome'] == 'optimal' for line in ours)} of {len(ours)}",
                    spread([line["cpu_s"] for line in ours]),
                    *([spread([line["solve_cpu_s"] for line in ours])] if solving else []),
                    *(spread([line["cpu_s"] for line in other]) for other in others),
                    f"{statistics.median(ratios):.0f}" if ratios else "–",
                ))
    return "CPU time, median (95th percentile).\n\n" + table(heads, rows)


def cost_table(lines: Lines, cost_sizes: dict) -> str:
    rows = []
    for size, (limit, *_) in cost_sizes.items():
        runs = lines.of("cost", "rich", size, False, limit)
        if not runs:
            continue
        names = len({line["instance"] for line in runs})
        rows.append((
            f"{shown(size)}, {names} fresh × {len(runs) // names} seeds",
            f"{limit:g} s",
            spread([line["wall_s"] for line in runs]),
            percents(lines.above(runs)),
            percents([100 * line["gap"] for line in runs if line["gap"] is not None]),
            f"{sum(not line['bound'] for line in runs)}",
        ))
    heads = ("instances", "limit", "wall", "above the best known", "proven gap", "without bound")
    caption = "Median (95th percentile); the best known of a fresh instance is the best of all runs here."
    return f"{caption}\n\n{table(heads, rows)}"


def shared_cost_table(lines: Lines, cost_sizes: dict) -> str:
    rows = []
    for size, (limit, _, proof) in cost_sizes.items():
        for limit in (limit, proof):
            runs = [line for line in lines.of("cost", "rich", size, True, limit) if line["objective"] is not None]
            if not runs:
                continue
            rows.append((
                f"rich_{size}_0, {len(runs)} seed{'s' * (len(runs) > 1)}",
                f"{limit:g} s",
                f"{lines.best[f'rich_{size}_0']:.1f}",
                f"{statistics.median(line['objective'] for line in runs):.1f}",
                percents(lines.above(runs)),
                f"{statistics.median(line['bound'] for line in runs if line['bound'] is not None):.1f}",
                percents([100 * line["gap"] for line in runs if line["gap"] is not None]),
            ))
    heads = ("instance", "limit", "best known", "objective", "above it", "bound", "proven gap")
    return "Medians (95th percentile).\n\n" + table(heads, rows)


def small_cost_table(lines: Lines) -> str:
    rows = []
    for size in ("3x2", "10x3", "50x10"):
        theirs = lines.of("baseline-cost", "rich", size)
        if not theirs:
            continue
        names = {line["instance"] for line in theirs}
        ours = [line for line in lines.of("cost", "rich", size) if line["instance"] in names]
        quickest = min(line["time_limit"] for line in ours)
        ours = [line for line in ours if line["time_limit"] == quickest]
        one_limit = theirs[0]["time_limit"]
        rows.append((
            f"{shown(size)}, {len(names)} instance{'s' * (len(names) > 1)}",
            f"{one_limit:g} s" if one_limit else "none",
            percents(lines.above(theirs)), spread([line["cpu_s"] for line in theirs]),
            percents(lines.above(ours)), spread([line["cpu_s"] for line in ours]),
        ))
    heads = ("instances", "limit of HiGHS", "CVXPY above the best known", "CPU", "smo above the best known", "CPU")
    return "Median (95th percentile).\n\n" + table(heads, rows)


def sizes(lines: Lines, strategy: str, family: str) -> list[str]:
    """Sizes of a family, smallest first."""
    found = {line["instance"].split("_")[1] for line in lines.lines
             if line["strategy"] == strategy and line["instance"].startswith(f"{family}_")}
    return sorted(found, key=lambda size: int(size.split("x")[0]))


def write(document: pathlib.Path, texts: dict[str, str], raw: list[dict]) -> None:
    """The tables of each section between its markers, and the plot beside the document when all of it was run."""
    page = document.read_text()
    for section, text in texts.items():
        begin, end = BEGIN.format(section), END.format(section)
        if begin not in page or end not in page:
            raise SystemExit(f"{document} has no {begin} and {end}")
        before, rest = page.split(begin, 1)
        page = f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}"
    document.write_text(page)
    if {"moves", "replicas"} <= set(texts):
        document.with_suffix(".svg").write_text(plot.svg(panels(Lines(raw))))


def panels(lines: Lines) -> list[plot.Panel]:
    """CPU time against size, medians of all instances."""
    wanted = (("min-moves", "tight", "Fewest moves (tight)", "services × clusters"),
              ("replicas", "scale", "Numbers of replicas", "services"))
    result = []
    for strategy, family, title, x_label in wanted:
        found = sizes(lines, strategy, family)
        labelled = ((f"baseline-{strategy}", "cpu_s", "CVXPY + HiGHS, row by row as the original"),
                    (f"baseline-{strategy}-matrix", "cpu_s", "CVXPY + HiGHS, matrix form"),
                    (strategy, "cpu_s", "smo, whole decision with its explanation"),
                    (strategy, "solve_cpu_s", "smo, solving alone"))
        series = []
        for name, field, label in labelled:
            points = []
            for size in found:
                values = [line[field] for line in lines.of(name, family, size) if field in line]
                if values:
                    points.append((float(size.split("x")[0]), statistics.median(values)))
            if points:
                series.append(plot.Series(label, points))
        result.append(plot.Panel(title, x_label, {float(size.split("x")[0]): shown(size) for size in found}, series))
    return result


def machine(python: str) -> str:
    """One sentence about where the figures come from."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    gib = int(memory[1]) / 2**20 if memory else math.nan
    rust = subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True).stdout.split()[1]
    command = [python, "-m", "pip", "--disable-pip-version-check", "list", "--format", "freeze"]
    packages = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.split()
    wanted = [package for package in packages if package.startswith(("cvxpy=", "highspy=", "numpy="))]
    versions = ", ".join(package.replace("==", " ") for package in wanted)
    return (f"Measured on {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, {gib:.0f} GiB, "
            f"{platform.system()} {platform.release()}; Rust {rust}, Python {platform.python_version()}, {versions}.")
