"""Brings the operator's rule files to Prometheus: `python3 -m testbed.rulesync`.

In a cluster the ConfigMaps are mounted into the pod and a sidecar reloads
Prometheus; this process does both by polling twice a second.
"""

from __future__ import annotations

import argparse
import sys
import time
import urllib.request
from pathlib import Path

from .bed import Bed, TestbedError
from .kubeapi import Api
from .monitoring import NAMESPACE, PROMETHEUS_NAME

POLL_SECONDS = 0.5


def wanted(api: Api) -> dict[str, str]:
    """The rule files that the operator made: name -> content."""
    prefix = f"prometheus-{PROMETHEUS_NAME}-rulefiles-"
    files: dict[str, str] = {}
    for item in api.get(f"api/v1/namespaces/{NAMESPACE}/configmaps")["items"]:
        if item["metadata"]["name"].startswith(prefix):
            files.update(item.get("data") or {})
    return files


def write(folder: Path, files: dict[str, str]) -> bool:
    """Makes the folder hold exactly these files; True if anything changed."""
    changed = False
    for stale in {path.name for path in folder.iterdir()} - set(files):
        (folder / stale).unlink()
        changed = True
    for name, content in files.items():
        path = folder / name
        if not path.exists() or path.read_text() != content:
            path.write_text(content)
            changed = True
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(prog="testbed.rulesync")
    parser.add_argument("--dir", type=Path, required=True)
    bed = Bed(parser.parse_args().dir)
    api, rules = Api(bed, "mgmt"), bed.dir / "prometheus" / "rules"
    reload = urllib.request.Request(f"http://{bed.address('prometheus')}/-/reload", method="POST")
    pending = False  # a reload that has not succeeded yet
    while True:
        try:
            files = wanted(api)
            if write(rules, files):
                pending = True
            if pending:
                urllib.request.urlopen(reload, timeout=10).close()
                pending = False
                print(f"{time.strftime('%H:%M:%S')} reloaded: {sorted(files)}", flush=True)
            (bed.dir / "prometheus" / "rules-synced").touch()
        except (OSError, TestbedError) as error:
            print(f"{time.strftime('%H:%M:%S')} {error}", file=sys.stderr, flush=True)
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()
