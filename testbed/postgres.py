"""A PostgreSQL cluster of the bed's own, apart from any that the machine runs.

The role `smo` owns the database `smo` and may create others, which the tests of
the repositories do. Nothing is synced to disk: the data lives as long as the bed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from . import debian
from .bed import HOST, Bed, TestbedError
from .processes import Process, start

PORTS = ["postgres"]
ROLE = "smo"


def url(bed: Bed) -> str:
    return f"postgres://{ROLE}:{ROLE}@{bed.address('postgres')}/{ROLE}"


def postgres(bed: Bed) -> None:
    programs, folder = debian.postgres_bin(), bed.folder("postgres")
    sockets = bed.folder("postgres", "socket")
    user = _owner(bed, folder, sockets)
    data = folder / "data"
    _run(user, str(programs / "initdb"), f"--pgdata={data}", f"--username={ROLE}", "--auth=trust",
         "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")  # fmt: skip
    port = bed.port("postgres")
    reach = ["--host", HOST, "--port", str(port), "--username", ROLE]
    start(bed, Process(
        "postgres",
        [
            str(programs / "postgres"), "-D", str(data), "-p", str(port),
            "-c", f"listen_addresses={HOST}", "-c", f"unix_socket_directories={sockets}",
            "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
            "-c", "max_connections=200",
        ],
        ready=[str(programs / "pg_isready"), "-q", *reach],
        user=user,
        stop_signal="SIGINT",  # SIGTERM would wait for the clients to leave
    ))  # fmt: skip
    _run(user, str(programs / "createdb"), *reach, ROLE)


def _owner(bed: Bed, *folders: Path) -> str | None:
    """PostgreSQL refuses to run as root: then it runs as `postgres`, who owns the folders."""
    if os.geteuid():
        return None
    user = pwd.getpwnam("postgres")
    for parent in (bed.dir, *bed.dir.parents):
        if not parent.stat().st_mode & 0o001:
            raise TestbedError(f"PostgreSQL's user cannot enter {parent}; choose another folder with --dir")
    for folder in folders:
        shutil.chown(folder, user.pw_uid, user.pw_gid)
    return "postgres"


def _run(user: str | None, *argv: str) -> None:
    identity = {"user": user, "group": user, "extra_groups": []} if user else {}
    result = subprocess.run(argv, capture_output=True, text=True, cwd="/", **identity)
    if result.returncode:
        raise TestbedError(f"{Path(argv[0]).name} failed\n{result.stderr[-2000:]}")
