"""The main job in a minute, on the simulated continuum: post a graph, see where it runs, fire its alert.

Starts a server of its own with an empty data folder on a free port of loopback, and stops it at the end unless
`--keep` is given. Needs nothing but the `smo` binary.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

DESCRIPTOR = pathlib.Path(__file__).parent / "brussels-demo" / "hdag.yaml"
GRAPH = "brussels-demo"
CONDITIONAL = "image-compression-vo"


def call(url: str, method: str = "GET", body: str | None = None, content_type: str = "application/json"):
    """One request; gives the JSON answer, or ends the demo with what the server said."""
    data = None if body is None else body.encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"content-type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{method} {url}: {error.code} {error.read().decode(errors='replace')}")


def wait_for(what: str, condition, limit: float = 30.0):
    """Polls until the condition gives something, with a dot for every second."""
    end, shown = time.monotonic() + limit, 0.0
    print(f"  waiting until {what} ", end="", flush=True)
    while time.monotonic() < end:
        result = condition()
        if result:
            print(" yes")
            return result
        if time.monotonic() - shown > 1:
            print(".", end="", flush=True)
            shown = time.monotonic()
        time.sleep(0.1)
    sys.exit(f"\n{what}: not within {limit:.0f} s")


def table(graph: dict) -> None:
    """Prints each service with its cluster and state."""
    rows = [("SERVICE", "CLUSTER", "STATUS", "READY", "CPU", "MEMORY")]
    for service in graph["services"]:
        ready = "yes" if service["ready"] else "no"
        cluster = service["cluster_affinity"] or "-"
        rows.append((service["name"], cluster, service["status"], ready, service["cpu"], service["memory"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def alert() -> str:
    """What Alertmanager would send."""
    labels = {"alertname": "noise-reduction-busy", "service": CONDITIONAL, "graph": GRAPH, "severity": "critical"}
    return json.dumps({
        "version": "4", "groupKey": "{}", "status": "firing", "receiver": "smo", "groupLabels": {},
        "commonLabels": labels, "commonAnnotations": {}, "externalURL": "http://alertmanager",
        "alerts": [{"status": "firing", "labels": labels, "annotations": {}, "startsAt": "2026-01-01T00:00:00Z",
                    "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": "0"}],
    })


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=1):
            return True
    except OSError:
        return False


def show(url: str) -> None:
    """Posts the example, prints the placement, fires the alert, prints the result."""
    print(f"\nPOST {url}/project/demo/graphs < {DESCRIPTOR.parent.name}/{DESCRIPTOR.name}")
    graph = call(f"{url}/project/demo/graphs", "POST", DESCRIPTOR.read_text(), "application/yaml")
    print(f"  {graph['message']}; clusters: "
          + ", ".join(cluster["name"] for cluster in call(f"{url}/clusters/")) + "\n")
    table(graph)
    print()

    def settled():
        now = call(f"{url}/graphs/{GRAPH}")
        return now if now["ready"] else None

    wait_for("the services run where they were placed", settled)
    print(f"\nPOST {url}/alerts  (noise-reduction is busy)")
    answer = call(f"{url}/alerts", "POST", alert())
    print("  deploys " + ", ".join(target["service"] for target in answer["deployed"]))

    def deployed():
        now = call(f"{url}/graphs/{GRAPH}")
        done = all(service["status"] == "Deployed" and service["ready"] for service in now["services"])
        return now if done else None

    graph = wait_for(f"{CONDITIONAL} is deployed and ready", deployed)
    print()
    table(graph)
    print(f"\n  the graph    {url}/graphs/{GRAPH}\n  its events   {url}/graphs/{GRAPH}/events"
          f"\n  clusters     {url}/clusters/\n  Swagger UI   {url}/docs/\n  metrics      {url}/metrics")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the smo binary")
    parser.add_argument("--keep", action="store_true", help="leave the server running")
    arguments = parser.parse_args()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    data = tempfile.mkdtemp(prefix="smo-demo-")
    log = pathlib.Path(data) / "smo.log"
    # Only what the demo needs: no setting of a real system may leak in from the shell.
    environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment |= {"SMO_LISTEN": f"127.0.0.1:{port}", "SMO_DATA_DIR": data, "SMO_MODE": "simulated"}
    with log.open("w") as out:
        server = subprocess.Popen([arguments.binary, "serve"], env=environment, stdout=out, stderr=out,
                                  start_new_session=arguments.keep)
    print(f"smo starts on {url}, its data and log are in {data}")
    try:
        wait_for("it answers", lambda: answers(url) or server.poll() is not None, 20)
        if server.poll() is not None:
            sys.exit(log.read_text())
        show(url)
    except BaseException:
        stop(server)
        print(f"the log is {log}", file=sys.stderr)
        raise
    if arguments.keep:
        print(f"\nThe server goes on; stop it with: kill {server.pid}")
    else:
        stop(server)
        shutil.rmtree(data)
        print("\nThe server has stopped; `make demo KEEP=1` leaves it running.")


def stop(server: subprocess.Popen) -> None:
    """Ends the server and waits for it."""
    server.send_signal(signal.SIGTERM)
    server.wait(timeout=40)


if __name__ == "__main__":
    main()
