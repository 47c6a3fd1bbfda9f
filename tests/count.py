"""Counts the tests of a `cargo test` log by engine: `count.py LOG`.

A test that runs on a database engine has the engine's name in its path. Fails when an engine has no test, so
that a suite that was left out by mistake does not pass in silence.
"""

import re
import sys


def main(path: str) -> None:
    with open(path, encoding="utf-8", errors="replace") as log:
        passed = re.findall(r"^test (\S+)(?: - should panic)? \.\.\. ok$", log.read(), re.MULTILINE)
    engines = {engine: sum(f"{engine}::" in name for name in passed) for engine in ("sqlite", "postgres")}
    rest = len(passed) - sum(engines.values())
    print(f"{len(passed)} tests passed: {engines['sqlite']} on SQLite, {engines['postgres']} on PostgreSQL, "
          f"{rest} without a database engine in their name")
    missing = [engine for engine, count in engines.items() if count == 0]
    if missing:
        sys.exit(f"no test ran on {' and '.join(missing)}")


if __name__ == "__main__":
    main(sys.argv[1])
