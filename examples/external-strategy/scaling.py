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
            wanted = math.ceil((foreseen(service, question["history"]) - profile["beta"]) / profile["alpha"])
        if service["scale_down_blocked"]:
            wanted = max(wanted, previous)
        if service["scale_up_blocked"]:
            wanted = min(wanted, previous)
        replicas[service["name"]] = min(max(wanted, profile["min"]), profile["max"])
    return {"replicas": replicas}


if __name__ == "__main__":
    serve(decide, 9001)
