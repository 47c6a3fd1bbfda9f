"""The test bed: every system smo talks to, as a local process on loopback.

No container runtime is needed. etcd, five API servers, Karmada, three member
clusters, the Prometheus operator, Prometheus, Alertmanager, an OCI registry
and PostgreSQL are the real programs; only what runs below a kubelet (the
containers and the traffic between them) is simulated, by kwok.

Run it with `python3 -m testbed` from the folder that holds this package.
"""
