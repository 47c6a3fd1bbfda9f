"""Metrics whose values a test sets: `python3 -m testbed.exporter`.

    PUT /rate/SERVICE   body: requests per second; from then on the counter
                        flask_http_request_total{service="SERVICE"} grows so
    PUT /gauge/NAME     body: a number; the gauge NAME has it. Labels may be
                        given as a query: /gauge/load?cluster=member1
    DELETE either       takes the series away
    GET /metrics        all of them
"""

from __future__ import annotations

import argparse
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

COUNTER = "flask_http_request_total"
METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass
class Counter:
    """A count that grows by itself, without a thread: value at a time, and its rate."""

    rate: float = 0.0
    base: float = 0.0
    since: float = 0.0

    def value(self, now: float) -> float:
        return self.base + self.rate * (now - self.since)

    def set_rate(self, rate: float, now: float) -> None:
        self.base, self.since, self.rate = self.value(now), now, rate


class Series:
    """All series, safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, dict[str, float]] = {}

    def set_rate(self, service: str, rate: float) -> None:
        now = time.monotonic()
        with self._lock:
            self._counters.setdefault(service, Counter(since=now)).set_rate(rate, now)

    def set_gauge(self, name: str, labels: str, value: float) -> None:
        with self._lock:
            self._gauges.setdefault(name, {})[labels] = value

    def remove_rate(self, service: str) -> None:
        with self._lock:
            self._counters.pop(service, None)

    def remove_gauge(self, name: str, labels: str) -> None:
        with self._lock:
            self._gauges.get(name, {}).pop(labels, None)

    def render(self) -> str:
        now = time.monotonic()
        with self._lock:
            lines = [f"# TYPE {COUNTER} counter"]
            lines += [
                f'{COUNTER}{{service="{escape(service)}"}} {counter.value(now)!r}'
                for service, counter in sorted(self._counters.items())
            ]
            for name, values in sorted(self._gauges.items()):
                lines.append(f"# TYPE {name} gauge")
                lines += [f"{name}{labels} {value!r}" for labels, value in sorted(values.items())]
        return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def labels_of(query: str) -> str:
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    if not all(LABEL_NAME.fullmatch(name) for name, _ in pairs):
        raise ValueError("a label's name is not valid")
    return "{" + ",".join(f'{name}="{escape(value)}"' for name, value in pairs) + "}" if pairs else ""


class Handler(BaseHTTPRequestHandler):
    series = Series()

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/metrics":
            self._answer(200, self.series.render())
        else:
            self._answer(404, "see /metrics\n")

    def do_PUT(self) -> None:
        self._edit()

    def do_DELETE(self) -> None:
        self._edit()

    def _edit(self) -> None:
        url = urlsplit(self.path)
        _, _, rest = url.path.partition("/")
        kind, _, name = rest.partition("/")
        name = unquote(name)
        try:
            put = self.command == "PUT"
            value = float(self.rfile.read(int(self.headers.get("Content-Length") or 0))) if put else 0.0
            if kind == "rate" and name and value >= 0:
                self.series.set_rate(name, value) if put else self.series.remove_rate(name)
            elif kind == "gauge" and METRIC_NAME.fullmatch(name):
                labels = labels_of(url.query)
                self.series.set_gauge(name, labels, value) if put else self.series.remove_gauge(name, labels)
            else:
                return self._answer(404, "PUT /rate/SERVICE or /gauge/NAME with a number\n")
        except ValueError as error:
            return self._answer(400, f"{error}\n")
        self._answer(204, "")

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        if self.command != "GET":  # a scrape every second would drown the rest
            super().log_request(code, size)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(prog="testbed.exporter")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    host, _, port = parser.parse_args().listen.rpartition(":")
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
