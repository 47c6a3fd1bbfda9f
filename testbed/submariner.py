"""What Submariner's broker would know of the members' networks.

None of its programs runs; the Cluster objects alone are there, in the mgmt
cluster, with the networks of clusters.toml.
"""

from __future__ import annotations

from .bed import MEMBERS, Bed
from .kubeapi import Api

NAMESPACE = "submariner-k8s-broker"
GROUP = "submariner.io"


def broker(bed: Bed) -> None:
    api = Api(bed, "mgmt")
    api.crds([_definition()])
    api.namespace(NAMESPACE)
    for member, row in MEMBERS.items():
        api.apply({
            "apiVersion": f"{GROUP}/v1",
            "kind": "Cluster",
            "metadata": {"name": member, "namespace": NAMESPACE},
            "spec": {
                "cluster_id": member,
                "color_codes": ["blue"],
                "service_cidr": [row["service_cidr"]],
                "cluster_cidr": [row["cluster_cidr"]],
                "global_cidr": [],
            },
        })


def _definition() -> str:
    """The part of Submariner's definition that its broker's Cluster objects use."""
    return f"""apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: clusters.{GROUP}
spec:
  group: {GROUP}
  scope: Namespaced
  names: {{kind: Cluster, listKind: ClusterList, plural: clusters, singular: cluster}}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [cluster_id]
              properties:
                cluster_id: {{type: string}}
                color_codes: {{type: array, items: {{type: string}}}}
                service_cidr: {{type: array, items: {{type: string}}}}
                cluster_cidr: {{type: array, items: {{type: string}}}}
                global_cidr: {{type: array, items: {{type: string}}}}
"""
