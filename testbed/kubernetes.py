"""etcd, the API servers, and the member clusters with their simulated nodes."""

from __future__ import annotations

from typing import Any

from . import binaries, certs
from .bed import HOST, MEMBERS, Bed
from .kubeapi import Api, condition
from .processes import Process, start

# A service network for each API server that is not a member's.
SERVICE_CIDRS = {"mgmt": "10.96.0.0/16", "karmada": "10.97.0.0/16"}
CLUSTERS = [*SERVICE_CIDRS, *MEMBERS]

# These two run no pods. With the ServiceAccount plugin on, they would refuse
# pods for want of an account that nothing needs; Karmada's own deployment
# turns the second one off too.
DISABLED_ADMISSION = {"mgmt": "ServiceAccount", "karmada": "ServiceAccount,StorageObjectInUseProtection"}

# What the controller manager of each cluster has to do.
CONTROLLERS = {
    "mgmt": "namespace,garbagecollector",
    "karmada": "namespace,garbagecollector,serviceaccount-token,ttl-after-finished,bootstrapsigner,"
    "tokencleaner,csrcleaner,csrsigning,clusterrole-aggregation",
}

PORTS = [
    "etcd",
    "etcd-peer",
    *[f"{cluster}-{part}" for cluster in CLUSTERS for part in ("apiserver", "controllers")],
    *[f"{member}-{part}" for member in MEMBERS for part in ("scheduler", "kwok")],
]


def etcd(bed: Bed) -> None:
    """One store for all API servers, each below a prefix of its own."""
    client, peer = (f"http://{bed.address(name)}" for name in ("etcd", "etcd-peer"))
    start(bed, Process("etcd", [
        binaries.program("etcd"),
        f"--data-dir={bed.folder('etcd')}",
        f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync", "--log-level=warn",
    ], ready=f"{client}/health"))  # fmt: skip


def apiserver(bed: Bed, cluster: str) -> None:
    """The API server of a cluster, and the administrator's kubeconfig for it."""
    certs.kubeconfig(bed, cluster)
    pki = bed.pki
    cidr = SERVICE_CIDRS.get(cluster) or MEMBERS[cluster]["service_cidr"]
    argv = [
        binaries.program("kube-apiserver"),
        f"--etcd-servers=http://{bed.address('etcd')}", f"--etcd-prefix=/{cluster}",
        f"--bind-address={HOST}", f"--advertise-address={HOST}",
        f"--secure-port={bed.port(f'{cluster}-apiserver')}",
        "--endpoint-reconciler-type=none",
        "--authorization-mode=RBAC", "--allow-privileged=true",
        f"--service-cluster-ip-range={cidr}",
        f"--tls-cert-file={pki}/server.crt", f"--tls-private-key-file={pki}/server.key",
        f"--client-ca-file={pki}/ca.crt",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/service-account.pub",
        f"--service-account-signing-key-file={pki}/service-account.key",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
    ]  # fmt: skip
    if disabled := DISABLED_ADMISSION.get(cluster):
        argv.append(f"--disable-admission-plugins={disabled}")
    url = f"https://{bed.address(f'{cluster}-apiserver')}"
    start(bed, Process(f"{cluster}-apiserver", argv, ready=f"{url}/readyz"))


def controllers(bed: Bed, cluster: str) -> None:
    """The Kubernetes controller manager of a cluster."""
    pki, name = bed.pki, f"{cluster}-controllers"
    start(bed, Process(name, [
        binaries.program("kube-controller-manager"),
        f"--kubeconfig={bed.kubeconfig(cluster)}",
        f"--bind-address={HOST}", f"--secure-port={bed.port(name)}",
        f"--tls-cert-file={bed.pki}/server.crt", f"--tls-private-key-file={bed.pki}/server.key",
        f"--controllers={CONTROLLERS.get(cluster, '*')}",
        "--leader-elect=false",
        # Without this key no service account token is made and joining a cluster fails.
        f"--service-account-private-key-file={pki}/service-account.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt", f"--cluster-signing-key-file={pki}/ca.key",
        "--use-service-account-credentials=false",
    ], ready=f"https://{bed.address(name)}/healthz"))  # fmt: skip


def scheduler(bed: Bed, member: str) -> None:
    name = f"{member}-scheduler"
    start(bed, Process(name, [
        binaries.program("kube-scheduler"),
        f"--kubeconfig={bed.kubeconfig(member)}",
        f"--bind-address={HOST}", f"--secure-port={bed.port(name)}",
        f"--tls-cert-file={bed.pki}/server.crt", f"--tls-private-key-file={bed.pki}/server.key",
        "--leader-elect=false",
    ], ready=f"https://{bed.address(name)}/healthz"))  # fmt: skip


def kwok(bed: Bed, member: str) -> None:
    """The stand-in for all kubelets of a member: nodes report Ready, pods run at once."""
    name = f"{member}-kwok"
    start(bed, Process(name, [
        binaries.program("kwok"),
        f"--kubeconfig={bed.kubeconfig(member)}",
        "--manage-all-nodes", "--node-lease-duration-seconds=40",
        f"--node-ip={HOST}", f"--cidr={MEMBERS[member]['cluster_cidr']}",
        f"--server-address={bed.address(name)}",
        *[f"--config={stage}" for stage in binaries.files("kwok", "stages")],
    ], ready=f"http://{bed.address(name)}/healthz"))  # fmt: skip


def nodes(bed: Bed, member: str) -> None:
    """Creates the nodes of clusters.toml and waits until they are Ready with the sizes stated there."""
    api = Api(bed, member)
    sizes = {f"{member}-node{number}": size for number, size in enumerate(MEMBERS[member]["nodes"], start=1)}
    for name, size in sizes.items():
        api.apply(node(name, member, size))
    for name, size in sizes.items():
        path, status = f"api/v1/nodes/{name}", {"capacity": size, "allocatable": size}
        # kwok makes a new node Ready with sizes of its own, once: what is set before that may be lost.
        api.wait(path, lambda n: condition(n, "Ready"), f"{name} to be Ready")
        api.apply_status(path, status)
        api.wait(path, lambda n: _has_size(n, size), f"{name} to have its size")


def _has_size(thing: dict[str, Any], size: dict[str, str]) -> bool:
    allocatable = thing["status"].get("allocatable", {})
    return all(allocatable.get(resource) == amount for resource, amount in size.items())


def node(name: str, member: str, size: dict[str, str]) -> dict[str, Any]:
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node-role.kubernetes.io/worker": "",
        "topology.kubernetes.io/region": member,
    }
    if "nvidia.com/gpu" in size:
        labels["nvidia.com/gpu.present"] = "true"
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def member_objects(bed: Bed, member: str) -> None:
    """What a member has to know before it joins.

    Karmada asks a cluster what it serves when it joins: were the multi-cluster
    services defined later, its scheduler would pass the cluster over until the
    next round.
    """
    api = Api(bed, member)
    crds = [p for p in binaries.files("kubernetes", "karmada-crds") if p.name.startswith("multicluster.")]
    crds += [p for p in binaries.files("prometheus-operator", "operator-crds") if "servicemonitors" in p.name]
    api.crds([path.read_text() for path in crds])
