"""A small client of the Kubernetes API: what setting up the bed needs.

Server-side apply takes YAML as it is, so the files of other projects are sent
without being parsed; only kind and name are read from them.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from typing import Any, Callable

from .bed import Bed, TestbedError
from .processes import tls
from .tasks import check

# kind -> (path of the API group's version, plural)
KINDS = {
    "Namespace": ("api/v1", "namespaces"),
    "Node": ("api/v1", "nodes"),
    "Service": ("api/v1", "services"),
    "APIService": ("apis/apiregistration.k8s.io/v1", "apiservices"),
    "ClusterRole": ("apis/rbac.authorization.k8s.io/v1", "clusterroles"),
    "ClusterRoleBinding": ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
    "CustomResourceDefinition": ("apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "MutatingWebhookConfiguration": ("apis/admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations"),
    "ValidatingWebhookConfiguration": ("apis/admissionregistration.k8s.io/v1", "validatingwebhookconfigurations"),
    "Prometheus": ("apis/monitoring.coreos.com/v1", "prometheuses"),
    "Cluster": ("apis/submariner.io/v1", "clusters"),
    "Gateway": ("apis/submariner.io/v1", "gateways"),
}


class Api:
    """One API server, as its administrator."""

    def __init__(self, bed: Bed, cluster: str):
        self.cluster = cluster
        self._base = f"https://{bed.address(f'{cluster}-apiserver')}/"
        self._tls = tls(str(bed.pki))

    def get(self, path: str) -> Any:
        return json.loads(self._send("GET", path))

    def apply(self, manifest: dict[str, Any] | str) -> None:
        """Creates the object or makes it so; a string is one YAML document."""
        if isinstance(manifest, str):
            text = manifest
            kind = _field(r"^kind: (\S+)", text)
            name = _field(r"^metadata:\n(?:  .*\n)*?  name: (\S+)", text)
            namespace = None
        else:
            text = json.dumps(manifest)
            kind, metadata = manifest["kind"], manifest["metadata"]
            name, namespace = metadata["name"], metadata.get("namespace")
        group, plural = KINDS[kind]
        scope = f"namespaces/{namespace}/" if namespace else ""
        path = f"{group}/{scope}{plural}/{name}?fieldManager=testbed&force=true"
        self._send("PATCH", path, text, "application/apply-patch+yaml")

    def apply_status(self, path: str, status: dict[str, Any]) -> None:
        body = json.dumps({"status": status})
        self._send("PATCH", f"{path}/status", body, "application/merge-patch+json")

    def namespace(self, name: str) -> None:
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def crds(self, documents: list[str]) -> None:
        """Applies definitions and waits until the server serves them all."""
        names = []
        for document in documents:
            self.apply(document)
            names.append(_field(r"^metadata:\n(?:  .*\n)*?  name: (\S+)", document))
        for name in names:
            path = f"apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
            self.wait(path, lambda crd: condition(crd, "Established"), f"{name} to be established")

    def wait(self, path: str, accept: Callable[[Any], bool], what: str, seconds: float = 90) -> Any:
        """Polls an object until it is accepted; any failed answer counts as not yet."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = self.get(path)
                if accept(answer):
                    return answer
            except (OSError, ApiError):
                answer = None
            if time.monotonic() > deadline:
                raise TestbedError(f"{self.cluster}: waited {seconds:.0f} s for {what}; last: {str(answer)[:2000]}")
            check()
            time.sleep(0.2)

    def _send(self, method: str, path: str, body: str | None = None, kind: str = "") -> str:
        request = urllib.request.Request(self._base + path, method=method)
        if body is not None:
            request.data = body.encode()
            request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")[:1000]
            raise ApiError(f"{self.cluster}: {method} {path}: {error.code} {text}") from None


class ApiError(TestbedError):
    """The API server refused."""


def condition(thing: dict[str, Any], kind: str) -> bool:
    """Whether an object's status condition of that type is True."""
    conditions = thing.get("status", {}).get("conditions") or []
    return any(c["type"] == kind and c["status"] == "True" for c in conditions)


def _field(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        raise ValueError(f"no {pattern} in a manifest")
    return found[1]
