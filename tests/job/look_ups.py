# SPDX-License-Identifier: Apache-2.0
"""The orders job looks up the segments of customers: the totals are those that it has without."""
import collections
import csv
import io
import os
import subprocess

from job_case import ORDERS, TIMEOUT, Job


class LookUps(Job):
    def test_with_look_ups_they_are_the_same_and_each_order_is_of_a_segment(self):
        run = self.run_job("--lookup", "sqlite", "--report", self.report)
        report = self.read_report()
        self.assert_recomputed(ORDERS)
        lookup = report["lookup"]
        self.assertEqual(lookup["database"], "sqlite")
        self.assertEqual((lookup["found"], lookup["unknown"]), (406701, 88))
        self.assertEqual({each["segment"]: each["lines"] for each in lookup["segments"]},
                         {"retail": 203063, "regular": 123027, "wholesale": 35683, "export": 44928})
        self.assertIn("406 789 in sqlite", run.stdout)

    def test_the_segments_that_come_with_the_orders_follow_from_them(self):
        def unpacked(path):
            text = subprocess.run(["zstd", "-dc", path], check=True, stdout=subprocess.PIPE, timeout=TIMEOUT).stdout.decode()
            return csv.DictReader(io.StringIO(text))

        units, invoices, country = collections.Counter(), collections.defaultdict(set), {}
        for line in unpacked(ORDERS):
            customer = line["CustomerID"].removesuffix(".0")
            country[customer] = line["Country"]
            if int(line["Quantity"]) > 0:
                units[customer] += int(line["Quantity"])
                invoices[customer].add(line["InvoiceNo"])

        def segment_of(customer):
            if country[customer] != "United Kingdom":
                return "export"
            if units[customer] / len(invoices[customer]) >= 500:
                return "wholesale"
            return "regular" if len(invoices[customer]) >= 10 else "retail"

        segments = os.path.join(os.path.dirname(ORDERS), "customer_segments.csv.zst")
        self.assertEqual({line["customer"]: line["segment"] for line in unpacked(segments)},
                         {customer: segment_of(customer) for customer in invoices if customer})

    def test_with_a_database_that_goes_and_fails_they_are_the_same(self):
        run = self.run_job("--lookup", "sqlite", "--db-outage", "40%+3s", "--db-fail-rate", "0.1", "--report", self.report)
        report = self.read_report()
        self.assert_recomputed(ORDERS)
        lookup = report["lookup"]
        self.assertEqual(lookup["found"] + lookup["unknown"], report["valid"])
        self.assertGreater(lookup["retries"], 10_000)
        self.assertGreaterEqual(lookup["breaker"]["opened"], 1)
        self.assertEqual(lookup["breaker"]["state"], "closed")
        self.assertGreater(lookup["connections"]["failed"], 0)
        self.assertEqual(report["breaker"], {"opened": 0, "state": "closed"})
        self.assertRegex(run.stdout, r"(?m)^[0-9.]+ s: .*look-ups, breaker (open|half_open)")

    def test_a_little_memory_is_enough_for_look_ups(self):
        orders = self.path("orders.csv")
        self.run_job("--generate", "5000", "--customers", "500", "--memory-mb", "1", "--lookup", "sqlite", "--report", self.report,
                     "--write-orders", orders, "--quiet")
        self.assert_recomputed(orders)
        self.assertLessEqual(self.read_report()["memory"]["peak_bytes"], 1024 * 1024)
