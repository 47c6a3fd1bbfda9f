"""The models of the original SMO in CVXPY, solved by HiGHS, and the model of `cost`.

`placement` and `replicas` state their rows one by one, as the original does. The original's placement model indexes
a list of two dependency coefficients by service and fails from four services on; here the list is as long as needed.
`placement_matrix` and `replicas_matrix` are the same models with the rows of each kind stated as one matrix, and
without those that say nothing: what CVXPY can do when asked well.
The original's placement knows no RAM. Where an instance limits it, both forms have rows for it beside those for CPU.
`cost` has one flow per pair of services that talk: the share of their traffic between every two clusters.
"""

from __future__ import annotations

from typing import NamedTuple

import cvxpy as cp
import numpy as np

# Cores or GiB that the solver's tolerances let the load of a cluster exceed its capacity by.
TOLERANCE = 1e-5


class Answer(NamedTuple):
    """`objective` and `answer` (cluster or replicas of each service) are `None` without a solution."""

    objective: float | None
    answer: list[int] | None
    status: str
    bound: float | None = None


def placement(instance: dict, time_limit: float | None = None) -> Answer:
    """Moves as few services as possible."""
    services, clusters = instance["S"], instance["E"]
    demand, current = demands(instance, "cpu"), matrix_of(instance["current"], clusters)
    needs = [int(gpu) for gpu in instance["gpu"]]
    has = [int(gpu) for gpu in instance["cgpu"]]
    dependency = [0] * services
    x = cp.Variable((services, clusters), boolean=True)
    rows = [cp.sum(x[service, :]) == 1 for service in range(services)]
    for cluster in range(clusters):
        load = cp.sum([demand[service] * x[service, cluster] for service in range(services)])
        rows.append(load <= instance["cap"][cluster])
    if "ram" in instance:
        memory = demands(instance, "ram")
        for cluster in range(clusters):
            load = cp.sum([memory[service] * x[service, cluster] for service in range(services)])
            rows.append(load <= instance["rcap"][cluster])
    for service in range(services):
        for cluster in range(clusters):
            rows.append(needs[service] * x[service, cluster] <= has[cluster])
    for service in range(1, services):
        for cluster in range(clusters):
            rows.append(dependency[service - 1] * (x[service, cluster] - x[service - 1, cluster]) == 0)
    deployed = cp.sum(x)
    moved = cp.sum(cp.multiply(current, current - x))
    problem = cp.Problem(cp.Minimize(1.0 * deployed + 1.0 * moved), rows)
    return moves(problem, solved(problem, time_limit), x, instance)


def placement_matrix(instance: dict, time_limit: float | None = None) -> Answer:
    """The same optimum from a model in matrix form."""
    x = cp.Variable((instance["S"], instance["E"]), boolean=True)
    current = matrix_of(instance["current"], instance["E"])
    load = demands(instance, "cpu") @ x
    rows = [cp.sum(x, axis=1) == 1, load <= np.array(instance["cap"]), *accelerated(instance, x)]
    if "ram" in instance:
        rows.append(demands(instance, "ram") @ x <= np.array(instance["rcap"]))
    problem = cp.Problem(cp.Minimize(cp.sum(cp.multiply(current, current - x))), rows)
    return moves(problem, solved(problem, time_limit), x, instance)


def replicas(instance: dict, time_limit: float | None = None) -> Answer:
    """Replicas that bear the load with little CPU and little change."""
    services = range(instance["S"])
    cpu, most, before = instance["cpu"], instance["maxr"], instance["prev"]
    r = cp.Variable(instance["S"], integer=True)
    rows = [r >= 1]
    for service in services:
        rows.append(instance["alpha"][service] * r[service] + instance["beta"][service] >= instance["rate"][service])
        if instance["acc"][service] > instance["cacc"]:
            return Answer(None, None, "infeasible")
    rows.append(cp.sum([cpu[service] * r[service] for service in services]) <= instance["cap"])
    used = cp.sum([cpu[service] * r[service] for service in services]) / max(
        most[service] * cpu[service] for service in services
    )
    changed = cp.sum([cp.abs(r[service] - before[service]) / most[service] for service in services])
    problem = cp.Problem(cp.Minimize(0.4 * used + 0.4 * changed), rows)
    return counted(solved(problem, time_limit), r, problem)


def replicas_matrix(instance: dict, time_limit: float | None = None) -> Answer:
    """The same optimum from a model in matrix form."""
    if max(instance["acc"]) > instance["cacc"]:
        return Answer(None, None, "infeasible")
    arrays = (np.array(instance[field]) for field in ("cpu", "maxr", "prev", "alpha", "beta", "rate"))
    cpu, most, before, alpha, beta, rate = arrays
    r = cp.Variable(instance["S"], integer=True)
    rows = [r >= 1, cp.multiply(alpha, r) + beta >= rate, cpu @ r <= instance["cap"]]
    terms = 0.4 * (cpu @ r) / max(most * cpu) + 0.4 * cp.sum(cp.multiply(1 / most, cp.abs(r - before)))
    problem = cp.Problem(cp.Minimize(terms), rows)
    return counted(solved(problem, time_limit), r, problem)


def cost(instance: dict, time_limit: float | None = None) -> Answer:
    """Activation, carbon, moves and latency at least cost."""
    services, clusters, edges = instance["S"], instance["E"], instance["edges"]
    cpu, ram = demands(instance, "cpu"), demands(instance, "ram")
    current = matrix_of(instance["current"], clusters)
    x = cp.Variable((services, clusters), boolean=True)
    used = cp.Variable(clusters, boolean=True)
    flow = cp.Variable((len(edges), clusters * clusters), nonneg=True)
    ones = np.ones((clusters, 1))
    rows = [
        cp.sum(x, axis=1) == 1,
        cpu @ x <= cp.multiply(np.array(instance["cap"]), used),
        ram @ x <= cp.multiply(np.array(instance["rcap"]), used),
        x <= np.ones((services, 1)) @ cp.reshape(used, (1, clusters), order="C"),
        flow @ np.kron(np.eye(clusters), ones) == x[[edge[0] for edge in edges], :],
        flow @ np.kron(ones, np.eye(clusters)) == x[[edge[1] for edge in edges], :],
        *accelerated(instance, x),
    ]
    weights = np.array([edge[2] for edge in edges])
    terms = (
        np.array(instance["act"]) @ used
        + cp.sum(cp.multiply(np.outer(cpu, instance["carbon"]), x))
        + np.array(instance["move"]) @ cp.sum(cp.multiply(current, 1 - x), axis=1)
        + weights @ (flow @ np.array(instance["lat"]).flatten())
    )
    problem = cp.Problem(cp.Minimize(terms), rows)
    status = solved(problem, time_limit)
    if x.value is None:
        return Answer(None, None, status)
    assignment = assigned(x)
    return Answer(weighed(instance, assignment), assignment, status)


def weighed(instance: dict, assignment: list[int]) -> float:
    """The objective of an assignment of a `rich` instance, straight from its definition."""
    activation = sum(instance["act"][cluster] for cluster in set(assignment))
    carbon = sum(
        instance["carbon"][cluster] * demand for cluster, demand in zip(assignment, demands(instance, "cpu"))
    )
    moved = sum(
        price for price, now, then in zip(instance["move"], assignment, instance["current"]) if now != then
    )
    latency = sum(
        weight * instance["lat"][assignment[one]][assignment[other]] for one, other, weight in instance["edges"]
    )
    return float(activation + carbon + moved + latency)


def demands(instance: dict, resource: str) -> np.ndarray:
    """What all replicas of each service need together."""
    return np.array(instance[resource]) * np.array(instance["replicas"])


def matrix_of(assignment: list[int], clusters: int) -> np.ndarray:
    """Services by clusters, 1 where a service is."""
    return np.eye(clusters)[assignment]


def accelerated(instance: dict, x: cp.Variable) -> list:
    """Services that need a GPU are where one is; no row where nothing needs one or all have one."""
    needs = [service for service, gpu in enumerate(instance["gpu"]) if gpu]
    lacks = [cluster for cluster, gpu in enumerate(instance["cgpu"]) if not gpu]
    return [x[needs, :][:, lacks] == 0] if needs and lacks else []


def solved(problem: cp.Problem, time_limit: float | None) -> str:
    """Runs HiGHS with its own defaults; the status."""
    options = {"time_limit": time_limit} if time_limit else {}
    try:
        problem.solve(solver=cp.HIGHS, **options)
    except cp.SolverError:
        return "failed"
    return problem.status


def assigned(x: cp.Variable) -> list[int]:
    return [int(cluster) for cluster in np.argmax(x.value, axis=1)]


def moves(problem: cp.Problem, status: str, x: cp.Variable, instance: dict) -> Answer:
    """Counts the moves of a solution; one that a time limit left incomplete is none."""
    if x.value is None or not holds(instance, assigned(x)):
        return Answer(None, None, status)
    assignment = assigned(x)
    objective = float(sum(now != then for now, then in zip(assignment, instance["current"])))
    info = problem.solver_stats.extra_stats
    # The two forms differ by a constant only, so that what is left to prove is the same number of moves.
    return Answer(objective, assignment, status, objective - (info.objective_function_value - info.mip_dual_bound))


def holds(instance: dict, assignment: list[int]) -> bool:
    """Whether an assignment keeps the capacities, within the solver's tolerance, and finds GPUs where it needs them."""
    limits = [("cpu", "cap"), *([("ram", "rcap")] if "ram" in instance else [])]
    for resource, capacity in limits:
        load = np.bincount(assignment, demands(instance, resource), instance["E"])
        if np.any(load > np.array(instance[capacity]) + TOLERANCE):
            return False
    return all(instance["cgpu"][cluster] for cluster, gpu in zip(assignment, instance["gpu"]) if gpu)


def counted(status: str, r: cp.Variable, problem: cp.Problem) -> Answer:
    if r.value is None:
        return Answer(None, None, status)
    return Answer(float(problem.value), [round(value) for value in r.value], status)
