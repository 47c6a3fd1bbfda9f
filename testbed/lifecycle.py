"""Bringing the whole bed up and taking it down.

`up` is a graph of steps: what does not depend on each other starts together,
and what does waits for a condition, never for a length of time.
"""

from __future__ import annotations

import shutil
from functools import partial

from . import binaries, certs, environment, karmada, kubernetes, monitoring, postgres, processes, registry, submariner
from .bed import MEMBERS, Bed, TestbedError
from .progress import say
from .tasks import Tasks

PORTS = [*kubernetes.PORTS, *karmada.PORTS, *monitoring.PORTS, *registry.PORTS, *postgres.PORTS]


def up(bed: Bed) -> None:
    """Starts a bed, unless a healthy one runs. On failure nothing is left running."""
    with bed.exclusive():
        if _runs_already(bed):
            return
        binaries.build()
        bed.reset(PORTS)
        say(f"starting in {bed.dir}")
        try:
            _steps(bed).run()
        except BaseException:
            say("stopping what was started")
            processes.stop(list(bed.state["processes"].values()))
            raise
        environment.write(bed)
        total = sum(processes.resident_mib(record) for record in bed.state["processes"].values())
        say(f"up: {len(bed.state['processes'])} processes, {total} MiB resident")


def _runs_already(bed: Bed) -> bool:
    if not bed.exists():
        return False
    records = list(bed.state["processes"].values())
    running = [record for record in records if processes.alive(record)]
    if not running:
        return False
    bad = [r["name"] for r in records if not (processes.alive(r) and processes.is_ready(bed, r))]
    if bad:
        raise TestbedError(
            f"a test bed runs in {bed.dir}, but not all of it is well: {', '.join(bad)}\n"
            "bring a component back with `start NAME`, or take all down with `down`"
        )
    say(f"a healthy test bed runs in {bed.dir} already")
    return True


def _steps(bed: Bed) -> Tasks:
    tasks = Tasks()

    def add(name: str, function: object, after: list[str] | None = None, *arguments: str) -> None:
        tasks.add(name, partial(function, bed, *arguments), after)  # type: ignore[arg-type]

    add("certificates", certs.make)
    add("etcd", kubernetes.etcd)
    for cluster in kubernetes.CLUSTERS:
        add(f"{cluster}-apiserver", kubernetes.apiserver, ["certificates", "etcd"], cluster)
        add(f"{cluster}-controllers", kubernetes.controllers, [f"{cluster}-apiserver"], cluster)

    add("karmada-objects", karmada.objects, ["karmada-apiserver"])
    add("karmada-aggregated-apiserver", karmada.aggregated_apiserver, ["karmada-apiserver"])
    add("karmada-aggregation", karmada.aggregation, ["karmada-aggregated-apiserver", "karmada-objects"])
    add("karmada-webhook", karmada.webhook, ["karmada-objects"])
    working = ["karmada-aggregation", "karmada-objects", "karmada-webhook"]
    add("karmada-manager", karmada.manager, working)
    add("karmada-scheduler", karmada.scheduler, working)

    for member in MEMBERS:
        server = [f"{member}-apiserver"]
        add(f"{member}-objects", kubernetes.member_objects, server, member)
        add(f"{member}-scheduler", kubernetes.scheduler, server, member)
        add(f"{member}-kwok", kubernetes.kwok, server, member)
        add(f"{member}-nodes", kubernetes.nodes, [f"{member}-kwok"], member)
        add(f"{member}-state-metrics", monitoring.state_metrics, server, member)
        add(f"{member}-gateway", submariner.gateway, server, member)
        parts = [f"{member}-{part}" for part in ("objects", "controllers", "scheduler", "nodes")]
        add(f"{member}-join", karmada.join, [*parts, "karmada-aggregation"], member)
    joins = [f"{member}-join" for member in MEMBERS]
    add("clusters", karmada.clusters_ready, [*joins, "karmada-manager", "karmada-scheduler"])

    add("submariner", submariner.broker, ["mgmt-apiserver"])
    add("operator", monitoring.operator, ["mgmt-apiserver"])
    add("exporter", monitoring.exporter)
    add("alertmanager", monitoring.alertmanager)
    add("prometheus", monitoring.prometheus, ["exporter"])
    add("rulesync", monitoring.rulesync, ["operator", "prometheus"])

    add("registry", registry.registry)
    add("postgres", postgres.postgres)
    return tasks


def down(bed: Bed, purge: bool = False) -> None:
    """Stops every recorded process. The logs stay, unless the folder is purged."""
    if bed.exists():
        with bed.exclusive():
            # Those that depend on others were recorded after them.
            processes.stop(list(bed.state["processes"].values())[::-1])
            say(f"the test bed in {bed.dir} is down")
            if purge:
                shutil.rmtree(bed.dir)
    else:
        say(f"no test bed in {bed.dir}")


def stop_one(bed: Bed, name: str) -> None:
    processes.stop([processes.recorded(bed, name)])
    say(f"{name} is stopped")


def start_one(bed: Bed, name: str) -> None:
    processes.restart(bed, name)
    environment.write(bed)


def status(bed: Bed) -> bool:
    """Prints one line for each component; False if any is not well."""
    well = True
    for name, record in sorted(bed.state["processes"].items()):
        if not processes.alive(record):
            word = "stopped"
        else:
            word = "ready" if processes.is_ready(bed, record) else "not ready"
        well = well and word == "ready"
        memory = processes.resident_mib(record) if word != "stopped" else 0
        print(f"{name:30} {word:10} pid {record['pid']:<8} {memory:5} MiB")
    return well
