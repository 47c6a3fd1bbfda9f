"""Asks a server of its own everything that its document allows, and much that it does not: `fuzz.py --binary smo`.

schemathesis makes the requests from the examples and schemas of /openapi.json, those that change something included,
with a fixed seed. It fails when an answer has a status of the server's failure, a status, header or body that is not
documented, or when input is taken that the document forbids; schemathesis.toml beside this file has the exceptions.
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "examples"))

from demo import answers, free_port, wait_for  # noqa: E402

# Seconds after which schemathesis is stopped: an endless run is a failure, too.
LIMIT = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the smo binary")
    parser.add_argument("--schemathesis", required=True, help="the program of schemathesis")
    parser.add_argument("--examples", default="100", help="requests made up for each operation")
    arguments = parser.parse_args()
    url = f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="smo-fuzz-") as data:
        # Of the environment only what programs need: the server is the one of the defaults.
        environment = {"PATH": os.environ["PATH"], "HOME": data}
        settings = {
            "SMO_MODE": "simulated",
            "SMO_DATA_DIR": data,
            "SMO_LISTEN": url.removeprefix("http://"),
            # Waiting for the work of a thousand graphs would take most of the time.
            "SMO_WAIT": "1",
        }
        with open(pathlib.Path(data, "server.log"), "w+", encoding="utf-8") as log:
            server = subprocess.Popen([arguments.binary, "serve"], env=environment | settings, stderr=log, stdout=log)
            try:
                wait_for("the server answers", lambda: answers(url), 20)
                command = [arguments.schemathesis, "--config-file", HERE / "schemathesis.toml", "run"]
                command += [f"{url}/openapi.json", "--max-examples", arguments.examples]
                status = subprocess.run(command, cwd=data, env=environment, timeout=LIMIT).returncode
                lives = server.poll() is None
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(timeout=60)
            if status or not lives:
                log.seek(0)
                errors = [line for line in log if " ERROR " in line or "panicked" in line]
                sys.exit("".join(errors[-20:]) + ("schemathesis found faults" if lives else "the server has ended"))


if __name__ == "__main__":
    main()
