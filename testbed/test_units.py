"""What can be tested without starting a bed: `python3 -m unittest testbed.test_units`."""

from __future__ import annotations

import tempfile
import threading
import time
import unittest
from pathlib import Path

from . import binaries, lifecycle, processes, rulesync
from .bed import LATENCIES, MEMBERS, Bed, TestbedError
from .exporter import Counter, Series, labels_of
from .submariner import gateway_status
from .tasks import Tasks, check


class TasksTest(unittest.TestCase):
    def test_runs_each_step_after_those_it_needs(self) -> None:
        order: list[str] = []
        tasks = Tasks()
        tasks.add("c", lambda: order.append("c"), ["a", "b"])
        tasks.add("b", lambda: order.append("b"), ["a"])
        tasks.add("a", lambda: order.append("a"))
        tasks.run()
        self.assertEqual(order, ["a", "b", "c"])

    def test_independent_steps_run_together(self) -> None:
        barrier = threading.Barrier(2, timeout=5)
        tasks = Tasks()
        tasks.add("a", barrier.wait)
        tasks.add("b", barrier.wait)
        tasks.run()

    def test_a_failure_starts_nothing_more_and_ends_those_that_wait(self) -> None:
        def wait_for_ever() -> None:
            while True:
                check()
                time.sleep(0.01)

        def fail() -> None:
            raise TestbedError("no")

        later: list[int] = []
        tasks = Tasks()
        tasks.add("waits", wait_for_ever)
        tasks.add("fails", fail)
        tasks.add("later", lambda: later.append(1), ["fails"])
        with self.assertRaisesRegex(TestbedError, "no"):
            tasks.run()
        self.assertEqual(later, [])

    def test_the_steps_of_the_bed_can_all_run(self) -> None:
        tasks = lifecycle._steps(Bed(Path("/nonexistent")))
        tasks._steps = {name: (lambda: None, needs) for name, (_, needs) in tasks._steps.items()}
        tasks.run()


class BedTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.bed = Bed(Path(scratch.name))

    def test_ports_are_all_different(self) -> None:
        self.bed.reset(lifecycle.PORTS)
        self.assertEqual(len(set(self.bed.state["ports"].values())), len(lifecycle.PORTS))
        self.assertEqual(len(set(lifecycle.PORTS)), len(lifecycle.PORTS))

    def test_a_folder_with_other_files_is_left_alone(self) -> None:
        (self.bed.dir / "thesis.txt").write_text("years of work")
        with self.assertRaises(TestbedError):
            self.bed.reset([])
        self.assertTrue((self.bed.dir / "thesis.txt").exists())

    def test_a_process_is_stopped_and_started_again_and_a_foreign_one_is_spared(self) -> None:
        self.bed.reset([])
        processes.start(self.bed, processes.Process("sleeper", ["sleep", "60"], ready=["true"]))
        record = processes.recorded(self.bed, "sleeper")
        recycled = {**record, "start_time": "1"}
        processes.stop([recycled])
        self.assertTrue(processes.alive(record))
        processes.stop([record])
        self.assertFalse(processes.alive(record))
        processes.restart(self.bed, "sleeper")
        again = processes.recorded(self.bed, "sleeper")
        self.assertTrue(processes.alive(again))
        self.assertEqual(again["argv"], record["argv"])
        processes.stop([again])

    def test_a_component_that_exits_is_reported_with_its_log(self) -> None:
        self.bed.reset([])
        broken = processes.Process("broken", ["sh", "-c", "echo no such flag; exit 2"], ready=["false"])
        with self.assertRaisesRegex(processes.ComponentFailed, "(?s)broken exited.*no such flag"):
            processes.start(self.bed, broken)

    def test_rule_files_become_exactly_what_is_wanted(self) -> None:
        self.assertTrue(rulesync.write(self.bed.dir, {"a.yaml": "1", "b.yaml": "2"}))
        self.assertFalse(rulesync.write(self.bed.dir, {"a.yaml": "1", "b.yaml": "2"}))
        self.assertTrue(rulesync.write(self.bed.dir, {"b.yaml": "3"}))
        self.assertEqual([path.name for path in self.bed.dir.iterdir()], ["b.yaml"])


class ExporterTest(unittest.TestCase):
    def test_a_counter_never_falls_when_its_rate_changes(self) -> None:
        counter = Counter(since=100.0)
        counter.set_rate(10, 100.0)
        counter.set_rate(1, 110.0)
        self.assertEqual(counter.value(120.0), 110.0)

    def test_gauges_carry_labels(self) -> None:
        series = Series()
        series.set_gauge("load", labels_of("cluster=member1"), 2.5)
        self.assertIn('load{cluster="member1"} 2.5\n', series.render())
        with self.assertRaises(ValueError):
            labels_of("no-dash=1")


class SubmarinerTest(unittest.TestCase):
    def test_a_gateway_reports_each_latency_of_its_member(self) -> None:
        latencies = [
            {"between": ["a", "b"], "ms": 5},
            {"between": ["c", "a"], "ms": 0.5},
            {"between": ["b", "c"], "ms": 30},
        ]
        status = gateway_status("a", latencies)
        self.assertEqual(status["haStatus"], "active")
        averages = {c["endpoint"]["cluster_id"]: c["latencyRTT"]["average"] for c in status["connections"]}
        self.assertEqual(averages, {"b": "5ms", "c": "0.5ms"})

    def test_latencies_are_between_members_and_each_pair_has_one(self) -> None:
        pairs = [frozenset(row["between"]) for row in LATENCIES]
        self.assertEqual(len(pairs), len(set(pairs)))
        for pair in pairs:
            self.assertEqual(len(pair), 2)
            self.assertLessEqual(pair, set(MEMBERS))


class VersionsTest(unittest.TestCase):
    def test_go_modules_are_pinned_to_the_versions_of_the_table(self) -> None:
        for group, modules in binaries.VERSIONS["go"].items():
            binaries.check_go_mod(group)
            self.assertTrue(modules)
        self.assertEqual(set(binaries.VERSIONS["go"]), set(binaries.GO_GROUPS))


if __name__ == "__main__":
    unittest.main()
