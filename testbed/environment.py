"""The variables that point smo and its tests at a running bed."""

from __future__ import annotations

import shlex

from . import binaries, postgres
from .bed import MEMBERS, Bed


def variables(bed: Bed) -> dict[str, str]:
    """Those of smo first; those with the prefix TESTBED_ are for tests and for the hand."""
    state = bed.state
    values = {
        "KARMADA_KUBECONFIG": str(bed.kubeconfig("karmada")),
        "MONITORING_KUBECONFIG": str(bed.kubeconfig("mgmt")),
        "SUBMARINER_KUBECONFIG": str(bed.kubeconfig("mgmt")),
        "PROMETHEUS_HOST": f"http://{bed.address('prometheus')}",
        "INSECURE_REGISTRY": "true",
        "DATABASE_URL": postgres.url(bed),
        "HELM_BIN": binaries.program("helm4"),
        "TESTBED_DIR": str(bed.dir),
        "TESTBED_REGISTRY": bed.address("registry"),
        "TESTBED_HELM3": binaries.program("helm3"),
        "TESTBED_HELM4": binaries.program("helm4"),
        "TESTBED_KUBECTL": binaries.program("kubectl"),
        "TESTBED_ALERTMANAGER": f"http://{bed.address('alertmanager')}",
        "TESTBED_EXPORTER": f"http://{bed.address('exporter')}",
        "TESTBED_WEBHOOK_PORT": str(bed.port("webhook")),
    }
    for member in MEMBERS:
        values[f"TESTBED_{_upper(member)}_KUBECONFIG"] = str(bed.kubeconfig(member))
    for name, record in sorted(state["processes"].items()):
        values[f"TESTBED_{_upper(name)}_PID"] = str(record["pid"])
    return values


def exports(bed: Bed) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables(bed).items())


def write(bed: Bed) -> None:
    """Writes env.sh and puts the same into state.json (after a restart pids differ)."""
    values = variables(bed)
    bed.change(lambda state: state.__setitem__("env", values))
    (bed.dir / "env.sh").write_text(exports(bed))


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
