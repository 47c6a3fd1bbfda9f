#!/usr/bin/env python3
"""An intent handler: `sovereignty: eu` keeps a graph or service in regions of the Union, `budget: tight` makes price count more.

    intent_handler.py [PORT]  prints the URL for
                              `placement.intent_handlers: {policy: {url: URL, intents: [sovereignty, budget]}}`
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            status, answer = 200, handle(question)
        except ValueError as error:
            status, answer = 422, {"error": str(error)}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9002), Handler)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
