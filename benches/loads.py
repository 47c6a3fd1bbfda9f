"""What `make bench` says about `min-moves` at high loads, where runs may end at their time limit."""

from __future__ import annotations

import functools
import math

from cells import seconds, shown, spread, table
from generate import instance

FAMILIES = {"mixed98": "98 %", "mixed995": "99.5 %"}
SIDES = {
    "min-moves": "smo",
    "baseline-min-moves-matrix": "CVXPY, matrix form",
    "baseline-min-moves": "CVXPY, row by row",
}


def goals(lines) -> list[tuple]:
    """That nothing that is proven is wrong: every instance has a plan, and none has one with fewer moves than are
    proven to be the fewest."""
    wrong = []
    for family in FAMILIES:
        for size in sizes(lines, family):
            best = fewest(lines, family, size)
            for run in (run for strategy in SIDES for run in lines.of(strategy, family, size)):
                beaten = proven(run) and run["objective"] > best[run["instance"]]
                if beaten or status(run) == "infeasible":
                    wrong.append(f"{run['instance']} ({SIDES[run['strategy']]})")
    text = "`min-moves` at high load: no proof of any side is refuted by another's plan or the hidden one"
    return [(True, text, "none" if not wrong else ", ".join(wrong), not wrong)]


def summary(lines) -> str:
    """How often each side proved its plan, by load and size, and how long it took."""
    rows = []
    for family, load in FAMILIES.items():
        for size in sizes(lines, family):
            best = fewest(lines, family, size)
            for strategy, side in SIDES.items():
                runs = lines.of(strategy, family, size)
                if runs:
                    rows.append((f"{load}, {shown(size)}", side, *results(runs, best), *times(runs)))
    heads = ("load, size", "side", "proven", "a plan, not proven", "no plan", "moves above the fewest", "CPU", "wall")
    limits = {line["time_limit"] for line in lines.lines if line["instance"].split("_")[0] in FAMILIES}
    limit = " and ".join(seconds(limit) for limit in sorted(limits))
    caption = (f"Instances by outcome with a limit of {limit}; moves beyond the fewest of any side and of "
               "the hidden assignment, over all instances with a plan; CPU and wall time, median (95th percentile).")
    return f"{caption}\n\n{table(heads, rows)}"


def results(runs: list[dict], best: dict[str, float]) -> tuple[str, ...]:
    plans = [run for run in runs if run["objective"] is not None]
    optimal = sum(proven(run) for run in plans)
    above = sum(run["objective"] - best[run["instance"]] for run in plans)
    return (f"{optimal} of {len(runs)}", str(len(plans) - optimal), str(len(runs) - len(plans)),
            f"{above:.0f}" if plans else "–")


def times(runs: list[dict]) -> tuple[str, str]:
    return spread([run["cpu_s"] for run in runs]), spread([run["wall_s"] for run in runs])


def unproven(lines) -> str:
    """The instances that some side did not solve to the proven optimum, and how far each side came."""
    rows = []
    for family in FAMILIES:
        for size in sizes(lines, family):
            sides = [{line["instance"]: line for line in lines.of(strategy, family, size)} for strategy in SIDES]
            for name in sides[0]:
                runs = [side.get(name) for side in sides]
                if not all(run is None or proven(run) for run in runs):
                    rows.append((name, str(hidden(name)), *(progress(run) for run in runs)))
    if not rows:
        return "Every side proved the optimum of every instance."
    caption = "Not proven by every side: moves of the hidden assignment and of each side, and those proven to be needed."
    return f"{caption}\n\n{table(('instance', 'hidden', *SIDES.values()), rows)}"


def progress(run: dict | None) -> str:
    if run is None:
        return "–"
    if run["objective"] is None:
        return f"no plan: {status(run)}"
    if proven(run):
        return f"{run['objective']:.0f}, proven"
    bound = run["bound"]
    needed = "no bound" if bound is None or not math.isfinite(bound) else f"≥ {math.ceil(bound - 1e-6)}"
    return f"{run['objective']:.0f}, {needed}"


def proven(run: dict) -> bool:
    return run["objective"] is not None and status(run) == "optimal"


def status(run: dict) -> str:
    """The word of smo for an outcome, that of CVXPY for a status."""
    return run["outcome"] if "outcome" in run else run["status"]


def fewest(lines, family: str, size: str) -> dict[str, float]:
    """Moves of the best plan of any side, or of the hidden one, by instance."""
    best = {line["instance"]: float(hidden(line["instance"])) for line in lines.of("min-moves", family, size)}
    for strategy in SIDES:
        for line in lines.of(strategy, family, size):
            if line["objective"] is not None:
                best[line["instance"]] = min(best[line["instance"]], line["objective"])
    return best


@functools.cache
def hidden(name: str) -> int:
    """Moves to the assignment that an instance was made around."""
    family, size, seed = name.split("_")
    drawn = instance(family, size, int(seed))
    return sum(place != now for place, now in zip(drawn["witness"], drawn["current"]))


def sizes(lines, family: str) -> list[str]:
    found = {line["instance"].split("_")[1] for line in lines.lines if line["instance"].startswith(f"{family}_")}
    return sorted(found, key=lambda size: int(size.split("x")[0]))
