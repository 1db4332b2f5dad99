# SPDX-License-Identifier: Apache-2.0
"""What becomes of sends, dead letters and reading while a broker hangs: see ../programs/hung_broker_client.cpp.

usage: hung.py CLIENT TEST_BROKER.sh

It starts a broker of its own, stops it (SIGSTOP) while the client sends, and lets it go on.
"""
import collections
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

CLIENT, STARTER = sys.argv[1:3]
SKIPPED, TIMEOUT = 77, 60
AT_MOST_LATE_MS = 200  # after a plain timer: ten times the goal


def main():
    if not shutil.which("kcat"):
        print("SKIPPED: kcat is missing (Debian package: kcat)")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        cluster = str(Path(folder) / "cluster")
        started = subprocess.run(["sh", STARTER, "start", "--with-caller", cluster], timeout=2 * TIMEOUT, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True)
        if started.returncode == SKIPPED:
            print("SKIPPED:", started.stdout)
            return SKIPPED
        assert started.returncode == 0, started.stdout
        try:
            address = (Path(cluster) / "address").read_text().strip()
            seen = run_client(address, cluster, str(Path(folder) / "spool"))
            check(address, seen)
        finally:
            subprocess.run(["sh", STARTER, "remove", cluster], timeout=TIMEOUT, check=True)
    return 0


def run_client(address, cluster, spool):
    client = subprocess.Popen([CLIENT, address, "hung", spool], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(TIMEOUT, client.kill)
    watchdog.start()
    try:
        for step, command in (("ready", "pause"), ("hung", "resume")):
            line = client.stdout.readline().strip()
            assert line == step, f"{line!r} instead of {step!r}"
            subprocess.run(["sh", STARTER, command, cluster], timeout=TIMEOUT, check=True)
            client.stdin.write("go on\n")
            client.stdin.flush()
        last = client.stdout.read()
        assert client.wait() == 0, f"exit code {client.returncode}"
        print(last.strip())
        return json.loads(last)
    finally:
        watchdog.cancel()
        client.kill()
        client.wait()
        subprocess.run(["sh", STARTER, "resume", cluster], timeout=TIMEOUT, check=True)


def read(address, topic):
    with subprocess.Popen(["kcat", "-q", "-b", address, "-C", "-t", topic, "-o", "beginning", "-e", "-J"], stdout=subprocess.PIPE) as kcat:
        records = [json.loads(line) for line in kcat.stdout]
    assert kcat.returncode == 0
    return records


def check(address, seen):
    names = {when: {f"{when}-{number}" for number in range(seen["records"])} for when in ("before", "during", "after")}
    assert seen["errors_are_clear"], "a send ended with another error than that nobody knows, or that it is too late"
    assert seen["latest_ms"] <= AT_MOST_LATE_MS, "a send ended long after its deadline"
    assert seen["opened"] >= 1 and seen["refused"], "the circuit did not open"
    assert (seen["spooled"], seen["delivered"], seen["lost"]) == (seen["records"], 0, 0), "not all dead letters went into the spool"
    assert seen["relayed"] == seen["records"], "the relay did not deliver each of them once"

    copies = collections.Counter(record["payload"] for record in read(address, "hung-in"))
    assert all(copies[name] == 1 for name in names["before"]), "records from before are missing or twice"
    assert all(copies[name] >= 1 for name in names["after"]), "records from after are missing"
    assert sum(copies[name] for name in names["after"]) <= seen["records"] + seen["unknown_after"], "more copies than tries"
    assert all(copies[name] <= 1 for name in names["during"]), "a send wrote its record twice"
    assert set(copies) <= set.union(*names.values()), "what the circuit refused was written"

    letters = read(address, "hung-dead-letters")
    buried = collections.Counter(letter["payload"] for letter in letters)
    assert set(buried) == names["during"], f"missing dead letters: {sorted(names['during'] - set(buried))[:5]}"
    # A delivery that nobody acknowledged may have been written. Its letter comes again, with the same id.
    assert len(letters) <= seen["records"] + seen["failed_deliveries"], "more dead letters than deliveries"
    ids = collections.defaultdict(set)
    for letter in letters:
        ids[letter["payload"]].add(dict(zip(letter["headers"][::2], letter["headers"][1::2]))["x-dlq-id"])
    assert all(len(each) == 1 for each in ids.values()), "one record, two dead letters"
    written = sum(copies[name] for name in names["during"])
    print(f"{written} of {seen['records']} records whose sends had failed were written; {len(letters)} dead letters of {len(buried)} records; none missing")


if __name__ == "__main__":
    sys.exit(main())
