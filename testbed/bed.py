"""One test bed: its folder, its ports and its state file.

The folder holds everything a running bed owns (keys, data, logs), and
`state.json` is the only memory shared by `up`, `stop`, `start` and `down`,
which are separate runs of the program: hence the lock and the atomic writes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import shutil
import socket
import threading
import tomllib
from pathlib import Path
from typing import Any, Callable, Iterator

PACKAGE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
_CLUSTERS = tomllib.loads((PACKAGE / "clusters.toml").read_text())
MEMBERS: dict[str, dict[str, Any]] = _CLUSTERS["members"]
"""Name of a member cluster -> its table in clusters.toml."""
LATENCIES: list[dict[str, Any]] = _CLUSTERS["latencies"]
"""Round-trip times between pairs of members: `between` (two names), `ms`."""


class TestbedError(Exception):
    """Something the user can act on; shown without a traceback."""


class Running(TestbedError):
    """Another run holds the bed (an `up` that has not finished)."""


def default_dir() -> Path:
    """Where the bed lives when --dir is not given.

    A user's runtime folder is closed to others, and root has to run PostgreSQL
    as another user, so root's bed goes below /tmp.
    """
    named = os.environ.get("SMO_TESTBED_DIR") or os.environ.get("TESTBED_DIR")
    if named:
        return Path(named).absolute()
    runtime = os.environ.get("XDG_RUNTIME_DIR") if os.geteuid() else None
    return Path(runtime or "/tmp") / "smo-testbed"


class Bed:
    """The folder of one test bed, with typed access to what lies in it."""

    def __init__(self, folder: Path):
        self.dir = folder.absolute()
        self.pki = self.dir / "pki"
        self.logs = self.dir / "logs"
        self.state_file = self.dir / "state.json"
        self._threads = threading.RLock()

    # --- files -----------------------------------------------------------

    def kubeconfig(self, cluster: str) -> Path:
        return self.dir / "kubeconfig" / f"{cluster}.yaml"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def folder(self, *parts: str) -> Path:
        path = self.dir.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def write_json(self, path: Path, value: Any) -> Path:
        """Writes a configuration file. JSON is valid YAML, so no YAML writer is needed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=2) + "\n")
        return path

    def reset(self, ports: list[str]) -> None:
        """Empties the folder (logs of the last run too) and chooses new ports."""
        kept = {"lock", "state.lock", self.state_file.name}
        old = [entry for entry in self.dir.iterdir() if entry.name not in kept]
        if old and not self.exists():
            raise TestbedError(f"{self.dir} holds files that are not a test bed's; choose another folder")
        for entry in old:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self.logs.mkdir()
        self._write({"ports": choose_ports(ports), "processes": {}, "env": {}})

    # --- state -----------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        try:
            return json.loads(self.state_file.read_text())
        except FileNotFoundError:
            raise TestbedError(f"no test bed in {self.dir}") from None

    def exists(self) -> bool:
        return self.state_file.exists()

    def change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """Reads, edits and writes the state; safe between threads and between runs."""
        with self._threads, self._flock("state.lock"):
            state = self.state
            edit(state)
            self._write(state)

    def port(self, name: str) -> int:
        return self.state["ports"][name]

    def address(self, name: str) -> str:
        return f"{HOST}:{self.port(name)}"

    def _write(self, state: dict[str, Any]) -> None:
        new = self.state_file.with_suffix(".new")
        new.write_text(json.dumps(state, indent=2) + "\n")
        new.replace(self.state_file)

    @contextlib.contextmanager
    def _flock(self, name: str, wait: bool = True) -> Iterator[None]:
        with open(self.dir / name, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise Running(f"another `up` or `down` is at work in {self.dir}") from None
            yield

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Held by `up` and `down` for as long as they run."""
        self.dir.mkdir(parents=True, exist_ok=True)
        with self._flock("lock", wait=False):
            yield


def choose_ports(names: list[str]) -> dict[str, int]:
    """A free port for every name.

    They are taken below the range the kernel gives to outgoing connections:
    a port of a component that is stopped for a while, or is only reserved,
    would otherwise be taken by some client's socket sooner or later.
    """
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = list(range(15000, min(first_ephemeral, 32768)))
    random.shuffle(candidates)
    chosen: dict[str, int] = {}
    for name in names:
        while True:
            if not candidates:
                raise TestbedError("no free port left")
            port = candidates.pop()
            with socket.socket() as probe:
                try:
                    probe.bind((HOST, port))
                except OSError:
                    continue
            chosen[name] = port
            break
    return chosen
