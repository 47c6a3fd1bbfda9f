"""Runs the examples of the README against a server of its own, so that they stay true: `readme.py --binary smo`.

Takes the shell block behind the marker `ci: executed by`, and fails when any of its commands fails.
"""

import argparse
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

from demo import answers, free_port, wait_for

ROOT = pathlib.Path(__file__).resolve().parent.parent


def block() -> str:
    """The commands of the README that are executed."""
    found = re.search(r"<!-- ci: executed by .*?-->\s*```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    if not found:
        sys.exit("README.md has no block marked as executed")
    return found.group(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the smo binary")
    binary = pathlib.Path(parser.parse_args().binary).resolve()
    url = f"http://127.0.0.1:{free_port()}"
    environment = {"PATH": f"{binary.parent}:{os.environ['PATH']}", "HOME": os.environ.get("HOME", "/")}
    with tempfile.TemporaryDirectory(prefix="smo-readme-") as data:
        settings = {"SMO_MODE": "simulated", "SMO_DATA_DIR": data, "SMO_LISTEN": url.removeprefix("http://")}
        server = subprocess.Popen([binary, "serve"], env=environment | settings, stderr=subprocess.DEVNULL)
        try:
            wait_for("the server answers", lambda: answers(url), 20)
            commands = ["bash", "-euo", "pipefail", "-c", block()]
            done = subprocess.run(commands, cwd=ROOT, env=environment | {"SMO_URL": url}, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"an example of README.md failed:\n{done.stdout}\n{done.stderr}")
            print("the examples of README.md run")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)


if __name__ == "__main__":
    main()
