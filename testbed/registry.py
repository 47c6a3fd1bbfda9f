"""The OCI registry that charts are pushed to. Plain HTTP, open to everyone on loopback."""

from __future__ import annotations

from .bed import Bed
from .processes import Process, start

PORTS = ["registry"]


def registry(bed: Bed) -> None:
    config = bed.write_json(
        bed.folder("registry") / "config.yml",
        {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(bed.folder("registry", "data"))},
                "delete": {"enabled": True},
            },
            "http": {"addr": bed.address("registry")},
        },
    )
    start(bed, Process("registry", ["docker-registry", "serve", str(config)],
                       ready=f"http://{bed.address('registry')}/v2/"))  # fmt: skip
