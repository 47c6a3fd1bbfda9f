"""What watching many of Helm's records costs: time to the complete list, memory, and CPU at rest.

    source <(python3 -m testbed env); python3 benches/reflectors.py --binary target/release/smo

Creates Secrets with the labels of Helm's records and no data in the Karmada of the test bed, starts `smo` against it
and prints one line of JSON: without them, and with them. They are deleted at the end.
"""

import argparse
import concurrent.futures
import http.client
import json
import subprocess
import sys
import time
import urllib.error

from deploy import Server, variable

NAMESPACE = "bench-reflectors"
CONNECTIONS = 16
# Seconds at rest over which CPU time is measured.
REST = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="the smo binary (release)")
    parser.add_argument("--secrets", type=int, default=50_000)
    arguments = parser.parse_args()
    with Proxy() as proxy:
        print(json.dumps({"secrets": 0} | measure(arguments.binary)), flush=True)
        begin = time.monotonic()
        proxy.send("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}, allow=409)
        create(proxy, arguments.secrets)
        print(f"created in {time.monotonic() - begin:.0f} s", file=sys.stderr)
        try:
            print(json.dumps({"secrets": arguments.secrets} | measure(arguments.binary)), flush=True)
        finally:
            proxy.send("DELETE", f"/api/v1/namespaces/{NAMESPACE}/secrets")
            proxy.send("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


def measure(binary: str) -> dict:
    """Starts a server and looks at its watch of releases."""
    begin = time.monotonic()
    with Server(binary, settle=0) as server:
        while releases(server) != "ok":
            if time.monotonic() - begin > 300:
                sys.exit("the releases are not listed within 300 s")
            time.sleep(0.05)
        listed, used = time.monotonic() - begin, server.cpu_seconds()
        time.sleep(5)
        at_rest = server.cpu_seconds()
        time.sleep(REST)
        return {
            "listed_after_s": round(listed, 2),
            "cpu_until_listed_s": round(used, 2),
            "rss_mib": round(server.resident_mib()),
            "cpu_s_per_minute_at_rest": round((server.cpu_seconds() - at_rest) * 60 / REST, 2),
        }


def releases(server: Server) -> str | None:
    """State of the watch of releases, as `/readyz` shows it."""
    try:
        ready = server.call("GET", "/readyz")
    except urllib.error.HTTPError as error:
        ready = json.load(error)
    return next((watch["state"] for watch in ready.get("watches", []) if watch["name"] == "releases"), None)


def create(proxy: "Proxy", count: int) -> None:
    """Creates the records over several connections, whoever is free the next one."""
    def secrets(first: int) -> None:
        connection = proxy.connect()
        for number in range(first, count, CONNECTIONS):
            name = f"app-{number:05d}"
            labels = {"owner": "helm", "name": name, "status": "deployed", "version": "1", "modifiedAt": "1700000000",
                      "smo-graph": f"graph-{number // 5}", "smo-digest": f"{number:040x}"}
            metadata = {"name": f"sh.helm.release.v1.{name}.v1", "labels": labels}
            secret = {"metadata": metadata, "type": "helm.sh/release.v1"}
            proxy.send("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", secret, allow=409, connection=connection)

    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(secrets, range(CONNECTIONS)))


class Proxy:
    """The API server of Karmada, through kubectl, which has the credentials."""

    def __enter__(self):
        command = [variable("TESTBED_KUBECTL"), "--kubeconfig", variable("KARMADA_KUBECONFIG"), "proxy", "--port=0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().split()[-1]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def connect(self) -> http.client.HTTPConnection:
        """A connection that one thread keeps."""
        return http.client.HTTPConnection(self.address, timeout=120)

    def send(self, method: str, path: str, body: dict | None = None, allow: int | None = None, connection=None) -> None:
        """One request; any other answer than success, or the status that is allowed, ends the run."""
        connection = connection or self.connect()
        connection.request(method, path, body and json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300 and answer.status != allow:
            sys.exit(f"{method} {path}: {answer.status} {text[:200]!r}")


if __name__ == "__main__":
    main()
