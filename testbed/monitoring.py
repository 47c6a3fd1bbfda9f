"""Prometheus, its operator, Alertmanager, and what they scrape.

A rule travels as in a real cluster: PrometheusRule object, operator, ConfigMap,
rule file, Prometheus, Alertmanager, webhook. The step from ConfigMap to file
is a mounted volume and a reloader there; here it is `testbed.rulesync`.
"""

from __future__ import annotations

import sys
from typing import Any

from . import binaries
from .bed import HOST, MEMBERS, PACKAGE, Bed
from .kubeapi import Api
from .processes import Process, start

NAMESPACE = "monitoring"
PROMETHEUS_NAME = "kube-prometheus-stack-prometheus"
RULE_LABELS = {"release": "kube-prometheus-stack"}

PORTS = [
    "prometheus",
    "prometheus-operator",
    "alertmanager",
    "exporter",
    "webhook",  # nobody of the bed listens here: it is where smo is expected
    *[f"{member}-state-metrics{part}" for member in MEMBERS for part in ("", "-telemetry")],
]


def operator(bed: Bed) -> None:
    """The operator, with a Prometheus object that picks rules as kube-prometheus-stack does."""
    api = Api(bed, "mgmt")
    # The operator looks once, at its start, which of its kinds are served.
    api.crds([path.read_text() for path in binaries.files("prometheus-operator", "operator-crds")])
    api.namespace(NAMESPACE)
    pki, name = bed.pki, "prometheus-operator"
    start(bed, Process(name, [
        binaries.program(name),
        f"--apiserver=https://{bed.address('mgmt-apiserver')}",
        f"--cert-file={pki}/admin.crt", f"--key-file={pki}/admin.key", f"--ca-file={pki}/ca.crt",
        f"--web.listen-address={bed.address(name)}",
    ], ready=f"http://{bed.address(name)}/healthz"))  # fmt: skip
    api.apply({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": PROMETHEUS_NAME, "namespace": NAMESPACE},
        "spec": {
            "ruleSelector": {"matchLabels": RULE_LABELS},
            # An empty selector means every namespace; without it only this one counts.
            "ruleNamespaceSelector": {},
        },
    })
    path = f"api/v1/namespaces/{NAMESPACE}/configmaps/prometheus-{PROMETHEUS_NAME}-rulefiles-0"
    api.wait(path, lambda _: True, "the operator to write its rule files")


def prometheus(bed: Bed) -> None:
    config = bed.write_json(bed.folder("prometheus") / "prometheus.yml", prometheus_config(bed))
    bed.folder("prometheus", "rules")
    start(bed, Process("prometheus", [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={bed.folder('prometheus', 'data')}",
        f"--web.listen-address={bed.address('prometheus')}",
        "--web.enable-lifecycle",
        # A reload forgets the Alertmanagers for some seconds: an alert that fires
        # then is lost, and would otherwise be sent again after a minute only.
        "--rules.alert.resend-delay=2s",
        "--log.level=warn",
    ], ready=f"http://{bed.address('prometheus')}/-/ready"))  # fmt: skip


def prometheus_config(bed: Bed) -> dict[str, Any]:
    def job(name: str, port: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
        return {
            "job_name": name,
            "honor_labels": True,
            "static_configs": [{"targets": [bed.address(port)], "labels": labels or {}}],
        }

    def usage(member: str) -> dict[str, Any]:
        # kwok serves what each node's kubelet would, and lists the addresses itself.
        return {
            "job_name": f"{member}-usage",
            "honor_labels": True,
            "http_sd_configs": [
                {"url": f"http://{bed.address(f'{member}-kwok')}/discovery/prometheus", "refresh_interval": "5s"}
            ],
            "relabel_configs": [
                {"target_label": label, "replacement": member} for label in ("cluster", "source")
            ],
        }

    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{bed.dir}/prometheus/rules/*.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [bed.address("alertmanager")]}]}]},
        "scrape_configs": [
            job("exporter", "exporter"),
            *[job(f"{m}-state", f"{m}-state-metrics", {"cluster": m, "source": m}) for m in MEMBERS],
            *[usage(member) for member in MEMBERS],
            # The place of node exporters, one for each member, with the same two labels.
        ],
    }


def alertmanager(bed: Bed) -> None:
    """Posts every alert to the reserved webhook port, quickly and often."""
    config = bed.write_json(
        bed.folder("alertmanager") / "alertmanager.yml",
        {
            "route": {
                "receiver": "smo",
                "group_by": ["alertname"],
                "group_wait": "1s",
                "group_interval": "2s",
                "repeat_interval": "10s",
            },
            "receivers": [{"name": "smo", "webhook_configs": [
                {"url": f"http://{bed.address('webhook')}/alerts", "send_resolved": True}
            ]}],
        },
    )
    start(bed, Process("alertmanager", [
        "prometheus-alertmanager",
        f"--config.file={config}",
        f"--storage.path={bed.folder('alertmanager', 'data')}",
        f"--web.listen-address={bed.address('alertmanager')}",
        "--cluster.listen-address=",  # no gossip
        "--log.level=warn",
    ], ready=f"http://{bed.address('alertmanager')}/-/ready"))  # fmt: skip


def exporter(bed: Bed) -> None:
    """Series whose values a test sets."""
    address = bed.address("exporter")
    start(bed, _module("exporter", ["--listen", address], ready=f"http://{address}/metrics"))


def rulesync(bed: Bed) -> None:
    start(bed, _module("rulesync", ["--dir", str(bed.dir)],
                       ready=["test", "-e", f"{bed.dir}/prometheus/rules-synced"]))  # fmt: skip


def _module(name: str, arguments: list[str], ready: str | list[str]) -> Process:
    """A small program of this package as a component."""
    return Process(
        name, [sys.executable, "-m", f"testbed.{name}", *arguments], ready,
        env={"PYTHONPATH": str(PACKAGE.parent), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def state_metrics(bed: Bed, member: str) -> None:
    """kube-state-metrics of a member: what its Deployments, pods and nodes say of themselves."""
    name = f"{member}-state-metrics"
    start(bed, Process(name, [
        binaries.program("kube-state-metrics"),
        f"--kubeconfig={bed.kubeconfig(member)}",
        f"--host={HOST}", f"--port={bed.port(name)}",
        f"--telemetry-host={HOST}", f"--telemetry-port={bed.port(f'{name}-telemetry')}",
        "--resources=deployments,replicasets,statefulsets,pods,nodes,services,namespaces",
    ], ready=f"http://{bed.address(name)}/healthz"))  # fmt: skip
