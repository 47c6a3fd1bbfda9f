"""The parts that come from the distribution.

Installing a Debian package of a server normally starts the server, on the
default ports of the machine: a guard forbids it for as long as apt runs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterator

from .bed import TestbedError
from .progress import say

GUARD = Path("/usr/sbin/policy-rc.d")


def install(wanted: dict[str, str]) -> None:
    """Installs the packages (values) whose program (key) is missing."""
    missing = sorted({package for name, package in wanted.items() if not _present(name)})
    if not missing:
        return
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    if os.geteuid():
        raise TestbedError(f"missing packages; run as root: {' '.join(command)}")
    if not shutil.which("apt-get"):
        raise TestbedError(f"these have to be installed first: {', '.join(missing)}")
    say(f"installing {', '.join(missing)}")
    with _no_services():
        for step in (["apt-get", "update", "-q"], command):
            result = subprocess.run(
                step,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                text=True,
                capture_output=True,
            )
            if result.returncode:
                raise TestbedError(f"{' '.join(step)} failed\n{result.stderr[-2000:]}")


def postgres_bin() -> Path:
    """The folder of the newest PostgreSQL server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    if not found:
        raise TestbedError("no PostgreSQL server; run `build` first")
    return found[-1].parent


def _present(name: str) -> bool:
    # Debian keeps the server's programs out of PATH.
    if name == "postgres":
        return any(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    # A library, of which bindgen takes any version; libclang-cpp is another one.
    if name == "libclang":
        names = ("libclang.so*", "libclang-[0-9]*.so*")
        return any(any(Path("/usr/lib").glob(f"{folder}/{name}")) for folder in ("llvm*/lib", "*-linux-gnu") for name in names)
    return shutil.which(name) is not None


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    if GUARD.exists():  # the machine has a policy already
        yield
        return
    GUARD.write_text("#!/bin/sh\nexit 101\n")
    GUARD.chmod(0o755)
    try:
        yield
    finally:
        GUARD.unlink()
