# SPDX-License-Identifier: Apache-2.0
"""What the orders job does when it is asked to stop, in every phase of a run. Run by end_to_end.py."""
import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import time

from job_case import HEADER, JOB, TIMEOUT, Job


class Signals(Job):
    def start_with_open_pipe(self, *arguments):
        job = subprocess.Popen([JOB, "--input", "-", "--report", self.report, *arguments], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        job.stdin.write((HEADER + "\n" + "1,A,x,2,x,1.50,17,UK\n" * 1000).encode())
        job.stdin.flush()
        self.addCleanup(job.kill)
        return job

    def wait_until_shown(self, job, text):
        shown = b""
        while text not in shown:
            self.assertTrue(select.select([job.stdout], [], [], TIMEOUT)[0], shown)
            block = os.read(job.stdout.fileno(), 65536)
            self.assertTrue(block, "the job ended by itself")
            shown += block

    def stopped_while_the_brokers_are_down(self):
        """A job that was sent SIGTERM as soon as it said that its breaker is open."""
        job = subprocess.Popen([JOB, "--outage", "1%+600s", "--report", self.report], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(job.kill)
        self.wait_until_shown(job, b"breaker open")
        job.send_signal(signal.SIGTERM)
        return job

    def test_a_signal_drains_reports_and_exits_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                job = self.start_with_open_pipe()
                self.wait_until_shown(job, b"1000 lines")  # a plain line every two seconds
                job.send_signal(number)
                output, errors = job.communicate(timeout=TIMEOUT)
                self.assertEqual(job.returncode, 0, errors)
                self.assertIn(b"interrupted", output)
                report = self.read_report()
                self.assertEqual((report["lines"], report["valid"], report["grand_total"]), (1000, 1000, "3000.00"))

    def test_a_signal_in_the_middle_of_a_line_drops_that_line_alone(self):
        job = self.start_with_open_pipe()
        job.stdin.write(b"1,A,x,2,x,1.50,17")
        job.stdin.flush()
        self.wait_until_shown(job, b"1000 lines")
        job.send_signal(signal.SIGTERM)
        self.assertEqual(job.wait(timeout=TIMEOUT), 0)  # with the pipe still open: its end would complete the line
        job.communicate()
        report = self.read_report()
        self.assertEqual((report["lines"], report["valid"], report["dead_letters"]["total"]), (1000, 1000, 0))

    def test_a_signal_while_the_brokers_are_down_ends_in_time_and_says_what_is_missing(self):
        job = self.stopped_while_the_brokers_are_down()
        began = time.monotonic()
        errors = job.communicate(timeout=TIMEOUT)[1]
        # Supervisors commonly kill after 30; under a sanitizer all takes longer.
        self.assertLess(time.monotonic() - began, 90 if self.is_sanitized() else 28)
        self.assertEqual(job.returncode, 1, errors)
        self.assertRegex(errors, rb"[1-9]\d* of [1-9]\d* lines are not finished 10 s after the signal")
        report = self.read_report()
        unfinished, lines = map(int, re.search(r"(\d+) of (\d+) lines are not finished", report["error"]).groups())
        self.assertEqual(lines, report["lines"])
        # Valid are also those whose total no broker has acknowledged.
        self.assertGreater(unfinished, lines - report["valid"] - report["dead_letters"]["total"])
        self.assertGreater(report["customers"], 0)
        self.assertEqual(len(report["top"]), 5)

    def is_sanitized(self):
        with open(JOB, "rb") as file:
            return b"__asan_init" in file.read()

    def assert_ends_at_once(self, arguments, **keywords):
        """Both signals end a run that waits for its beginning: it succeeds, with an empty report and nothing else."""
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                before = set(os.listdir(self.folder.name))
                job = subprocess.Popen([JOB, *arguments, "--report", self.report, "--write-orders", self.path("copy")],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords)
                self.addCleanup(job.kill)
                self.wait_until_it_waits(job)
                self.assertEqual(set(os.listdir(self.folder.name)), before)
                began = time.monotonic()
                job.send_signal(number)
                output, errors = job.communicate(timeout=TIMEOUT)
                self.assertLess(time.monotonic() - began, 5)
                self.assertEqual((job.returncode, errors), (0, b""))
                self.assertIn(b"interrupted", output)
                self.assertEqual(self.read_report()["lines"], 0)
                os.remove(self.report)
                self.assertEqual(set(os.listdir(self.folder.name)), before)

    def wait_until_it_waits(self, job):
        """Until the job hears signals and has used no processor time for a while: it waits for something."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.wait_for_handler(job, number)
        quiet, used = 0, None
        while quiet < 5:
            with open(f"/proc/{job.pid}/stat", encoding="ascii") as file:
                now = file.read().rsplit(")", 1)[1].split()[11:13]
            quiet = quiet + 1 if now == used else 0
            used = now
            time.sleep(0.1)

    def test_a_signal_while_the_header_is_awaited_ends_at_once(self):
        reading, writing = os.pipe()
        self.assert_ends_at_once(["--input", "-"], stdin=reading)
        os.write(writing, b"\x28\xb5\x2f")  # packed, perhaps
        self.assert_ends_at_once(["--input", "-"], stdin=reading)
        os.close(reading)
        os.close(writing)
        self.assert_ends_at_once(["--input", self.pipe()], stdin=subprocess.DEVNULL)  # nobody writes to it

    def test_a_signal_while_the_topics_are_made_ends_at_once(self):
        with socket.create_server(("localhost", 0)) as silent:
            brokers = "localhost:%d" % silent.getsockname()[1]
            self.assert_ends_at_once(["--generate", "10", "--brokers", brokers], stdin=subprocess.DEVNULL)
        self.assert_ends_at_once(["--generate", "10", "--brokers", "localhost:9"], stdin=subprocess.DEVNULL)

    def test_a_signal_that_comes_first_is_not_lost(self):
        for delay in range(0, 100, 20):  # milliseconds: into each phase of the beginning
            with self.subTest(delay):
                job = subprocess.Popen([JOB, "--report", self.report], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
                self.addCleanup(job.kill)
                self.wait_for_handler(job, signal.SIGTERM)
                time.sleep(delay / 1000)
                job.send_signal(signal.SIGTERM)
                errors = job.communicate(timeout=TIMEOUT)[1]
                self.assertEqual(job.returncode, 0, errors)
                self.assertLess(self.read_report()["lines"], 541909)

    def test_a_signal_is_heard_though_nobody_reads_the_output(self):
        reading, writing = os.pipe()
        size = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
        os.write(writing, b"x" * size)  # full: the progress has no room
        job = subprocess.Popen([JOB, "--generate", "3000000", "--report", self.report], stdin=subprocess.DEVNULL,
                               stdout=writing, stderr=subprocess.PIPE)
        self.addCleanup(job.kill)
        os.close(writing)
        time.sleep(4)  # a plain line is due after two seconds
        job.send_signal(signal.SIGTERM)
        self.assertTrue(select.select([job.stderr], [], [], 30)[0], "the signal was not heard")
        shown = b""
        while block := os.read(reading, 65536):
            shown += block
        os.close(reading)
        self.assertEqual(job.wait(timeout=TIMEOUT), 0)
        self.assertIn(b"asked to stop", job.communicate()[1])
        self.assertIn(b"Orders per customer (interrupted", shown[size:])
        self.assertGreater(self.read_report()["lines"], 0)

    def wait_for_handler(self, job, number):
        caught = 0
        while not caught >> (number - 1) & 1:
            self.assertIsNone(job.poll(), "the job ended by itself")
            time.sleep(0.001)
            with open(f"/proc/{job.pid}/status", encoding="ascii") as file:
                caught = int(next(line for line in file if line.startswith("SigCgt")).split()[1], 16)

    def test_a_second_signal_ends_at_once_with_code_1_and_leaves_no_file(self):
        job = self.stopped_while_the_brokers_are_down()
        self.assertTrue(select.select([job.stderr], [], [], TIMEOUT)[0])
        job.send_signal(signal.SIGTERM)
        job.communicate(timeout=5)
        self.assertEqual(job.returncode, 1)
        self.assertEqual(os.listdir(self.folder.name), [])
