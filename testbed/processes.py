"""Starts, watches and stops the processes of the bed.

A process is started once and then known only by what state.json records: its
arguments (so that `start` can bring it back with the same port and flags), its
pid, and the pid's start time, without which a recycled pid could be mistaken
for ours and killed.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from .bed import Bed, TestbedError
from .progress import say
from .tasks import check

READY_SECONDS = 90
STOP_SECONDS = 4


@dataclass
class Process:
    """What it takes to run one component."""

    name: str
    argv: list[str]
    ready: str | list[str]
    """A URL that answers 200, or a command that exits with 0, when it is of use."""
    env: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "SIGTERM"


class ComponentFailed(TestbedError):
    """A component that did not become ready, with the end of its log."""


def start(bed: Bed, process: Process) -> None:
    """Starts a component, records it, and waits until it is ready."""
    record = asdict(process)
    _spawn(bed, record)
    _wait_ready(bed, record)
    say(f"{process.name} is ready")


def restart(bed: Bed, name: str) -> None:
    """Starts a recorded component again if it does not run."""
    record = recorded(bed, name)
    if alive(record):
        say(f"{name} is running already (pid {record['pid']})")
    else:
        _spawn(bed, record)
    _wait_ready(bed, record)
    say(f"{name} is ready (pid {record['pid']})")


def recorded(bed: Bed, name: str) -> dict[str, Any]:
    processes = bed.state["processes"]
    if name not in processes:
        raise TestbedError(f"no component {name!r}; there are: {', '.join(sorted(processes))}")
    return processes[name]


def _spawn(bed: Bed, record: dict[str, Any]) -> None:
    name = record["name"]
    identity: dict[str, Any] = {}
    if record["user"]:
        entry = pwd.getpwnam(record["user"])
        identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    with open(bed.log(name), "ab") as log:
        child = subprocess.Popen(
            record["argv"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=bed.dir,
            env={**os.environ, **record["env"]},
            start_new_session=True,  # so that Ctrl-C at the terminal is not theirs
            **identity,
        )
    child.returncode = 0  # it outlives this program: keep Popen from complaining
    record["pid"] = child.pid
    record["start_time"] = _start_time(child.pid)
    bed.change(lambda state: state["processes"].__setitem__(name, record))


def _start_time(pid: int) -> str | None:
    """The start time of a live pid in clock ticks since boot; None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def alive(record: dict[str, Any]) -> bool:
    """Whether the recorded process, and not another with its pid, runs."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(record["pid"], os.WNOHANG)  # a child of ours would stay a zombie
    return record["start_time"] is not None and _start_time(record["pid"]) == record["start_time"]


@lru_cache
def tls(pki: str) -> ssl.SSLContext:
    """Trusts the bed's authority and shows the administrator's certificate."""
    context = ssl.create_default_context(cafile=f"{pki}/ca.crt")
    context.load_cert_chain(f"{pki}/admin.crt", f"{pki}/admin.key")
    return context


def is_ready(bed: Bed, record: dict[str, Any]) -> bool:
    probe = record["ready"]
    if isinstance(probe, list):
        return subprocess.run(probe, capture_output=True).returncode == 0
    context = tls(str(bed.pki)) if probe.startswith("https:") else None
    try:
        with urllib.request.urlopen(probe, timeout=2, context=context) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError, ValueError):
        return False


def _wait_ready(bed: Bed, record: dict[str, Any]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not is_ready(bed, record):
        if not alive(record):
            raise ComponentFailed(f"{record['name']} exited\n{tail(bed, record['name'])}")
        if time.monotonic() > deadline:
            raise ComponentFailed(
                f"{record['name']} is not ready after {READY_SECONDS} s\n{tail(bed, record['name'])}"
            )
        check()
        time.sleep(0.1)


def tail(bed: Bed, name: str, lines: int = 15) -> str:
    try:
        text = bed.log(name).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "(no log)"
    return "\n".join([f"--- the end of {bed.log(name)}", *text[-lines:]])


def stop(records: list[dict[str, Any]]) -> None:
    """Asks all to stop, and kills after a few seconds those that linger."""
    running = [record for record in records if alive(record)]
    for record in running:
        _signal(record, getattr(signal, record["stop_signal"]))
    deadline = time.monotonic() + STOP_SECONDS
    while (running := [r for r in running if alive(r)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for record in running:
        _signal(record, signal.SIGKILL)
    while any(alive(record) for record in running):
        time.sleep(0.02)


def _signal(record: dict[str, Any], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(record["pid"], number)


def resident_mib(record: dict[str, Any]) -> int:
    """Resident memory of the process alone, in MiB."""
    try:
        with open(f"/proc/{record['pid']}/status") as file:
            kib = next((line.split()[1] for line in file if line.startswith("VmRSS")), "0")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(kib) // 1024
