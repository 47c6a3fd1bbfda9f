"""What Submariner would tell of the members' networks.

None of its programs runs; the objects alone are there: in the broker (the mgmt
cluster) the Cluster of each member with the networks of clusters.toml, and in
each member its active Gateway with the round-trip times of that file.
"""

from __future__ import annotations

import json
from typing import Any

from .bed import LATENCIES, MEMBERS, Bed
from .kubeapi import Api

BROKER_NAMESPACE = "submariner-k8s-broker"
GATEWAY_NAMESPACE = "submariner-operator"
GROUP = "submariner.io"


def broker(bed: Bed) -> None:
    """The Cluster objects."""
    api = Api(bed, "mgmt")
    api.crds([_definition("Cluster", CLUSTER)])
    api.namespace(BROKER_NAMESPACE)
    for member, row in MEMBERS.items():
        api.apply({
            "apiVersion": f"{GROUP}/v1",
            "kind": "Cluster",
            "metadata": {"name": member, "namespace": BROKER_NAMESPACE},
            "spec": {
                "cluster_id": member,
                "color_codes": ["blue"],
                "service_cidr": [row["service_cidr"]],
                "cluster_cidr": [row["cluster_cidr"]],
                "global_cidr": [],
            },
        })


def gateway(bed: Bed, member: str) -> None:
    """The Gateway object of a member, which is not copied to the broker."""
    api = Api(bed, member)
    api.crds([_definition("Gateway", GATEWAY)])
    api.namespace(GATEWAY_NAMESPACE)
    api.apply({
        "apiVersion": f"{GROUP}/v1",
        "kind": "Gateway",
        "metadata": {"name": f"{member}-node1", "namespace": GATEWAY_NAMESPACE},
        "status": gateway_status(member, LATENCIES),
    })


def gateway_status(member: str, latencies: list[dict[str, Any]]) -> dict[str, Any]:
    """An active gateway, connected to that of every member to which a latency is given."""
    far = [(set(row["between"]) - {member}, row["ms"]) for row in latencies if member in row["between"]]
    return {
        "haStatus": "active",
        "localEndpoint": _endpoint(member),
        "connections": [_connection(other, ms) for (other,), ms in far],
    }


def _connection(member: str, ms: float) -> dict[str, Any]:
    return {
        "status": "connected",
        "endpoint": _endpoint(member),
        "latencyRTT": {**dict.fromkeys(("last", "min", "average", "max"), f"{ms:g}ms"), "stdDev": "0s"},
    }


def _endpoint(member: str) -> dict[str, str]:
    return {"cluster_id": member, "hostname": f"{member}-node1"}


def _object(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


# The parts of Submariner's definitions that are used here.
TEXT = {"type": "string"}
CLUSTER = _object(spec={
    **_object(
        cluster_id=TEXT,
        color_codes=_list(TEXT),
        service_cidr=_list(TEXT),
        cluster_cidr=_list(TEXT),
        global_cidr=_list(TEXT),
    ),
    "required": ["cluster_id"],
})
ENDPOINT = _object(cluster_id=TEXT, hostname=TEXT)
LATENCY = _object(last=TEXT, min=TEXT, average=TEXT, max=TEXT, stdDev=TEXT)
CONNECTION = _object(status=TEXT, endpoint=ENDPOINT, latencyRTT=LATENCY)
GATEWAY = _object(status=_object(haStatus=TEXT, localEndpoint=ENDPOINT, connections=_list(CONNECTION)))


def _definition(kind: str, schema: dict[str, Any]) -> str:
    singular = kind.lower()
    return f"""apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {singular}s.{GROUP}
spec:
  group: {GROUP}
  scope: Namespaced
  names: {{kind: {kind}, listKind: {kind}List, plural: {singular}s, singular: {singular}}}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {json.dumps(schema)}
"""
