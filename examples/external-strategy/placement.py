#!/usr/bin/env python3
"""An external placement strategy: every service goes where most CPU is left;
at night not to clusters that run on solar power, where its intent `after_dark: no-solar` says so.

    placement.py [PORT]      prints the URL for `placement.external: {mine: {url: URL, handles: [after_dark]}}`
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def decide(question):
    problem, context = question["problem"], question["context"]
    clusters = [cluster for cluster in problem["clusters"] if cluster["available"]]
    left = {cluster["name"]: dict(cluster["free"]) for cluster in clusters}
    solar = {c["name"] for c in clusters if c["attributes"].get("energy_class") == "solar"}
    night = not 6 <= int(context["at"][11:13]) < 20
    assignment = {}
    for service in sorted(problem["services"], key=lambda service: service["rank"]):
        intents = context["services"][service["name"]]["intents"] or {}
        avoided = solar if night and intents.get("after_dark") == "no-solar" else set()
        needs = {name: amount * service["replicas"]["min"] for name, amount in service["needs"].items()}
        # A rule that this program does not know is no risk: smo checks the answer, and its fallback decides instead.
        fitting = [
            name for name, free in left.items()
            if name not in avoided and all(needs[unit] <= free[unit] for unit in ("cpu_millicores", "ram_bytes", "gpus"))
        ]
        if not fitting:
            raise ValueError(f"no cluster has room for {service['name']}")
        best = max(fitting, key=lambda name: (left[name]["cpu_millicores"], name))
        for unit, amount in needs.items():
            left[best][unit] -= amount
        assignment[service["name"]] = best
    return {"assignment": assignment}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            status, answer = 200, decide(question)
        except ValueError as error:
            status, answer = 422, {"error": str(error)}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9000), Handler)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
