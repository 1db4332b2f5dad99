# SPDX-License-Identifier: Apache-2.0
"""What tests of the orders job have in common: each runs it as a user does, in a folder of its own. JOB and ORDERS.csv.zst are the first
two arguments of the program that imports this."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
JOB, ORDERS = sys.argv[1], sys.argv[2]
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
TIMEOUT = 240  # far above what any run takes


class Job(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.report = self.path("report.json")

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, text):
        with open(self.path(name), "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return self.path(name)

    def pipe(self):
        if not os.path.exists(self.path("pipe")):
            os.mkfifo(self.path("pipe"))
        return self.path("pipe")

    def run_job(self, *arguments, expect=0, **keywords):
        run = subprocess.run([JOB, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             timeout=TIMEOUT, **keywords)
        run.stdout, run.stderr = run.stdout.decode(errors="replace"), run.stderr.decode(errors="replace")
        self.assertEqual(run.returncode, expect, f"{arguments}\n{run.stdout}\n{run.stderr}")
        return run

    def read_report(self):
        with open(self.report, encoding="utf-8") as file:
            return json.load(file)

    def assert_recomputed(self, orders, report=None):
        checked = subprocess.run([sys.executable, os.path.join(HERE, "recompute.py"), orders, report or self.report],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT)
        self.assertEqual(checked.returncode, 0, checked.stdout.decode())
