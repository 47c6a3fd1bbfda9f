"""Runs named steps in parallel, each as soon as the steps it needs are done."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Callable


_cancelled = threading.Event()


class Cancelled(Exception):
    """Raised in steps that wait while another has failed."""


def check() -> None:
    """For loops that wait: ends them soon after a failure or Ctrl-C."""
    if _cancelled.is_set():
        raise Cancelled


class Tasks:
    """A graph of steps. The first failure stops new steps and is raised."""

    def __init__(self) -> None:
        self._steps: dict[str, tuple[Callable[[], object], set[str]]] = {}

    def add(self, name: str, step: Callable[[], object], after: list[str] | None = None) -> None:
        self._steps[name] = (step, set(after or []))

    def run(self) -> None:
        missing = {need for _, needs in self._steps.values() for need in needs} - set(self._steps)
        if missing:
            raise ValueError(f"unknown steps: {sorted(missing)}")
        done: set[str] = set()
        waiting = dict(self._steps)
        running: dict[Future[object], str] = {}
        _cancelled.clear()
        with ThreadPoolExecutor(max_workers=max(1, len(waiting))) as pool:
            try:
                while running or waiting:
                    for name in [n for n, (_, needs) in waiting.items() if needs <= done]:
                        step, _ = waiting.pop(name)
                        running[pool.submit(step)] = name
                    if not running:
                        raise ValueError(f"steps wait for each other: {sorted(waiting)}")
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        future.result()
                        done.add(running.pop(future))
            except BaseException:
                _cancelled.set()  # leaving the pool waits for the steps that still run
                raise
