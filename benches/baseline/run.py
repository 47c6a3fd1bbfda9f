"""Runs instances through the models in CVXPY and prints one JSON line each.

    python3 benches/baseline/run.py --strategy min-moves benches/instances/tight_50x10_0.json …

`cpu_s` is the process CPU time of building the model and solving it, all threads together; reading the instance is not
in it, and neither is importing CVXPY, which `import_cpu_s` states. Each instance is run as `benches/run.rs` does: a
first time to warm up, which counts by itself when it took long, then in rounds, of which the median one's mean counts.
"""

import time

BEGIN = time.process_time()

import models  # noqa: E402

IMPORTED = time.process_time() - BEGIN

import argparse  # noqa: E402
import functools  # noqa: E402
import json  # noqa: E402
import pathlib  # noqa: E402
import warnings  # noqa: E402

# CPU seconds from which on the first run counts, seconds that a round takes at least, rounds: as in `benches/run.rs`.
LONG, ROUND, ROUNDS = 2.0, 0.01, 3

STRATEGIES = {
    "min-moves": models.placement,
    "min-moves-matrix": models.placement_matrix,
    "replicas": models.replicas,
    "replicas-matrix": models.replicas_matrix,
    "cost": models.cost,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instances", type=pathlib.Path, nargs="+")
    parser.add_argument("--strategy", choices=STRATEGIES, required=True)
    parser.add_argument("--time-limit", type=float, help="seconds for HiGHS; without it, until the optimum is proven")
    arguments = parser.parse_args()
    # CVXPY advises the matrix form, which has a strategy of its own.
    warnings.filterwarnings("ignore", category=UserWarning)
    for path in arguments.instances:
        instance = json.loads(path.read_text())
        print(json.dumps({"instance": path.stem} | measured(instance, arguments)), flush=True)


def measured(instance: dict, arguments: argparse.Namespace) -> dict:
    """The line of an instance."""
    run = functools.partial(STRATEGIES[arguments.strategy], instance, arguments.time_limit)
    (objective, answer, status, bound), cpu, wall = timed(run)
    return {
        "strategy": f"baseline-{arguments.strategy}",
        "time_limit": arguments.time_limit,
        "cpu_s": cpu,
        "wall_s": wall,
        "import_cpu_s": IMPORTED,
        "status": status,
        "objective": objective,
        "bound": bound,
        "replicas" if arguments.strategy.startswith("replicas") else "assignment": answer,
    }


def timed(run) -> tuple:
    """The value, the CPU and the wall seconds of a run: of the first one when it is long, else of the median round."""

    def in_round(times: int) -> tuple:
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(times):
            value = run()
        return value, (time.process_time() - cpu) / times, (time.perf_counter() - wall) / times

    once = in_round(1)
    if once[1] >= LONG:
        return once
    times = int(ROUND / max(once[1], 1e-6)) + 1
    return sorted((in_round(times) for _ in range(ROUNDS)), key=lambda one: one[1])[ROUNDS // 2]


if __name__ == "__main__":
    main()
