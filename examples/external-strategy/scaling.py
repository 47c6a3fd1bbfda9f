#!/usr/bin/env python3
"""An external scaling strategy: replicas for the load that the last ticks foretell, so that they are ready when it comes.

    scaling.py [PORT]        prints the URL for `scaling.external: {mine: {url: URL}}`
"""

import math

from serving import serve


def foreseen(service, history):
    """The rate now, or twice the last step ahead when it grows."""
    before = [tick["services"][service["name"]]["rate"] for tick in history if service["name"] in tick["services"]]
    known = [rate for rate in before if rate is not None]
    growth = service["rate"] - known[-1] if known else 0.0
    return service["rate"] + 2 * max(growth, 0.0)


def decide(question):
    replicas = {}
    for service in question["problem"]["services"]:
        profile, previous = service["profile"], service["previous"]
        wanted = previous
        if service["rate"] is not None:
            rate = foreseen(service, question["history"]) / question["problem"]["target_utilisation"]
            wanted = math.ceil((rate - profile["beta"]) / profile["alpha"])
        if "not_below" in service:
            wanted = max(wanted, min(service["not_below"]["replicas"], previous))
        if "not_above" in service:
            wanted = min(wanted, service["not_above"]["replicas"])
        replicas[service["name"]] = min(max(wanted, profile["min"]), profile["max"])
    return {"replicas": replicas}


if __name__ == "__main__":
    serve(decide, 9001)
