#!/usr/bin/env python3
"""An external placement strategy: every service goes where most CPU is left;
at night not to clusters that run on solar power, where its intent `after_dark: no-solar` says so.

    placement.py [PORT]      prints the URL for `placement.external: {mine: {url: URL, handles: [after_dark]}}`
"""

from serving import serve


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


if __name__ == "__main__":
    serve(decide, 9000)
