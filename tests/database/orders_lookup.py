#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The orders job looks segments up in a real PostgreSQL server, which hangs and is killed meanwhile.

usage: orders_lookup.py JOB TEST_DATABASE.sh FOLDER RECOMPUTE.py
FOLDER has a server that runs; without one the exit code is 77.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

JOB, STARTER, FOLDER, RECOMPUTE = sys.argv[1:]
TIMEOUT = 240


def run_job(folder, dsn, *arguments, meanwhile=lambda: None):
    """Its report, after its counts were recomputed."""
    orders, report = os.path.join(folder, "orders.csv"), os.path.join(folder, "report.json")
    job = subprocess.Popen([JOB, "--lookup", "postgres:" + dsn, "--write-orders", orders, "--report", report, "--quiet", *arguments])
    try:
        meanwhile()
        code = job.wait(TIMEOUT)
    finally:
        job.kill()
    assert code == 0, f"the job ended with {code}"
    subprocess.run([sys.executable, RECOMPUTE, orders, report], check=True, timeout=TIMEOUT)
    with open(report, encoding="utf-8") as file:
        return json.load(file)


def starter(*arguments):
    subprocess.run(["sh", STARTER, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=120)


def dsn_of(folder):
    with open(os.path.join(folder, "socket_dsn"), encoding="utf-8") as file:
        return file.read().strip()


def main():
    if not os.path.exists(os.path.join(FOLDER, "socket_dsn")):
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        server = os.path.join(folder, "server")
        starter("start", "--copy-of", FOLDER, "--with", str(os.getpid()), server)
        try:
            dsn = dsn_of(server)
            first = run_job(folder, dsn, "--generate", "3000", "--customers", "300")
            assert first["lookup"]["database"] == "postgres"
            assert first["lookup"]["found"] + first["lookup"]["unknown"] == first["valid"]
            subprocess.run(["psql", "-q", dsn, "-c", "UPDATE customer_segments SET segment = 'mine'; "
                            "INSERT INTO customer_segments SELECT n::text, 'mine' FROM generate_series(10000, 19999) n ON CONFLICT DO NOTHING"],
                           check=True, timeout=60)

            def hang_and_kill_and_restart():
                time.sleep(2)
                starter("pause", server)
                time.sleep(7)  # longer than all tries of a look-up may last
                starter("resume", server)
                time.sleep(1)
                starter("kill", server)
                time.sleep(2)
                starter("restart", server)

            second = run_job(folder, dsn, "--generate", "100000", "--customers", "3000", meanwhile=hang_and_kill_and_restart)
            lookup = second["lookup"]
            print(json.dumps(lookup))
            assert [each["segment"] for each in lookup["segments"]] == ["mine"], "a table that is there stays as it is"
            assert lookup["unknown"] == 0 and lookup["found"] == second["valid"]
            assert lookup["breaker"]["state"] == "closed" and lookup["breaker"]["opened"] >= 1
            assert lookup["connections"]["failed"] >= 1
            assert second["breaker"]["opened"] == 0
        finally:
            starter("remove", server)


main()
