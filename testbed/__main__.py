"""The command line of the test bed; see README.md."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from . import binaries, environment, lifecycle
from .bed import PACKAGE, Bed, TestbedError, default_dir
from .progress import say


def main() -> int:
    arguments = _parser().parse_args()
    bed = Bed(arguments.dir or default_dir())
    try:
        return _run(bed, arguments)
    except TestbedError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def _run(bed: Bed, arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "build":
            binaries.build()
            say(f"all programs are in {binaries.cache()}")
        case "up":
            lifecycle.up(bed)
            print(environment.exports(bed), end="")
            say(f"the same lines are in {bed.dir}/env.sh")
        case "down":
            lifecycle.down(bed, arguments.purge)
        case "status":
            return 0 if lifecycle.status(bed) else 1
        case "env":
            print(environment.exports(bed), end="")
        case "stop":
            for name in arguments.name:
                lifecycle.stop_one(bed, name)
        case "start":
            for name in arguments.name:
                lifecycle.start_one(bed, name)
        case "push-charts":
            _push_charts(bed)
    return 0


def _push_charts(bed: Bed) -> None:
    """Every chart of the examples, into the bed's registry."""
    script = PACKAGE.parent / "examples" / "push-charts.sh"
    result = subprocess.run(
        [str(script), bed.address("registry"), binaries.program("helm4")],
        env={**os.environ, "INSECURE_REGISTRY": "true"},
    )
    if result.returncode:
        raise TestbedError(f"{script.name} failed")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m testbed", description="Real systems for smo, on loopback.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dir", type=Path, help="folder of the bed (default: $SMO_TESTBED_DIR)")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, parents=[common])

    command("build", "obtain or build every program that is missing")
    command("up", "start the bed and print what to export; nothing happens if a healthy one runs")
    down = command("down", "stop everything; the logs stay")
    down.add_argument("--purge", action="store_true", help="remove the folder too")
    command("status", "list the components; exit 1 if any is not ready")
    command("env", "print what to export")
    for name, text in (("stop", "stop components"), ("start", "start stopped components, with the same ports")):
        command(name, text).add_argument("name", nargs="+", help="as `status` lists them, e.g. registry")
    command("push-charts", "push the charts of the examples to the bed's registry")
    return parser


if __name__ == "__main__":
    sys.exit(main())
