#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the orders job as a user does and holds its report, output and exit code against what is promised.

usage: end_to_end.py JOB ORDERS.csv.zst [unittest arguments]
"""
import os
import pty
import subprocess
import sys
import threading
import time
import unittest

from job_case import HEADER, JOB, ORDERS, TIMEOUT, Job
from look_ups import LookUps  # noqa: F401 (found by unittest)
from signals import Signals  # noqa: F401 (found by unittest)

REPORT_KEYS = {"lines", "valid", "dead_letters", "customers", "grand_total", "top", "retries", "breaker", "memory", "seconds"}
REAL = {"lines": 541909, "valid": 406789, "customers": 4371}


class Usage(Job):
    def assert_refused(self, arguments, *words):
        run = self.run_job(*arguments, expect=2, stdin=subprocess.DEVNULL)
        self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
        for word in words:
            self.assertIn(word, run.stderr)
        self.assertEqual(run.stdout, "")

    def test_help_names_every_option_and_what_is_legal_in_words(self):
        for arguments in (["--help"], ["-h"], ["--seed", "x", "--help"]):
            text = self.run_job(*arguments).stdout
            for option in ("brokers", "prefix", "clean", "input", "generate", "customers", "write-orders", "outage",
                           "fail-rate", "lookup", "db-outage", "db-fail-rate", "memory-mb", "partitions", "seed", "report", "quiet", "help"):
                self.assertIn("--" + option, text)
            self.assertIn("a whole number from 1 to 1 000 000 000 000", text)
            self.assertNotRegex(text, r"UINT|\[1 - ")
            for words in ("SIGTERM", "Exit code: 0 done", "2 wrong options", '"error"'):
                self.assertIn(words, text)
            self.assertLessEqual(max(map(len, text.splitlines())), 120)

    def test_a_wrong_value_is_one_line_that_names_option_value_and_what_is_legal(self):
        whole = "a whole number from "
        for option, legal, values in (
            ("--memory-mb", whole + "1 to 1 048 576", ("0", "much", "-1", "1048577", "99999999999999999999", "1.5", " 1", "1 ")),
            ("--partitions", whole + "1 to 1 000", ("0", "1001", "0x10", "+1", "-1")),
            ("--generate", whole + "1 to 1 000 000 000 000", ("0", "1e3", "1000000000001", "5=5")),
            ("--customers", whole + "1 to 1 000 000 000 000", ("0", "many")),
            ("--seed", whole + "0", ("-1", "x", "18446744073709551616")),
            ("--fail-rate", "a number from 0 to 0.9", ("1", "-0.1", "x", "nan", "inf", "0.5x", "0x1p-1", "0,5")),
            ("--outage", "AT+LENGTH such as 40%+3s", ("40%", "101%+3s", "40%+3", "25h")),
            ("--db-fail-rate", "a number from 0 to 0.9", ("1", "x")),
            ("--db-outage", "AT+LENGTH such as 40%+3s", ("40%", "3s")),
            ("--lookup", "sqlite, within the program, or postgres:DSN", ("mysql", "sqlite:x", "postgres")),
            ("--brokers", "HOST:PORT", (" ", ",")),
            ("--prefix", "1 to 200 of a-z A-Z 0-9 . _ -", ("not legal", "a/b", "x" * 201)),
        ):
            for value in values:
                with self.subTest(option=option, value=value):
                    for arguments in ([option, value], [f"{option}={value}"]):
                        self.assert_refused(arguments, f"{option} {value}: must be {legal}")

    def test_an_option_without_its_value_says_what_it_needs(self):
        for option, needed in (("--memory-mb", "a whole number from 1"), ("--report", "FILE.json"), ("--input", "FILE|-"),
                               ("--seed", "a whole number"), ("--outage", "AT+LENGTH"), ("--brokers", "HOST:PORT"),
                               ("--write-orders", "FILE"), ("--prefix", "1 to 200")):
            for arguments in ([option], [option, "--quiet"], [option + "="], [option, ""]):
                with self.subTest(arguments):
                    self.assert_refused(arguments, f"{option}: needs a value, {needed}")

    def test_what_is_no_option_is_named(self):
        for argument in ("--bogus", "surplus", "-x", "--", "--gen", "--Seed", "", "--bogus=1"):
            with self.subTest(argument):
                self.assert_refused([argument], f"orders_pipeline: {argument}: no such option")
        self.assert_refused(["--seed", "1", "--seed", "2"], "--seed: given more than once")
        self.assert_refused(["--quiet=no"], "--quiet=no: --quiet takes no value")

    def test_options_that_exclude_each_other_say_so(self):
        for arguments, words in (
            (["--input", "x.csv", "--generate", "5"], ("--input", "--generate")),
            (["--customers", "5"], ("--customers", "--generate")),
            (["--customers", "6", "--generate", "5"], ("--customers", "--generate")),
            (["--brokers", "localhost:1", "--outage", "40%+3s"], ("--outage", "--brokers")),
            (["--brokers", "localhost:1", "--fail-rate", "0.1"], ("--fail-rate", "--brokers")),
            (["--clean"], ("--clean", "--brokers")),
            (["--prefix", "mine"], ("--prefix", "--brokers")),
            (["--db-outage", "40%+3s"], ("--db-outage", "--lookup")),
            (["--db-fail-rate", "0.5"], ("--db-fail-rate", "--lookup")),
            (["--lookup", "postgres:no=such"], ("--lookup postgres", "connection string")),
            (["--lookup", "sqlite", "--input", "-", "--db-outage", "40%+3s"], ("--db-outage", "-")),
            (["--lookup", "sqlite", "--input", self.pipe(), "--db-outage", "40%+3s"], ("--db-outage", "pipe")),
            (["--input", "-", "--outage", "40%+3s"], ("--outage", "-")),
            (["--input", self.pipe(), "--outage", "40%+3s"], ("--outage", "pipe")),
        ):
            with self.subTest(arguments):
                self.assert_refused(arguments, *words)

    def test_an_output_that_cannot_be_written_is_said_before_the_work(self):
        self.assert_refused(["--generate", "5", "--customers", "2", "--report", self.path("no/such/folder.json")], "--report")
        self.assert_refused(["--generate", "5", "--customers", "2", "--write-orders", self.folder.name], "--write-orders")

    def test_an_output_that_is_the_input_is_refused_and_nothing_is_lost(self):
        text = HEADER + "\n1,A,x,2,x,1.50,17,UK\n"
        orders = self.write("orders.csv", text)
        self.assert_refused(["--input", orders, "--report", orders], "--report", "input")
        self.assert_refused(["--input", orders, "--write-orders", self.path("./orders.csv")], "--write-orders", "input")
        self.assert_refused(["--input", orders, "--report", self.path("r"), "--write-orders", self.path("r")], "--report")
        for option in ("--report", "--write-orders"):
            with open(orders, encoding="utf-8") as file:
                run = self.run_job("--input", "-", option, orders, expect=2, stdin=file)
            self.assertEqual(run.stderr, f"orders_pipeline: {option} is the input\n")
        with open(orders, encoding="utf-8") as file:
            self.assertEqual(file.read(), text)

    def test_a_run_that_never_began_leaves_its_outputs_as_they_were(self):
        old = self.write("old.json", "old")
        empty = self.write("empty.csv", "")
        for source in (self.path("none"), empty):
            run = self.run_job("--input", source, "--report", old, "--write-orders", self.path("new"), expect=3)
            self.assertEqual(run.stdout, "")
            with open(old, encoding="utf-8") as file:
                self.assertEqual(file.read(), "old")
            self.assertFalse(os.path.exists(self.path("new")))
        self.run_job("--bogus", "--report", old, expect=2)
        self.run_job("--report", old, "--write-orders", self.path("no/folder"), expect=2)
        self.assertEqual(sorted(os.listdir(self.folder.name)), ["empty.csv", "old.json"])

    def test_a_failed_run_reports_what_was_done_and_why_it_failed(self):
        for lines in (10, 20000):
            run = self.run_job("--generate", lines, "--write-orders", "/dev/full", "--report", self.report, expect=1)
            report = self.read_report()
            self.assertEqual(report["error"], "--write-orders /dev/full: cannot be written")
            self.assertEqual(set(report), REPORT_KEYS | {"error"})
            self.assertGreaterEqual(report["lines"], report["valid"] + report["dead_letters"]["total"])
            self.assertIn("Orders per customer (failed: what was done until then)", run.stdout)
            self.assertEqual(run.stderr, f"orders_pipeline: {report['error']}\n")
        self.run_job("--generate", 10, "--report", self.report, "--quiet")
        self.assertEqual(set(self.read_report()), REPORT_KEYS)

    def test_an_input_that_ends_in_the_middle_reports_what_was_done(self):
        text = HEADER + "\n" + "1,A,x,2,x,1.50,17,UK\n" * 40_000
        packed = subprocess.run(["zstd", "-c"], input=text.encode(), check=True, stdout=subprocess.PIPE).stdout
        run = self.run_job("--input", self.write("torn.csv", packed[:-4]), "--report", self.report, expect=3)
        report = self.read_report()
        self.assertEqual(run.stderr, f"orders_pipeline: {report['error']}\n")
        self.assertIn("zstd", report["error"])
        self.assertGreater(report["lines"], 20_000)  # the last block is torn
        self.assertIn("failed", run.stdout)

    def test_topics_that_cannot_be_made_are_a_failed_run_with_a_report(self):
        run = self.run_job("--brokers", "localhost:9", "--generate", 10, "--report", self.report, expect=1)
        report = self.read_report()
        self.assertEqual((report["lines"], report["top"]), (0, []))
        self.assertIn("localhost:9", report["error"])
        self.assertEqual(run.stderr, f"orders_pipeline: {report['error']}\n")

    def test_a_closed_standard_output_gets_into_no_file(self):
        self.run_job("--generate", "10", "--report", self.report, preexec_fn=lambda: os.close(1))
        self.assertEqual(self.read_report()["lines"], 10)

    def test_a_full_standard_output_is_a_failure(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            run = subprocess.run([JOB, "--generate", "10"], stdout=full, stderr=subprocess.PIPE, timeout=TIMEOUT)
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"standard output", run.stderr)

    def test_a_terminal_that_goes_away_is_a_failure_and_ends_no_work(self):
        ours, its = os.openpty()
        with subprocess.Popen([JOB, "--generate", "10", "--report", self.report], stdout=its, stderr=subprocess.PIPE) as job:
            os.close(its)
            os.close(ours)
            errors = job.communicate(timeout=TIMEOUT)[1]
        self.assertEqual(job.returncode, 1)
        self.assertIn(b"standard output", errors)
        self.assertEqual(self.read_report()["lines"], 10)

    def test_a_full_report_is_a_failure(self):
        run = self.run_job("--generate", "10", "--quiet", "--report", "/dev/full", expect=1)
        self.assertEqual(run.stderr, "orders_pipeline: --report /dev/full: cannot be written\n")

    def test_a_reader_of_the_output_that_leaves_ends_no_work(self):
        reading, writing = os.pipe()
        os.close(reading)
        run = subprocess.run([JOB, "--generate", "10", "--report", self.report], stdout=writing, stderr=subprocess.PIPE,
                             timeout=TIMEOUT, restore_signals=True)
        os.close(writing)
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"standard output", run.stderr)
        self.assertEqual(self.read_report()["lines"], 10)
        self.assertEqual(self.read_report()["error"], "standard output cannot be written")

    def test_a_full_file_of_orders_is_a_failure_that_names_it(self):
        for lines in (10, 20000):  # met at the end, and in the middle
            run = self.run_job("--generate", lines, "--write-orders", "/dev/full", "--quiet", expect=1)
            self.assertEqual(run.stderr, "orders_pipeline: --write-orders /dev/full: cannot be written\n")

    def test_unreadable_input_is_exit_code_3(self):
        with open(ORDERS, "rb") as file:
            packed = file.read()
        row = "1,2,3,4,5,6,7,8\n"
        for name, content, words in (
            ("missing.csv", None, "No such file"),
            ("header.csv", "InvoiceNo,StockCode\n" + row, "first line"),
            ("order.csv", HEADER.replace("Quantity,InvoiceDate", "InvoiceDate,Quantity") + "\n" + row, "first line"),
            ("empty.csv", "", "first line"),
            ("torn.csv.zst", packed[:len(packed) // 8], "zstd"),
            ("text.csv.zst", "no header\n" + row, "first line"),
            ("torn.csv", packed[:50_000], "zstd"),
            ("magic.csv", packed[:4], "zstd"),
            ("half_a_magic.csv.zst", packed[:3], "first line"),
            ("quote.csv", HEADER + "\n" + row + '1,2,"' + row * 100_000, "never closed"),
        ):
            with self.subTest(name):
                path = self.path(name) if content is None else self.write(name, content)
                run = self.run_job("--input", path, expect=3)
                self.assertIn(words, run.stderr)
                self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
        self.run_job("--input", self.folder.name, expect=3)


class Results(Job):
    def test_the_real_orders(self):
        run = self.run_job("--report", self.report)
        report = self.read_report()
        for key, value in REAL.items():
            self.assertEqual(report[key], value)
        self.assertEqual(report["breaker"]["state"], "closed")
        if report["retries"] == 0:  # on a busy machine a try may take its second
            self.assertEqual(report["breaker"]["opened"], 0)
        self.assertEqual(report["memory"]["limit_bytes"], 256 * 1024 * 1024)
        self.assert_recomputed(ORDERS)
        for word in ("541 909", "406 789", "dead letters", "CustomerID", "peak memory", "lines/s", "top customers"):
            self.assertIn(word, run.stdout)
        self.assertEqual(run.stderr, "")

    def test_with_an_outage_they_are_the_same_and_the_breaker_was_seen_open(self):
        run = self.run_job("--outage", "40%+3s", "--report", self.report)
        report = self.read_report()
        self.assert_recomputed(ORDERS)
        self.assertGreaterEqual(report["breaker"]["opened"], 1)
        self.assertEqual(report["breaker"]["state"], "closed")
        self.assertGreater(report["retries"], 0)
        self.assertRegex(run.stdout, r"(?m)^[0-9.]+ s: .*breaker (open|half_open)")
        self.assertRegex(run.stdout, r"closed -> open")
        self.assertRegex(run.stdout, r"half_open -> closed")

    def test_with_failing_requests_they_are_the_same(self):
        self.run_job("--fail-rate", "0.05", "--seed", "5", "--report", self.report, "--quiet")
        self.assert_recomputed(ORDERS)
        self.assertGreater(self.read_report()["retries"], 0)

    def test_generated_orders_are_kept_and_have_every_customer(self):
        orders = self.path("orders.csv")
        run = self.run_job("--generate", "50000", "--customers", "7000", "--seed", "9", "--partitions", "3", "--write-orders", orders,
                           "--report", self.report, "--quiet")
        self.assertEqual(run.stdout + run.stderr, "")
        self.assertEqual(self.read_report()["customers"], 7000)
        self.assertEqual(self.read_report()["lines"], 50000)
        self.assert_recomputed(orders)
        again = self.path("again.csv")
        self.run_job("--generate", "50000", "--customers", "7000", "--seed", "9", "--write-orders", again, "--quiet")
        with open(orders, "rb") as one, open(again, "rb") as other:
            self.assertEqual(one.read(), other.read())

    def test_odd_but_legal_csv(self):
        text = ("\ufeff" + HEADER + "\r\n"
                '1,A,"two\r\nlines, and a ""quote""",2,x,1.005,"12 34.0",UK\r\n'
                "\r\n"
                '2,B,5" nail,+3,x,.5,é-"9,UK\n'
                "3,C,,-1,x,1e2, 77 ,UK\r"
                "4,D,,9223372036854775807,x,999999999999.999,77.0,UK\n"
                "5,E,,0,x,1,1,UK\n6,F,,1.5,x,1,1,UK\n7,G,,1,x,-1,1,UK\n8,H,,1,x,1,,UK\n9,I,,1,x,1,1\n10,J,,1,x,1,1,UK,extra\n"
                "11,K,,1,x,0.0001,1,UK\n"
                # what does not fit into 64 bits, beside what just does
                "13,M,,9223372036854775808,x,1,6,UK\n14,N,,-9223372036854775808,x,1,6,UK\n15,O,,99999999999999999999,x,1,6,UK\n"
                "16,P,,1,x,9e18,7,UK\n17,Q,,1,x,9223372036854775.807,7,UK\n18,R,,1,x,9223372036854775.808,7,UK\n"
                "19,S,,1,x,1e99999999999999999999,7,UK\n20,T,,1,x,1e999999999999999999,7,UK\n"
                f"21,U,,1,x,0.{'0' * 3000}1e3001,8,UK\n22,V,,1,x,1e-99999999999999999999,8,UK\n"
                "12,L,,1,x,1,5,UK")
        for options in (["--input", self.write("odd.csv", text)], ["--input", "-"]):
            with self.subTest(options), open(self.path("odd.csv"), "rb") as file:
                self.run_job(*options, "--report", self.report, "--quiet", stdin=file)
                self.assert_recomputed(self.path("odd.csv"))
                self.assertEqual(self.read_report()["dead_letters"]["by_reason"],
                                 {"line": 2, "CustomerID": 1, "Quantity": 4, "UnitPrice": 6, "memory": 0})

    def test_packed_or_not_is_told_by_the_content_and_not_by_the_name(self):
        text = (HEADER + "\n" + "1,A,x,2,x,1.50,17,UK\n" * 3).encode()
        packed = subprocess.run(["zstd", "-c"], input=text, check=True, stdout=subprocess.PIPE).stdout
        skippable = b"\x5a\x2a\x4d\x18\x02\x00\x00\x00ab"  # a frame that says nothing, as some packers begin
        for name, content in (("plain.csv.zst", text), ("packed.csv", packed), ("parts.csv", skippable + packed)):
            path = self.write(name, content)
            with self.subTest(name):
                self.run_job("--input", path, "--report", self.report, "--quiet")
                self.assertEqual(self.read_report()["grand_total"], "9.00")
            with self.subTest(name, read="from a pipe"):
                self.run_job("--input", "-", "--report", self.report, "--quiet", input=content)
                self.assertEqual(self.read_report()["grand_total"], "9.00")
        run = self.run_job("--input", "-", expect=3, input=b"no header\n")
        self.assertIn("unreadable input: standard input: the first line must be", run.stderr)
        run = self.run_job("--input", "-", expect=3, input=packed[:-1])
        self.assertEqual(run.stderr,
                         "orders_pipeline: unreadable input: standard input: not a whole zstd file: ends in the middle of a frame\n")

    def test_digits_and_spaces_are_those_of_ascii(self):
        def line(quantity="1", price="1", customer="1"):
            return f"1,A,x,{quantity},x,{price},{customer},UK\n"

        orders = self.write("ascii.csv", HEADER + "\n" + "".join(
            line(quantity=q) for q in ("\uff11", "\u0661", "1\u00a0", "\u20031", "1\x1c", "\x851", " \t\f\v1 ")) + "".join(
            line(price=p) for p in ("\uff11", "1.\u0661", "\u00a01", "1e\u0661", "1\x1d", "\t1\v")) + "".join(
            line(customer=c) for c in ("\u00a0", "\x1f", "\u2003", "\t \v\f", "1\u00a0")))
        self.run_job("--input", orders, "--report", self.report, "--quiet")
        self.assert_recomputed(orders)
        self.assertEqual(self.read_report()["dead_letters"]["by_reason"],
                         {"line": 0, "CustomerID": 1, "Quantity": 6, "UnitPrice": 5, "memory": 0})
        self.assertEqual(self.read_report()["customers"], 5)

    def test_the_longest_lines_and_customers_fit_and_longer_customers_are_dead_letters(self):
        def line(customer, size=0, quantity=1):
            return f"1,A,{'d' * (size - len(customer) - 30)},{quantity},x,1.50,{customer},UK\n"

        longest = 64 * 1024
        for options in ([], ["--memory-mb", "16"]):
            with self.subTest(options):
                orders = self.write("long.csv", HEADER + "\n" + line("17") + line("\x01" * longest, 899_990) +
                                    line("c" * longest, 899_990, quantity=0) + line("c" * (longest + 1)) + line("c" * 510_000) +
                                    line("c" * 510_000, 899_990) + line("17"))
                self.run_job("--input", orders, "--report", self.report, *options)
                self.assert_recomputed(orders)
                self.assertEqual(self.read_report()["dead_letters"]["by_reason"],
                                 {"line": 0, "CustomerID": 3, "Quantity": 1, "UnitPrice": 0, "memory": 0})

    def test_with_a_small_limit_lines_that_fit_are_processed_and_the_first_that_does_not_is_named(self):
        fitting = HEADER + "\n" + "".join(f"1,A,x,1,x,1.50,{c * 32_000},UK\n" for c in "abcdefghijklmnopqrstuvwxyz" * 3)
        self.run_job("--memory-mb", "1", "--input", self.write("fitting.csv", fitting), "--report", self.report)
        self.assert_recomputed(self.path("fitting.csv"))
        self.assertGreater(self.read_report()["dead_letters"]["by_reason"]["memory"], 0)
        run = self.run_job("--memory-mb", "1", "--input", self.write("long.csv", fitting + f"1,A,{'d' * 70_000},1,x,1.50,1,UK\n"),
                           expect=3)
        self.assertIn("line 80 is longer than 65536 bytes", run.stderr)
        self.assertIn("--memory-mb", run.stderr)

    def test_an_input_without_orders_gives_an_empty_report(self):
        self.run_job("--input", self.write("none.csv", HEADER + "\n"), "--report", self.report)
        report = self.read_report()
        self.assertEqual((report["lines"], report["customers"], report["top"]), (0, 0, []))
        self.assertEqual(report["grand_total"], "0.00")

    def test_the_real_orders_fit_into_little_memory_whatever_is_in_flight(self):
        for limit in (2, 16):  # dead letters are charged with the second
            with self.subTest(limit):
                self.run_job("--memory-mb", limit, "--report", self.report, "--quiet")
                self.assertEqual(self.read_report()["dead_letters"]["by_reason"]["memory"], 0)
                self.assert_recomputed(ORDERS)

    def test_a_small_memory_limit_refuses_groups_and_is_kept(self):
        orders = self.path("orders.csv")
        self.run_job("--memory-mb", "1", "--generate", "200000", "--customers", "100000", "--write-orders", orders,
                     "--report", self.report)
        report = self.read_report()
        self.assertGreater(report["dead_letters"]["by_reason"]["memory"], 0)
        self.assertEqual(report["memory"]["limit_bytes"], 1024 * 1024)
        self.assertLess(report["customers"], 100000)
        self.assertGreater(report["customers"], 1000)
        self.assertLessEqual(report["memory"]["peak_bytes"], 1024 * 1024)
        self.assert_recomputed(orders)

    def test_the_peak_is_less_than_what_the_process_used(self):
        job = subprocess.Popen([JOB, "--generate", "300000", "--customers", "300000", "--quiet", "--report", self.report])
        self.addCleanup(job.kill)
        hangs = threading.Timer(TIMEOUT, job.kill)
        hangs.start()
        _, status, usage = os.wait4(job.pid, 0)
        hangs.cancel()
        job.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(job.returncode, 0)
        peak = self.read_report()["memory"]["peak_bytes"]
        self.assertGreater(peak, 40_000_000)
        self.assertLess(peak, usage.ru_maxrss * 1024)


class Behaviour(Job):
    def test_an_outage_that_never_came_is_said(self):
        for options in ([], ["--quiet"]):
            run = self.run_job("--generate", "1000", "--outage", "1001+1s", *options)
            self.assertEqual(run.stderr, "orders_pipeline: the outage never came: it was due after line 1 001, "
                                         "and the input had 1 000\n")
            run = self.run_job("--generate", "1000", "--lookup", "sqlite", "--db-outage", "1001+1s", *options)
            self.assertEqual(run.stderr, "orders_pipeline: the outage of the database never came: it was due after line 1 001, "
                                         "and the input had 1 000\n")

    def test_few_generated_orders_have_dirt_too(self):
        self.run_job("--generate", "1000", "--report", self.report, "--quiet")
        self.assertGreater(self.read_report()["dead_letters"]["total"], 100)

    def start_on_terminal(self, environment, *arguments, **keywords):
        """A job on a terminal, and the side of it from which one can read what it shows."""
        own, terminal = pty.openpty()
        job = subprocess.Popen([JOB, *arguments], stdout=terminal, stderr=terminal, env=environment, **keywords)
        self.addCleanup(job.kill)
        os.close(terminal)
        self.addCleanup(os.close, own)
        return job, own

    def read_terminal(self, own, until=None):
        """What it shows until these words have come, or to the end."""
        shown = b""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end and (until is None or until not in shown):
            try:
                block = os.read(own, 65536)
            except OSError:  # the other side is closed
                break
            if not block:
                break
            shown += block
        return shown.decode(errors="replace")

    def test_a_terminal_shows_a_live_panel_that_gives_way_to_the_summary(self):
        job, own = self.start_on_terminal({**os.environ, "TERM": "xterm"}, "--generate", "60000", "--customers", "100",
                                          stdin=subprocess.DEVNULL)
        text = self.read_terminal(own)
        self.assertEqual(job.wait(timeout=TIMEOUT), 0, text)
        self.assertRegex(text, r"\x1b\[2Korders +\[[#.]+\]")
        self.assertRegex(text, r"\x1b\[2Kbreaker +\x1b\[32mclosed")
        self.assertIn("\x1b[J", text)
        self.assertGreater(text.rfind("Orders per customer"), text.rfind("\x1b[J"))

    def test_a_terminal_that_cannot_move_its_cursor_shows_plain_lines(self):
        without = {name: value for name, value in os.environ.items() if name != "TERM"}
        for environment in ({**without, "TERM": "dumb"}, {**without, "TERM": ""}, without):
            with self.subTest(environment.get("TERM")):
                job, own = self.start_on_terminal(environment, "--input", "-", stdin=subprocess.PIPE)
                job.stdin.write((HEADER + "\n" + "1,A,x,2,x,1.50,17,UK\n" * 1000).encode())
                job.stdin.flush()
                shown = self.read_terminal(own, until=b" lines")  # after two seconds
                job.stdin.close()
                shown += self.read_terminal(own)
                self.assertEqual(job.wait(timeout=TIMEOUT), 0, shown)
                self.assertRegex(shown, r"s: \d+ lines \(\d+/s\), ")
                self.assertIn("Orders per customer", shown)
                self.assertNotIn("\x1b", shown)

    def test_the_report_is_the_same_for_the_same_input(self):
        reports = []
        for _ in range(2):
            self.run_job("--generate", "20000", "--customers", "500", "--report", self.report, "--quiet")
            report = self.read_report()
            reports.append({key: report[key] for key in ("lines", "valid", "dead_letters", "customers", "grand_total", "top")})
        self.assertEqual(reports[0], reports[1])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
