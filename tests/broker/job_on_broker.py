# SPDX-License-Identifier: Apache-2.0
"""The orders job on a real Kafka: what it leaves in the topics, recounted by kcat, and what becomes of it when the broker is disturbed.

usage: job_on_broker.py JOB ORDERS.csv.zst TEST_BROKER.sh FOLDER [unittest arguments]

FOLDER is where TEST_BROKER.sh has started a broker.
"""
import collections
import csv
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "job"))
from job_case import JOB, ORDERS, TIMEOUT, Job  # noqa: E402
from recompute import decimal_text, judge, lines  # noqa: E402

STARTER, FOLDER = sys.argv[3:5]
SKIPPED = 77
REASON = re.compile(r"bad order line \((\w+)\)")


class OnBroker(Job):
    def setUp(self):
        super().setUp()
        self.address = (Path(FOLDER) / "address").read_text().strip()
        self.prefix = f"test-{time.time_ns()}"

    def run_on_broker(self, *arguments, **keywords):
        return self.run_job("--brokers", self.address, "--report", self.report, *arguments, **keywords)

    def run_prefixed(self, *arguments, **keywords):
        return self.run_on_broker("--prefix", self.prefix, *arguments, **keywords)

    # ---- what is on the broker, without the library or the job

    def topics(self):
        listed = subprocess.run(["kcat", "-b", self.address, "-L", "-J"], stdout=subprocess.PIPE, timeout=TIMEOUT, check=True)
        return {topic["topic"]: len(topic["partitions"]) for topic in json.loads(listed.stdout)["topics"]}

    def topics_of(self, prefix):
        return {name: partitions for name, partitions in self.topics().items() if name.startswith(prefix + "-")}

    def names(self, prefix=None):
        return {f"{prefix or self.prefix}-{name}" for name in ("orders", "customer-totals", "dead-letters")}

    def assert_no_topics_of(self, prefix):
        """A broker hears of a deletion a little after the controller has made it."""
        until = time.monotonic() + TIMEOUT
        while self.topics_of(prefix) and time.monotonic() < until:
            time.sleep(0.1)
        self.assertEqual(self.topics_of(prefix), {})

    def records(self, name, prefix=None):
        """The records of a topic, those of each partition in their order, as kcat tells them."""
        with subprocess.Popen(["kcat", "-q", "-b", self.address, "-C", "-t", f"{prefix or self.prefix}-{name}", "-o", "beginning", "-e", "-J"],
                              stdout=subprocess.PIPE) as kcat:
            for line in kcat.stdout:
                yield json.loads(line.decode(errors="surrogateescape"))
        self.assertEqual(kcat.returncode, 0)

    def assert_recounted(self, orders, prefix=None):
        """The topics hold what the report says, and it is what the order lines say."""
        report = self.read_report()
        self.assertEqual(report["lines"], report["valid"] + report["dead_letters"]["total"])
        self.assert_recomputed(orders)
        rows = list(lines(orders))
        self.assert_totals(report, rows, prefix)
        self.assert_dead_letters(report, rows, prefix)

    def assert_totals(self, report, rows, prefix):
        expected = collections.defaultdict(lambda: [0, 0])
        for reason, customer, amount in map(judge, rows):
            if reason is None:
                expected[customer][0] += 1
                expected[customer][1] += amount
        last, partition_of = {}, {}
        for record in self.records("customer-totals", prefix):
            customer = record["key"]
            self.assertEqual(partition_of.setdefault(customer, record["partition"]), record["partition"])
            last[customer] = json.loads(record["payload"])
        found = {customer: [total["lines"], decimal_text(total["total"])] for customer, total in last.items()}
        self.assertEqual(found, dict(expected))
        self.assertTrue(all(total["customer"] == customer for customer, total in last.items()))
        self.assertEqual(len(last), report["customers"])
        self.assertEqual(sum(total for _, total in found.values()), decimal_text(report["grand_total"]))
        top = sorted(last.values(), key=lambda total: (-decimal_text(total["total"]), total["customer"]))[:5]
        self.assertEqual(top, report["top"])

    def assert_dead_letters(self, report, rows, prefix):
        by_reason, numbers = collections.Counter(), set()
        for record in self.records("dead-letters", prefix):
            headers = dict(zip(record["headers"][::2], record["headers"][1::2]))
            number = int(headers["line"])
            row = next(csv.reader([record["payload"]]))
            reason = REASON.match(headers["__connect.errors.exception.message"])[1]
            self.assertEqual((headers["x-dlq-error-type"], reason, row), ("bad_request", judge(row)[0], rows[number]))
            if number not in numbers:  # whoever stores it again after a lost answer does not lose one
                by_reason[reason] += 1
            numbers.add(number)
        self.assertEqual(dict(by_reason), {reason: count for reason, count in report["dead_letters"]["by_reason"].items() if count})


class Results(OnBroker):
    def test_the_real_orders(self):
        run = self.run_prefixed()
        self.assertEqual(self.topics_of(self.prefix), dict.fromkeys(self.names(), 8))
        self.assertIn("541 909", run.stdout)
        self.assertEqual(run.stderr, "")
        self.assert_recounted(ORDERS)
        report = self.read_report()
        self.assertEqual(report["breaker"]["state"], "closed")
        if report["retries"] == 0:  # on a busy machine a try may take its second
            self.assertEqual(report["breaker"]["opened"], 0)


class Topics(OnBroker):
    few = ("--generate", 5000, "--customers", 300, "--partitions", 3)

    def run_id(self, run):
        return re.search(r"topics (\S+)-orders, \1-customer-totals and \1-dead-letters\n", run.stdout)[1]

    def test_each_run_has_topics_of_its_own_under_an_id_that_it_says(self):
        prefixes = []
        for seed in (1, 2):
            orders = self.path("orders.csv")
            prefixes.append(self.run_id(self.run_on_broker(*self.few, "--seed", seed, "--write-orders", orders)))
            self.assertEqual(self.topics_of(prefixes[-1]), dict.fromkeys(self.names(prefixes[-1]), 3))
            self.assert_recounted(orders, prefixes[-1])
            self.assertEqual(sum(1 for _ in self.records("orders", prefixes[-1])), 5000)
        self.assertNotEqual(*prefixes)

    def test_a_prefix_that_was_used_is_refused_and_its_topics_stay_as_they_are(self):
        orders = self.path("orders.csv")
        self.run_prefixed(*self.few, "--write-orders", orders)
        before = self.all_records()
        run = self.run_job("--brokers", self.address, "--prefix", self.prefix, *self.few, "--seed", 2, expect=1)
        self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
        self.assertIn(f"topics of --prefix {self.prefix}: ", run.stderr)
        self.assertEqual(run.stderr.count("exists"), 1, run.stderr)
        self.assertEqual(before, self.all_records())

    def all_records(self):
        return {name: sorted(self.records(name), key=lambda record: (record["partition"], record["offset"]))
                for name in ("orders", "customer-totals", "dead-letters")}

    def test_clean_deletes_them_afterwards_and_no_others(self):
        kept = self.run_id(self.run_on_broker(*self.few))
        orders = self.path("orders.csv")
        self.run_prefixed(*self.few, "--clean", "--write-orders", orders)
        self.assert_no_topics_of(self.prefix)
        self.assert_recomputed(orders)
        self.assertEqual(set(self.topics_of(kept)), self.names(kept))
        self.run_prefixed(*self.few, "--clean")  # nothing is left that could be in the way

    def test_dead_letters_are_kept_for_a_week(self):
        self.run_prefixed(*self.few)
        described = subprocess.run(["sh", STARTER, "tool", "kafka.admin.ConfigCommand", "--bootstrap-server", self.address, "--describe",
                                    "--entity-type", "topics", "--entity-name", f"{self.prefix}-dead-letters"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=TIMEOUT, check=True).stdout
        week_ms = 7 * 24 * 60 * 60 * 1000
        self.assertRegex(described, rf"\bretention\.ms={week_ms}\b")
        self.assertRegex(described, r"\bcleanup\.policy=delete\b")


class Disturbances(OnBroker):
    """The first of the real orders come at 10 000 a second, so that totals are under way at any time, and after the disturbance all at once."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.broker, "restart")
        self.addCleanup(self.broker, "resume")
        self.orders = self.path("orders.csv")
        packed = subprocess.Popen(["zstd", "-dc", ORDERS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.lines = [next(packed.stdout) for _ in range(80_001)]
        packed.kill()
        packed.communicate()
        self.write("orders.csv", b"".join(self.lines))

    def broker(self, command):
        subprocess.run(["sh", STARTER, command, FOLDER], timeout=TIMEOUT, check=True)

    def start(self, *arguments):
        self.job = subprocess.Popen([JOB, "--brokers", self.address, "--prefix", self.prefix, "--report", self.report, "--input", "-",
                                     *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.is_disturbed = threading.Event()
        self.feeder = threading.Thread(target=self.feed)
        self.feeder.start()
        self.addCleanup(self.give_up)

    def give_up(self):
        self.job.kill()
        self.is_disturbed.set()
        self.feeder.join()
        self.job.stdout.close()
        self.job.stderr.close()

    def feed(self):
        pipe = self.job.stdin.fileno()
        try:
            for at in range(0, len(self.lines), 250):
                rest = b"".join(self.lines[at:at + 250])
                while rest:
                    rest = rest[os.write(pipe, rest):]
                self.is_disturbed.wait(0.025)
        except BrokenPipeError:  # a job that was asked to stop reads no more
            pass
        self.job.stdin.close()

    def shows(self, pattern, within):
        """Whether the job shows it within so many seconds; what it shows later is looked at only by the next call."""
        self.shown = b""
        until = time.monotonic() + within
        while not re.search(pattern, self.shown):
            if not select.select([self.job.stdout], [], [], max(0, until - time.monotonic()))[0]:
                return False
            block = os.read(self.job.stdout.fileno(), 65536)
            self.assertTrue(block, f"the job ended: {self.shown[-500:]}")
            self.shown += block
        return True

    def wait_for(self, pattern):
        self.assertTrue(self.shows(pattern, TIMEOUT), self.shown[-500:])

    def disturb(self, how, undo):
        """The broker is away, and a total was under way when it went: else it comes back and goes again."""
        for _ in range(10):
            self.broker(how)
            if self.shows(rb"breaker (open|half_open)", 20):
                return self.is_disturbed.set()
            self.broker(undo)
        self.fail(f"no total was ever under way: {self.shown[-500:]}")

    def end(self, expect=0):
        self.is_disturbed.set()
        output = self.job.stdout.read()
        errors = self.job.stderr.read().decode()
        self.assertEqual(self.job.wait(timeout=TIMEOUT), expect, errors)
        self.feeder.join()
        return output.decode(), errors

    def assert_held_up_only(self):
        report = self.read_report()
        self.assertGreater(report["retries"], 0)
        self.assertGreaterEqual(report["breaker"]["opened"], 1)
        self.assertEqual(report["breaker"]["state"], "closed")
        self.assert_recounted(self.orders)

    def test_a_broker_that_is_killed_and_restarted_changes_no_result(self):
        self.start()
        self.wait_for(rb"[1-9]\d* lines")
        self.disturb("kill", "restart")
        self.broker("restart")
        self.end()
        self.assert_held_up_only()

    def test_a_broker_that_is_paused_changes_no_result(self):
        self.start()
        self.wait_for(rb"[1-9]\d* lines")
        self.disturb("pause", "resume")
        time.sleep(5)  # longer than a try, its retries and the breaker's timeout
        self.broker("resume")
        self.end()
        self.assert_held_up_only()

    def test_a_signal_drains_reports_and_exits_cleanly(self):
        used = self.path("used.csv")
        self.start("--write-orders", used)
        self.wait_for(rb"[1-9]\d* lines")
        self.job.send_signal(signal.SIGTERM)
        output, errors = self.end()
        self.assertIn("interrupted: what was read is finished", output)
        self.assertEqual(errors, "orders_pipeline: asked to stop, finishing what was read (again to stop at once)\n")
        self.assertGreater(self.read_report()["lines"], 0)
        self.assertLess(self.read_report()["lines"], 80_000)
        self.assert_recounted(used)

    def test_a_signal_ends_a_clean_run_without_topics(self):
        used = self.path("used.csv")
        self.start("--clean", "--write-orders", used)
        self.wait_for(rb"[1-9]\d* lines")
        self.assertEqual(set(self.topics_of(self.prefix)), self.names())
        self.job.send_signal(signal.SIGTERM)
        self.end()
        self.assert_recomputed(used)
        self.assert_no_topics_of(self.prefix)


def reason_to_skip():
    if not (Path(FOLDER) / "address").exists():
        return subprocess.run(["sh", STARTER, "check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout or "no broker"
    for program in ("kcat", "zstd"):
        if shutil.which(program) is None:
            return f"{program} is missing (Debian package: {program})"
    return None


if __name__ == "__main__":
    problem = reason_to_skip()
    if problem:
        print("SKIPPED:", problem)
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *sys.argv[5:]], verbosity=2)
