"""Progress lines with the time since the program started."""

from __future__ import annotations

import sys
import threading
import time

_started = time.monotonic()
_lock = threading.Lock()


def elapsed() -> float:
    return time.monotonic() - _started


def say(text: str) -> None:
    """One line on stderr; stdout is kept for what a script may want to read."""
    with _lock:
        print(f"[{elapsed():6.1f}s] {text}", file=sys.stderr, flush=True)
