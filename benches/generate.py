"""Makes benchmark instances of the families in `benches/instances/`.

    python3 benches/generate.py --family rich --size 50x10 --seed 7 --out FILE
    python3 benches/generate.py --family scale --size 1000 --seed 1 --count 20 --out DIRECTORY

Equal arguments give equal files. Families:

- `basic`, `tight`: move as few services as possible; 70 % and 95 % of the clusters' CPU are needed, in four sizes.
- `mixed98`, `mixed995`: the same with 98 % and 99.5 % of CPU and RAM needed, and no two services of one size.
- `rich`: activation, carbon, moves and latency are to be weighed up; 70 % of CPU and 75 % of RAM are needed.
- `scale`: the numbers of replicas of one cluster's services.

Fields of a placement instance: `S`, `E` numbers of services and clusters; per service `cpu` (cores per replica),
`replicas`, `gpu` (needs one), `ram` (GiB per replica), `move` (cost of moving it), `current` (its cluster now); per
cluster `cap` (cores, 0 = unavailable), `cgpu` (has GPUs), `rcap` (GiB), `carbon` (cost per core), `act` (cost of using
it); `edges` [service, service, weight]; `lat` between clusters; `witness`, a feasible assignment. Only `rich` has
`carbon`, `act`, `move`, `edges` and `lat`; `ram` and `rcap` are in `mixed…` as well, there in whole bytes. Fields of a
scaling instance, per service: `rate` (requests per second), `prev` (replicas now), `cpu`, `acc` (needs a GPU), `alpha`
and `beta` (capacity of r replicas: alpha·r + beta), `maxr` (normaliser of changes); of the cluster: `cap`, `cacc` (has
GPUs).
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import random

CORES = (0.5, 1.0, 4.0, 8.0)
CPU_USE = {"basic": 0.70, "tight": 0.95, "rich": 0.70}
RAM_USE = 0.75
# Share of all CPU and of all RAM that is needed.
MIXED_USE = {"mixed98": 0.98, "mixed995": 0.995}
GIB = 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", required=True, choices=[*CPU_USE, *MIXED_USE, "scale"])
    parser.add_argument("--size", required=True, help="services x clusters, such as 50x10; for scale the services")
    parser.add_argument("--seed", type=int, default=1, help="of the first instance; the next ones count up")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="a file, or a directory when there are several")
    arguments = parser.parse_args()
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        path = arguments.out
        if arguments.count > 1 or path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            path = path / f"{arguments.family}_{arguments.size}_{seed}.json"
        path.write_text(json.dumps(instance(arguments.family, arguments.size, seed)))


def instance(family: str, size: str, seed: int) -> dict:
    """The instance of this family, size and seed."""
    chance = random.Random(f"{family} {size} {seed}")
    if family == "scale":
        return scaling(chance, int(size))
    services, clusters = (int(number) for number in size.split("x"))
    if family in MIXED_USE:
        return {"name": f"{family}_{size}_{seed}"} | mixed(chance, MIXED_USE[family], services, clusters)
    while True:
        drawn = placement(chance, family, services, clusters)
        if drawn is not None:
            return {"name": f"{family}_{size}_{seed}"} | drawn


def placement(chance: random.Random, family: str, services: int, clusters: int) -> dict | None:
    """One draw; `None` when first fit finds no place for a service, so that feasibility is not known."""
    drawn = {
        "S": services,
        "E": clusters,
        "cpu": [chance.choice(CORES) for _ in range(services)],
        "replicas": [chance.randint(1, 3) for _ in range(services)],
        "gpu": [chance.random() < 0.1 for _ in range(services)],
    }
    down, live = availability(chance, clusters)
    drawn["cap"] = capacities(chance, clusters, live, sum(totals(drawn, "cpu")) / CPU_USE[family], step=0.5)
    gpus = set(chance.sample(live, max(1, round(0.3 * len(live)))))
    drawn["cgpu"] = [cluster in gpus for cluster in range(clusters)]
    if family == "rich":
        drawn |= costs(chance, drawn, live)
    drawn["witness"] = witness(chance, family, drawn, live)
    if drawn["witness"] is None:
        return None
    drawn["current"] = disturbed(chance, drawn["witness"], down, live, max(1, services // 20))
    return drawn


def mixed(chance: random.Random, use: float, services: int, clusters: int) -> dict:
    """Services of 37 to 4000 millicores and 64 MiB to 8 GiB, no two alike, on clusters that are made to fit them.

    The witness comes first: a place drawn for each service, larger clusters being drawn more often. A cluster then has
    what its services need, and a part of the little that is left over.
    """
    down, live = availability(chance, clusters)
    millicores = chance.sample(range(37, 4001), services)
    sizes = chance.sample(range(64 * 2**20, 8 * GIB), services)
    replicas = [chance.randint(1, 3) for _ in range(services)]
    gpu = [chance.random() < 0.1 for _ in range(services)]
    gpus = chance.sample(live, max(1, round(0.3 * len(live))))
    weights = {cluster: chance.uniform(0.5, 1.5) for cluster in live}

    def drawn_place(service: int) -> int:
        allowed = gpus if gpu[service] else live
        return chance.choices(allowed, [weights[cluster] for cluster in allowed])[0]

    places = [drawn_place(service) for service in range(services)]
    needs = [[amount * count for amount, count in zip(amounts, replicas)] for amounts in (millicores, sizes)]
    cap, rcap = (fitted(chance, places, need, use, clusters, live) for need in needs)
    return {
        "S": services,
        "E": clusters,
        "cpu": [amount / 1000 for amount in millicores],
        "replicas": replicas,
        "gpu": gpu,
        "ram": [amount / GIB for amount in sizes],
        "cap": [amount / 1000 for amount in cap],
        "rcap": [amount / GIB for amount in rcap],
        "cgpu": [cluster in gpus for cluster in range(clusters)],
        "witness": places,
        "current": disturbed(chance, places, down, live, max(2, services // 10)),
    }


def fitted(
    chance: random.Random, places: list[int], needs: list[int], use: float, clusters: int, live: list[int]
) -> list[int]:
    """Capacities of which `use` is needed: what is needed in these places, and the rest by weights from 0.5 to 1.5."""
    weights = {cluster: chance.uniform(0.5, 1.5) for cluster in live}
    share = sum(needs) * (1 / use - 1) / sum(weights.values())
    capacity = [math.ceil(weights.get(cluster, 0.0) * share) for cluster in range(clusters)]
    for place, need in zip(places, needs):
        capacity[place] += need
    return capacity


def availability(chance: random.Random, clusters: int) -> tuple[list[int], list[int]]:
    """Clusters that are down and those that are not: one in twenty is down, at least one, if two others are left."""
    down = set(chance.sample(range(clusters), max(1, clusters // 20))) if clusters > 2 else set()
    return sorted(down), [cluster for cluster in range(clusters) if cluster not in down]


def totals(drawn: dict, resource: str) -> list[float]:
    """What all replicas of each service need together."""
    return [amount * replicas for amount, replicas in zip(drawn[resource], drawn["replicas"])]


def capacities(chance: random.Random, clusters: int, live: list[int], total: float, step: float) -> list[float]:
    """`total`, shared out by weights from 0.5 to 1.5 and rounded up; nothing for clusters that are down."""
    weights = {cluster: chance.uniform(0.5, 1.5) for cluster in live}
    share = total / sum(weights.values())
    return [math.ceil(weights.get(cluster, 0.0) * share / step) * step for cluster in range(clusters)]


def costs(chance: random.Random, drawn: dict, live: list[int]) -> dict:
    """What only `rich` has: RAM in proportion to CPU, costs, traffic and latency."""
    services, clusters = drawn["S"], drawn["E"]
    ram = [cpu * chance.choice((1, 2, 4, 8)) for cpu in drawn["cpu"]]
    needed = sum(totals(drawn | {"ram": ram}, "ram"))
    return {
        "ram": ram,
        "rcap": capacities(chance, clusters, live, needed / RAM_USE, step=1.0),
        "carbon": [round(chance.uniform(0.05, 0.6), 3) for _ in range(clusters)],
        "act": [round(chance.uniform(20.0, 40.0), 1) for _ in range(clusters)],
        "move": [2.0] * services,
        "edges": [[one, other, round(0.02 * chance.uniform(1.0, 10.0), 4)] for one, other in traffic(chance, services)],
        "lat": latencies(chance, clusters),
    }


def traffic(chance: random.Random, services: int) -> list[tuple[int, int]]:
    """Which services talk: 3/2 as many pairs as services.

    Services come in applications of 4 to 12. Each one calls, or is called by, an earlier one of its application; every
    fifth of the services adds a pair across applications, and pairs within applications make up the number.
    """
    applications, begin = [], 0
    while begin < services:
        size = chance.randint(4, 12)
        applications.append(range(begin, min(services, begin + size)))
        begin += size
    pairs = {(chance.randrange(members[0], one), one) for members in applications for one in members[1:]}
    possible = services * (services - 1) // 2
    across = min(possible, len(pairs) + services // 5)
    while len(pairs) < across:
        pairs.add(tuple(sorted(chance.sample(range(services), 2))))
    room = sum(len(members) * (len(members) - 1) // 2 for members in applications)
    # Few services have few pairs within applications: then take any.
    wanted = min(possible, 3 * services // 2)
    while len(pairs) < wanted:
        members = chance.choice(applications) if room > wanted else range(services)
        if len(members) > 1:
            pairs.add(tuple(sorted(chance.sample(members, 2))))
    return sorted(pairs)


def latencies(chance: random.Random, clusters: int) -> list[list[float]]:
    """1 plus the distance; clusters lie within 3 of one of `clusters / 5` sites in a square of 40. 0 to itself."""
    sites = [(chance.uniform(0, 40), chance.uniform(0, 40)) for _ in range(max(1, clusters // 5))]
    points = [tuple(at + chance.uniform(-3, 3) for at in chance.choice(sites)) for _ in range(clusters)]
    return [[0.0 if one is other else round(1 + math.dist(one, other), 3) for other in points] for one in points]


def witness(chance: random.Random, family: str, drawn: dict, live: list[int]) -> list[int] | None:
    """A feasible assignment by first fit over shuffled clusters: services in their order, or where that is too
    tight those with a GPU first and the largest first. `None` when one finds no room."""
    cpu, ram = totals(drawn, "cpu"), totals(drawn, "ram") if family == "rich" else [0.0] * drawn["S"]
    order = list(range(drawn["S"]))
    if family != "basic":
        order.sort(key=lambda service: (not drawn["gpu"][service], -cpu[service]))
    free_cpu, free_ram = list(drawn["cap"]), list(drawn.get("rcap", [0.0] * drawn["E"]))
    shuffled = chance.sample(live, len(live))
    assignment = [-1] * drawn["S"]
    for service in order:
        for cluster in shuffled:
            accelerated = drawn["cgpu"][cluster] or not drawn["gpu"][service]
            if accelerated and cpu[service] <= free_cpu[cluster] and ram[service] <= free_ram[cluster]:
                free_cpu[cluster] -= cpu[service]
                free_ram[cluster] -= ram[service]
                assignment[service] = cluster
                break
        else:
            return None
    return assignment


def disturbed(
    chance: random.Random, assignment: list[int], down: list[int], live: list[int], count: int
) -> list[int]:
    """The assignment as it was before something happened: so many services are elsewhere, by turns on a cluster that is
    down now and on one of a tenth of the clusters that are overloaded by that."""
    current = list(assignment)
    hot = chance.sample(live, max(1, (len(live) + len(down)) // 10))
    for turn, service in enumerate(chance.sample(range(len(current)), count)):
        current[service] = chance.choice(down if down and turn % 2 == 0 else hot)
    return current


def scaling(chance: random.Random, services: int) -> dict:
    """Services that need 0.2 to 90 % of their largest number of replicas. The cluster has room for what they need, but
    not for that and all surplus replicas too: 90 % of those, and 2 % more than is needed at least."""
    drawn = {
        "S": services,
        "rate": [],
        "prev": [],
        "cpu": [chance.choice(CORES) for _ in range(services)],
        "acc": [0] * services,
        "alpha": [round(chance.uniform(20, 200), 2) for _ in range(services)],
        "beta": [round(chance.uniform(-10, 10), 2) for _ in range(services)],
    }
    most = [chance.randint(3, 10) for _ in range(services)]
    drawn["rate"] = [alpha * chance.uniform(0.2, 0.9 * limit) for alpha, limit in zip(drawn["alpha"], most)]
    drawn["prev"] = [chance.randint(1, limit) for limit in most]
    needed = [
        max(1, math.ceil((rate - beta) / alpha))
        for rate, alpha, beta in zip(drawn["rate"], drawn["alpha"], drawn["beta"])
    ]
    least = sum(cpu * count for cpu, count in zip(drawn["cpu"], needed))
    kept = sum(cpu * max(count, now) for cpu, count, now in zip(drawn["cpu"], needed, drawn["prev"]))
    return drawn | {"cap": round(max(1.02 * least, least + 0.9 * (kept - least)), 1), "cacc": 1, "maxr": most}


if __name__ == "__main__":
    main()
