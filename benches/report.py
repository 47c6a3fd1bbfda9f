"""`make bench`: times and qualities of the strategies, side by side with the models in CVXPY, in one run.

    python3 benches/report.py [--fresh 10] [--seeds 5] [--print-only] [SECTION…]

Makes fresh instances (`generate.py`), runs them and those in `benches/instances/` through the library (the bench
target `instances`) and the baseline (`baseline/run.py`, in an environment of its own in the user's cache), one process
at a time, prints tables, writes them into the document between the markers of their section, and the plot beside it.
Exits with 1 when a required figure is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import figures
from generate import MIXED_USE, instance

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT / "benches/instances"
BASELINE = ROOT / "benches/baseline"
START = time.monotonic()

MOVES_SIZES = ("3x2", "10x3", "50x10", "200x20", "1000x50", "5000x100")
# Larger ones take the row-by-row model minutes each.
BASELINE_MOVES_SIZES = ("3x2", "10x3", "50x10", "200x20")
# Loads at which counting no longer decides, their sizes, and the seconds that either side may take for a decision: as
# long as a server lets one take by default (`placement.limits.max_deadline`).
MIXED_SIZES = ("10x3", "50x10", "200x20", "1000x50")
MIXED_LIMIT = 10.0
# Their runs take up to the limit each: fewer fresh instances.
MIXED_FRESH = 3
REPLICAS_SIZES = ("3", "10", "100", "1000")
# Size: seconds of a run, of the longer run for the best known, of the run for the proven gap.
COST_SIZES = {"50x10": (0.5, 4.0, 10.0), "200x20": (2.0, 6.0, 10.0), "1000x50": (2.0, 6.0, 30.0)}
SMALL_COST_SIZES = ("3x2", "10x3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--fresh", type=int, default=10, help="fresh instances of each family and size")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of `cost` on each of them")
    parser.add_argument("--document", type=pathlib.Path, default=ROOT / "docs/performance.md",
                        help="document to write the tables into, and the plot beside")
    parser.add_argument("--print-only", action="store_true", help="leave the document alone")
    parser.add_argument("--results", type=pathlib.Path, help="keep every line of the runs in this file")
    arguments = parser.parse_args()
    sections = arguments.sections or SECTIONS
    if unknown := set(sections) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="smo-bench-") as folder:
        bench = Bench(pathlib.Path(folder), arguments.fresh, arguments.seeds)
        lines = [line for section in sections for line in SECTIONS[section](bench)]
    if arguments.results:
        arguments.results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    tables, missed = figures.tables(lines, sections, COST_SIZES)
    machine = figures.machine(bench.python)
    texts = {section: f"{machine}\n\n{text}" for section, text in tables.items()}
    print("\n\n".join(texts.values()))
    if not arguments.print_only:
        figures.write(arguments.document, texts, lines)
    say("done")
    sys.exit(f"required figures missed: {', '.join(missed)}" if missed else 0)


class Bench:
    """The two programs, and the instances."""

    def __init__(self, folder: pathlib.Path, fresh: int, seeds: int):
        self.folder, self.fresh, self.seeds = folder, fresh, seeds
        self.runner, self.python = runner(), environment()

    def moves(self) -> list[dict]:
        """min-moves, ours on all sizes, the models in CVXPY as far as they go."""
        lines = []
        for size in MOVES_SIZES:
            paths = [*self.instances("basic", size), *self.instances("tight", size)]
            lines += self.ours(f"min-moves {size}", paths)
            if size in BASELINE_MOVES_SIZES:
                lines += self.baseline("min-moves", size, paths)
                lines += self.baseline("min-moves-matrix", size, paths)
        return lines

    def loads(self) -> list[dict]:
        """min-moves at high loads, all sides with the same time limit."""
        lines = []
        for size in MIXED_SIZES:
            paths = [path for family in MIXED_USE for path in self.instances(family, size)[: MIXED_FRESH + 1]]
            lines += self.ours(f"min-moves at high load {size}", paths, time_limit=MIXED_LIMIT)
            lines += self.baseline("min-moves-matrix", size, paths, time_limit=MIXED_LIMIT)
            if size in BASELINE_MOVES_SIZES:
                lines += self.baseline("min-moves", size, paths, time_limit=MIXED_LIMIT)
        return lines

    def replicas(self) -> list[dict]:
        lines = []
        for size in REPLICAS_SIZES:
            paths = self.instances("scale", size)
            lines += self.ours(f"replicas {size}", paths)
            lines += self.baseline("replicas", size, paths)
            lines += self.baseline("replicas-matrix", size, paths)
        return lines

    def costs(self) -> list[dict]:
        lines = []
        for size in SMALL_COST_SIZES:
            paths = self.instances("rich", size)
            lines += self.ours(f"cost {size}", paths, time_limit=0.5)
            lines += self.baseline("cost", size, paths)
        for size, (limit, longer, proof) in COST_SIZES.items():
            paths = self.instances("rich", size)
            shared, fresh = paths[:1], paths[1:]
            lines += self.ours(f"cost {size}", paths, time_limit=limit, seeds=self.seeds)
            lines += self.ours(f"cost {size}, longer", fresh, time_limit=longer)
            lines += self.ours(f"cost {size}, for the gap", shared, time_limit=proof)
        lines += self.baseline("cost", "50x10", self.instances("rich", "50x10")[:1], time_limit=20.0)
        return lines

    def instances(self, family: str, size: str) -> list[pathlib.Path]:
        """The shared instance, then the fresh ones."""
        folder = self.folder / f"{family}_{size}"
        paths = [folder / f"{family}_{size}_{seed}.json" for seed in range(1, self.fresh + 1)]
        if not folder.exists():
            folder.mkdir()
            for seed, path in enumerate(paths, 1):
                path.write_text(json.dumps(instance(family, size, seed)))
        return [SHARED / f"{family}_{size}_0.json", *paths]

    def ours(self, what: str, paths: list[pathlib.Path], time_limit: float | None = None, seeds: int = 1) -> list[dict]:
        if not paths:
            return []
        say(f"{what}: {len(paths)} instances" + (f", {seeds} × {time_limit} s each" if time_limit else ""))
        options = ["--seeds", str(seeds), *(["--time-limit", str(time_limit)] if time_limit else [])]
        return run([self.runner, *paths, *options])

    def baseline(
        self, strategy: str, size: str, paths: list[pathlib.Path], time_limit: float | None = None
    ) -> list[dict]:
        if not paths:
            return []
        say(f"baseline {strategy} {size}: {len(paths)} instances")
        options = ["--strategy", strategy, *(["--time-limit", str(time_limit)] if time_limit else [])]
        return run([self.python, BASELINE / "run.py", *options, *paths])


# What can be measured by itself, in the order of the document.
SECTIONS = {"moves": Bench.moves, "loads": Bench.loads, "replicas": Bench.replicas, "cost": Bench.costs}


def runner() -> str:
    """Builds the bench target `instances`: its program."""
    say("building")
    cargo = os.environ.get("CARGO", "cargo")
    command = [cargo, "bench", "--locked", "--bench", "instances", "--no-run", "--message-format", "json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("the benchmarks do not compile")
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    programs = [message for message in messages if message.get("executable")]
    return next(message["executable"] for message in programs if message["target"]["name"] == "instances")


def environment() -> str:
    """The Python of an environment with the baseline's requirements; made when there is none for these."""
    requirements = BASELINE / "requirements.txt"
    key = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    folder = cache / "smo-bench" / f"venv-{key}"
    complete, python = folder / "complete", folder / "bin/python"
    if not complete.exists():
        say(f"installing CVXPY and HiGHS into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        for command in (
            [sys.executable, "-m", "venv", folder],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements],
        ):
            if subprocess.run(command).returncode:
                sys.exit("the baseline could not be installed: pip needs the network once")
        complete.touch()
    return str(python)


def run(command: list) -> list[dict]:
    """The JSON lines that a program prints."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} failed")
    return [json.loads(line) for line in done.stdout.splitlines()]


def say(what: str) -> None:
    print(f"[{time.monotonic() - START:6.0f} s] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
