"""Karmada: its control plane, and the joining of the members."""

from __future__ import annotations

import subprocess
from typing import Any

from . import binaries, certs
from .bed import HOST, MEMBERS, Bed, TestbedError
from .kubeapi import Api, condition
from .processes import Process, start
from .progress import say

PORTS = [
    "karmada-aggregated-apiserver",
    *[f"{name}{part}" for name in ("karmada-webhook", "karmada-manager", "karmada-scheduler")
      for part in ("", "-metrics", "-health")],
]  # fmt: skip

# Much quicker than Karmada's defaults, so that a test need not wait a minute
# to see that a cluster is gone, or that its resources have changed.
QUICK = [
    "--cluster-status-update-frequency=2s",
    "--cluster-failure-threshold=5s",
    "--cluster-success-threshold=2s",
    "--cluster-monitor-period=1s",
    "--cluster-monitor-grace-period=15s",
]


def aggregated_apiserver(bed: Bed) -> None:
    """Serves the Cluster objects, behind Karmada's API server."""
    name = "karmada-aggregated-apiserver"
    kubeconfig = bed.kubeconfig("karmada")
    start(bed, Process(name, [
        binaries.program(name),
        f"--etcd-servers=http://{bed.address('etcd')}", "--etcd-prefix=/karmada-aggregated",
        f"--kubeconfig={kubeconfig}", f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={HOST}", f"--secure-port={bed.port(name)}",
        f"--tls-cert-file={bed.pki}/server.crt", f"--tls-private-key-file={bed.pki}/server.key",
    ], ready=f"https://{bed.address(name)}/readyz"))  # fmt: skip


def objects(bed: Bed) -> None:
    """Namespaces, Karmada's API, the rule that lets the administrator through to members."""
    api = Api(bed, "karmada")
    for namespace in ("karmada-system", "karmada-cluster", "monitoring"):
        api.namespace(namespace)
    crds = binaries.files("kubernetes", "karmada-crds")
    crds += [p for p in binaries.files("prometheus-operator", "operator-crds") if "servicemonitors" in p.name]
    api.crds([path.read_text() for path in crds])
    for manifest in proxy_access():
        api.apply(manifest)


def proxy_access() -> list[dict[str, Any]]:
    """Karmada gives in each member the rights to impersonate who may use `clusters/proxy`."""
    group = "rbac.authorization.k8s.io"
    name = "testbed-cluster-proxy"
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [{"apiGroups": ["cluster.karmada.io"], "resources": ["clusters/proxy"], "verbs": ["*"]}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [
                {"apiGroup": group, "kind": "User", "name": "testbed-admin"},
                {"apiGroup": group, "kind": "Group", "name": "system:masters"},
            ],
        },
    ]


def aggregation(bed: Bed) -> None:
    """Tells Karmada's API server where the aggregated one is."""
    api = Api(bed, "karmada")
    name = "karmada-aggregated-apiserver"
    api.apply({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "karmada-system"},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    })
    service = "v1alpha1.cluster.karmada.io"
    api.apply({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": service},
        "spec": {
            "group": "cluster.karmada.io",
            "version": "v1alpha1",
            "groupPriorityMinimum": 2000,
            "versionPriority": 10,
            "caBundle": certs.ca_bundle(bed),
            "service": {"name": name, "namespace": "karmada-system", "port": bed.port(name)},
        },
    })
    path = f"apis/apiregistration.k8s.io/v1/apiservices/{service}"
    api.wait(path, lambda s: condition(s, "Available"), f"{service} to be available")


def webhook(bed: Bed) -> None:
    """The admission webhook; registered once it answers, or everything would be refused."""
    name = "karmada-webhook"
    start(bed, Process(name, [
        binaries.program(name),
        f"--kubeconfig={bed.kubeconfig('karmada')}",
        f"--bind-address={HOST}", f"--secure-port={bed.port(name)}",
        f"--cert-dir={bed.pki}/webhook",
        "--allow-no-execute-taint-policy=true",
        *_side_ports(bed, name),
    ], ready=f"https://{bed.address(name)}/readyz/"))  # fmt: skip
    (path,) = binaries.files("kubernetes", "karmada")
    text = path.read_text().replace("{{caBundle}}", certs.ca_bundle(bed))
    text = text.replace("https://karmada-webhook.karmada-system.svc:443", f"https://{bed.address(name)}")
    for document in text.split("\n---\n"):
        Api(bed, "karmada").apply(document)


def manager(bed: Bed) -> None:
    name = "karmada-manager"
    start(bed, Process(name, [
        binaries.program("karmada-controller-manager"),
        f"--kubeconfig={bed.kubeconfig('karmada')}",
        "--controllers=*,hpaScaleTargetMarker,deploymentReplicasSyncer",
        "--leader-elect=false", *QUICK, *_side_ports(bed, name),
    ], ready=f"http://{bed.address(f'{name}-health')}/healthz"))  # fmt: skip


def scheduler(bed: Bed) -> None:
    name = "karmada-scheduler"
    start(bed, Process(name, [
        binaries.program(name),
        f"--kubeconfig={bed.kubeconfig('karmada')}",
        "--enable-scheduler-estimator=false",
        "--leader-elect=false", *_side_ports(bed, name),
    ], ready=f"http://{bed.address(f'{name}-health')}/healthz"))  # fmt: skip


def _side_ports(bed: Bed, name: str) -> list[str]:
    """All three components have the same default ports for these."""
    return [
        f"--metrics-bind-address={bed.address(f'{name}-metrics')}",
        f"--health-probe-bind-address={bed.address(f'{name}-health')}",
    ]


def join(bed: Bed, member: str) -> None:
    """Makes the member a cluster of Karmada, which from then on pushes to it."""
    result = subprocess.run(
        [
            binaries.program("karmadactl"), "join", member,
            f"--kubeconfig={bed.kubeconfig('karmada')}",
            f"--cluster-kubeconfig={bed.kubeconfig(member)}",
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    if result.returncode:
        raise TestbedError(f"{member} could not join Karmada\n{result.stderr[-2000:]}")
    say(f"{member} has joined Karmada")


def clusters_ready(bed: Bed) -> None:
    """Waits until Karmada sees every member Ready, with all its resources and APIs."""
    api = Api(bed, "karmada")
    for member in MEMBERS:
        path = f"apis/cluster.karmada.io/v1alpha1/clusters/{member}"
        api.wait(path, lambda cluster: _usable(cluster, member), f"{member} to be Ready in Karmada")
        # Karmada carries every namespace of its own to the members.
        Api(bed, member).wait("api/v1/namespaces/monitoring", lambda _: True, "Karmada to bring a namespace")


def _usable(cluster: dict[str, Any], member: str) -> bool:
    status = cluster.get("status", {})
    groups = {api["groupVersion"] for api in status.get("apiEnablements", [])}
    ready_nodes = status.get("nodeSummary", {}).get("readyNum", 0)
    return (
        condition(cluster, "Ready")
        and "multicluster.x-k8s.io/v1alpha1" in groups
        and ready_nodes == len(MEMBERS[member]["nodes"])
        and "cpu" in status.get("resourceSummary", {}).get("allocatable", {})
    )
