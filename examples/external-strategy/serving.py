"""Answers the questions of smo over HTTP with a function; a `ValueError` is told as the reason of a refusal."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve(answer, port):
    """Serves on the loopback, at the port of the command line if it has one, and prints the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                status, found = 200, answer(question)
            except ValueError as error:
                status, found = 422, {"error": str(error)}
            body = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else port), Handler)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
