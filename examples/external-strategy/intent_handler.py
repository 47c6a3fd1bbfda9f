#!/usr/bin/env python3
"""An intent handler: `sovereignty: eu` keeps a graph or service in regions of the Union, `budget: tight` makes price count more.

    intent_handler.py [PORT]  prints the URL for
                              `placement.intent_handlers: {policy: {url: URL, intents: [sovereignty, budget]}}`
"""

from serving import serve

REGIONS = {"eu": ["be", "de", "fr", "gr", "it"]}


def requirements(intents, service=None):
    area = intents.get("sovereignty")
    if area is None:
        return
    if area not in REGIONS:
        raise ValueError(f"sovereignty: {area!r} is none of {', '.join(REGIONS)}")
    yield {
        "intent": f"sovereignty: {area}",
        "service": service,
        "attribute": "region",
        "test": {"one_of": REGIONS[area]},
    }


def handle(question):
    found = list(requirements(question["intents"]))
    for service, intents in question["services"].items():
        found.extend(requirements(intents, service))
    tight = question["intents"].get("budget") == "tight"
    return {"requirements": found, "weights": {"price": 10.0} if tight else {}}


if __name__ == "__main__":
    serve(handle, 9002)
