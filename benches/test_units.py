"""Checks of the benchmarks' own programs: `python3 -m unittest benches.test_units`."""

import math
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import cells
import loads
from figures import Lines
from generate import MIXED_USE, instance


def load(drawn: dict, places: list[int], resource: str) -> list[float]:
    """What the services need on each cluster, with these places."""
    needed = [0.0] * drawn["E"]
    for place, amount, replicas in zip(places, drawn[resource], drawn["replicas"]):
        needed[place] += amount * replicas
    return needed


def fits(drawn: dict, places: list[int]) -> bool:
    within = (
        needed <= capacity + 1e-9
        for resource, limit in (("cpu", "cap"), ("ram", "rcap"))
        for needed, capacity in zip(load(drawn, places, resource), drawn[limit])
    )
    return all(within) and all(drawn["cgpu"][place] for place, gpu in zip(places, drawn["gpu"]) if gpu)


class Mixed(unittest.TestCase):
    def test_they_are_as_full_as_their_family_says_and_not_where_they_fit(self):
        for family, use in MIXED_USE.items():
            for seed in range(5):
                drawn = instance(family, "50x10", seed)
                for resource, limit in (("cpu", "cap"), ("ram", "rcap")):
                    needed = sum(load(drawn, drawn["current"], resource))
                    self.assertAlmostEqual(needed / sum(drawn[limit]), use, delta=5e-4)
                self.assertTrue(fits(drawn, drawn["witness"]))
                self.assertFalse(fits(drawn, drawn["current"]))

    def test_no_two_services_are_alike_and_nothing_divides_all_of_them(self):
        for family in MIXED_USE:
            drawn = instance(family, "200x20", 1)
            millicores = [round(cpu * 1000) for cpu in drawn["cpu"]]
            self.assertEqual(len(set(millicores)), 200)
            self.assertEqual(math.gcd(*millicores), 1)
            sizes = [ram * 2**30 for ram in drawn["ram"]]
            self.assertEqual(len(set(sizes)), 200)
            self.assertTrue(all(size.is_integer() for size in sizes))


NAME = "mixed98_50x10_1"
HIDDEN = loads.hidden(NAME)


def run(strategy: str, **fields) -> dict:
    times = {"cpu_s": 1.0, "wall_s": 1.0, "time_limit": 10.0}
    return {"instance": NAME, "strategy": strategy, "bound": 2.0} | times | fields


class HighLoads(unittest.TestCase):
    def test_runs_without_proof_and_without_plan_are_told_apart(self):
        lines = Lines([
            run("min-moves", outcome="feasible", objective=HIDDEN + 2.0),
            run("baseline-min-moves-matrix", status="user_limit", objective=None, bound=None),
            run("baseline-min-moves", status="optimal", objective=float(HIDDEN)),
        ])
        rows = [row.split(" | ")[2:6] for row in loads.summary(lines).splitlines()[4:]]
        self.assertEqual(rows, [["0 of 1", "1", "0", "2"], ["0 of 1", "0", "1", "–"], ["1 of 1", "0", "0", "0"]])
        row = f"| {NAME} | {HIDDEN} | {HIDDEN + 2}, ≥ 2 | no plan: user_limit | {HIDDEN}, proven |"
        self.assertIn(row, loads.unproven(lines))
        self.assertTrue(loads.goals(lines)[0][3])

    def test_a_proof_that_another_plan_or_the_hidden_one_refutes_misses_the_required_figure(self):
        other = run("baseline-min-moves", status="user_limit", objective=HIDDEN - 1.0)
        proof = run("min-moves", outcome="optimal", objective=float(HIDDEN))
        self.assertTrue(loads.goals(Lines([proof]))[0][3])
        self.assertFalse(loads.goals(Lines([proof, other]))[0][3])
        self.assertFalse(loads.goals(Lines([proof | {"objective": HIDDEN + 1.0}]))[0][3])

    def test_a_side_that_says_infeasible_misses_the_required_figure(self):
        lines = Lines([run("min-moves", outcome="infeasible", objective=None)])
        self.assertFalse(loads.goals(lines)[0][3])


class Cells(unittest.TestCase):
    def test_a_duration_has_the_largest_unit_of_which_there_is_one(self):
        self.assertEqual([cells.seconds(value) for value in (12.0, 0.5, 2e-6)], ["12 s", "500 ms", "2 µs"])


if __name__ == "__main__":
    unittest.main()
