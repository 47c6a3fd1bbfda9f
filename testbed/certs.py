"""The keys of the bed: one authority, and what the API servers ask for.

Made anew at every `up` (it takes a tenth of a second), never kept.
"""

from __future__ import annotations

import base64
import subprocess

from .bed import Bed

SERVER_NAMES = [
    "DNS:localhost",
    "IP:127.0.0.1",
    # Names under which an API server reaches Karmada's aggregated API.
    "DNS:karmada-aggregated-apiserver.karmada-system.svc",
]


def make(bed: Bed) -> None:
    """Writes ca, server, admin and front-proxy pairs and the service account key."""
    bed.folder("pki").chmod(0o700)
    # Without a configuration of our own, openssl would mark every certificate as an authority.
    (bed.pki / "openssl.cnf").write_text("[req]\ndistinguished_name = dn\n[dn]\n")
    _certificate(bed, "ca", "/CN=smo-testbed", ["basicConstraints=critical,CA:TRUE",
                                                "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"])
    names = "subjectAltName=" + ",".join(SERVER_NAMES)
    _certificate(bed, "server", "/CN=localhost", [names, "extendedKeyUsage=serverAuth,clientAuth"])
    _certificate(bed, "admin", "/O=system:masters/CN=testbed-admin", ["extendedKeyUsage=clientAuth"])
    _certificate(bed, "front-proxy", "/CN=front-proxy-client", ["extendedKeyUsage=clientAuth"])
    _openssl("genrsa", "-out", f"{bed.pki}/service-account.key", "2048")
    _openssl("rsa", "-in", f"{bed.pki}/service-account.key", "-pubout", "-out", f"{bed.pki}/service-account.pub")
    # Karmada's webhook wants a folder with these two names.
    webhook = bed.folder("pki", "webhook")
    for suffix in ("crt", "key"):
        (webhook / f"tls.{suffix}").write_bytes((bed.pki / f"server.{suffix}").read_bytes())


def kubeconfig(bed: Bed, cluster: str) -> None:
    """Writes the administrator's kubeconfig of a cluster, with the keys inside."""
    path = bed.write_json(
        bed.kubeconfig(cluster),
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": cluster,
            "clusters": [{"name": cluster, "cluster": {
                "server": f"https://{bed.address(f'{cluster}-apiserver')}",
                "certificate-authority-data": _data(bed, "ca.crt"),
            }}],
            "users": [{"name": "testbed-admin", "user": {
                "client-certificate-data": _data(bed, "admin.crt"),
                "client-key-data": _data(bed, "admin.key"),
            }}],
            "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": "testbed-admin"}}],
        },
    )
    path.chmod(0o600)


def ca_bundle(bed: Bed) -> str:
    """The authority as API objects carry it."""
    return _data(bed, "ca.crt")


def _data(bed: Bed, name: str) -> str:
    return base64.b64encode((bed.pki / name).read_bytes()).decode()


def _certificate(bed: Bed, name: str, subject: str, extensions: list[str]) -> None:
    signer = [] if name == "ca" else ["-CA", f"{bed.pki}/ca.crt", "-CAkey", f"{bed.pki}/ca.key"]
    _openssl(
        "req", "-x509", "-config", f"{bed.pki}/openssl.cnf", "-days", "365", "-nodes",
        "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-keyout", f"{bed.pki}/{name}.key", "-out", f"{bed.pki}/{name}.crt",
        "-subj", subject, *signer,
        *[argument for extension in extensions for argument in ("-addext", extension)],
    )  # fmt: skip


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
