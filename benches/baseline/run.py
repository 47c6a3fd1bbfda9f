"""Runs instances through the models in CVXPY and prints one JSON line each.

    python3 benches/baseline/run.py --strategy min-moves benches/instances/tight_50x10_0.json …

`cpu_s` is the process CPU time of building the model and solving it, all threads together; reading the instance is not
in it, and neither is importing CVXPY, which `import_cpu_s` states.
"""

import time

BEGIN = time.process_time()

import models  # noqa: E402

IMPORTED = time.process_time() - BEGIN

import argparse  # noqa: E402
import json  # noqa: E402
import pathlib  # noqa: E402
import warnings  # noqa: E402

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
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--time-limit", type=float, help="seconds for HiGHS; without it, until the optimum is proven")
    arguments = parser.parse_args()
    # CVXPY advises the matrix form, which has a strategy of its own.
    warnings.filterwarnings("ignore", category=UserWarning)
    for path in arguments.instances:
        instance = json.loads(path.read_text())
        for _ in range(arguments.repeat):
            print(json.dumps({"instance": path.stem} | timed(instance, arguments)), flush=True)


def timed(instance: dict, arguments: argparse.Namespace) -> dict:
    """One run with its times."""
    cpu, wall = time.process_time(), time.perf_counter()
    objective, answer, status = STRATEGIES[arguments.strategy](instance, arguments.time_limit)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "strategy": f"baseline-{arguments.strategy}",
        "time_limit": arguments.time_limit,
        "cpu_s": cpu,
        "wall_s": wall,
        "import_cpu_s": IMPORTED,
        "status": status,
        "objective": objective,
        "replicas" if arguments.strategy.startswith("replicas") else "assignment": answer,
    }


if __name__ == "__main__":
    main()
