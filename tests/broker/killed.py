# SPDX-License-Identifier: Apache-2.0
"""Nothing is lost by a program that is killed: see ../programs/killed_copier.cpp, which copies a topic and makes dead letters of what is bad.

usage: killed.py COPIER TEST_BROKER.sh FOLDER [exactly-once]

FOLDER is where TEST_BROKER.sh has started a broker. It is killed at each of its points, then at random moments, VELOSTREAM_KILLS times in
all (default 10, or once for each point if those are more); half of the time its dead letters cannot reach their topic. Between two of them
the broker is killed and restarted.
Exactly-once: nothing is there twice, either, for a reader of what is committed.
"""
import collections
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COPIER, STARTER, FOLDER = sys.argv[1:4]
IS_EXACTLY_ONCE = sys.argv[4:] == ["exactly-once"]
SKIPPED, SIGKILL = 77, -9
SETTLED_WITHIN = 20  # seconds
POINTS = ("read", "sent", "acknowledged", "spooled", "stored", "committed")
TRANSACTION_POINTS = ("read", "sent", "written", "buried", "begun", "offsets", "offsets_sent", "committing", "committed", "aborting", "aborted")
KILLS = int(os.environ.get("VELOSTREAM_KILLS") or max(10, len(TRANSACTION_POINTS if IS_EXACTLY_ONCE else POINTS)))
TIMEOUT = 120 + 2 * KILLS  # seconds: what the killed ones have left is the last one's
NOBODY = "127.0.0.1:1"
PARTITIONS = 4
RECORDS_A_KILL = 400


def main():
    problem = reason_to_skip()
    if problem:
        print("SKIPPED:", problem)
        return SKIPPED
    seed = time.time_ns() % 2**32
    print("seed", seed)
    chance = random.Random(seed)
    address = (Path(FOLDER) / "address").read_text().strip()
    prefix = f"killed-{time.time_ns()}"
    with tempfile.TemporaryDirectory() as folder:
        spool = str(Path(folder) / "spool")
        make_topics(address, prefix)
        inputs = {partition: [] for partition in range(PARTITIONS)}
        kills = collections.Counter()
        for number in range(KILLS):
            if number == KILLS // 2:
                broker("kill")
                broker("restart")
            write(address, prefix, inputs, chance)
            kills[kill_once(address, prefix, spool, number, chance)] += 1
        write(address, prefix, inputs, chance)
        kill_two_in_a_row(command(address, prefix, spool, address), chance)
        run = subprocess.run(command(address, prefix, spool, address), timeout=TIMEOUT, stderr=subprocess.PIPE, text=True)
        assert run.returncode == 0, run
        print("killed:", dict(kills))
        if not IS_EXACTLY_ONCE:
            print("spool at the end:", sorted(path.name for path in Path(spool).iterdir()))
        # Who asks for fewer kills than there are points begins with any of them.
        missing = [point for point in points() if kills[point] == 0] if KILLS >= len(points()) else []
        assert not missing, f"never killed at {missing}"
    check(address, prefix, [value for values in inputs.values() for value in values])
    return 0


def points():
    return TRANSACTION_POINTS if IS_EXACTLY_ONCE else POINTS


def command(address, prefix, spool, letters_to):
    place = [address, prefix, str(PARTITIONS)]
    return [COPIER, "exactly-once", *place] if IS_EXACTLY_ONCE else [COPIER, "copy", *place, letters_to, spool]


def reason_to_skip():
    if not (Path(FOLDER) / "address").exists():
        return subprocess.run(["sh", STARTER, "check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout or "no broker"
    return None if shutil.which("kcat") else "kcat is missing (Debian package: kcat)"


def broker(command):
    subprocess.run(["sh", STARTER, command, FOLDER], timeout=TIMEOUT, check=True)


def make_topics(address, prefix):
    subprocess.run([COPIER, "make", address, prefix, str(PARTITIONS)], timeout=TIMEOUT, check=True)


def write(address, prefix, inputs, chance):
    """By partition, so that the offset of each is known."""
    for partition, values in inputs.items():
        first = len(values)
        values += [f"{'bad' if chance.random() < 0.2 else 'good'}-{partition}-{first + more}" for more in range(RECORDS_A_KILL // PARTITIONS)]
        text = "".join(f"key-{value}\t{value}\n" for value in values[first:])
        subprocess.run(["kcat", "-P", "-b", address, "-t", f"{prefix}-in", "-p", str(partition), "-K", "\t"], input=text.encode(),
                       timeout=TIMEOUT, check=True)


def kill_once(address, prefix, spool, number, chance):
    """Returns the point at which it was killed. Without the topic of its dead letters the copier has never done."""
    is_first_round = number < len(points()) and KILLS >= len(points())
    often = points() if IS_EXACTLY_ONCE else POINTS[:3]
    point = points()[number] if is_first_round else chance.choice(("any moment", *often))
    letters_to = NOBODY if point in ("spooled", "any moment") else address
    most = {"read": 250, "sent": 250, "acknowledged": 250, "written": 250, "spooled": 20, "buried": 20}.get(point, 2)
    if point in ("aborting", "aborted"):
        most = 1
    at = [] if point == "any moment" else [point, str(chance.randint(1, most))]
    process = subprocess.Popen([*command(address, prefix, spool, letters_to), *at], stderr=subprocess.PIPE)
    try:
        process.wait(timeout=chance.uniform(0.1, 4) if point == "any moment" else TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
    errors = process.communicate()[1].decode()
    if IS_EXACTLY_ONCE and point == "any moment" and process.returncode == 0:
        return "not at all: done before"
    assert process.returncode == SIGKILL, f"{point}: {process.returncode}, {errors}"
    return point


def kill_two_in_a_row(copier, chance):
    """The second one while it waits for the group to give up the first: the next one may have to share the partitions with it for a while."""
    first = subprocess.run([*copier, "read", "100"], timeout=TIMEOUT, check=False)
    assert first.returncode == SIGKILL, first
    with subprocess.Popen(copier) as second:
        try:
            second.wait(timeout=chance.uniform(0.1, 0.4))
        except subprocess.TimeoutExpired:
            second.kill()


def read(address, topic):
    with subprocess.Popen(["kcat", "-q", "-b", address, "-X", "isolation.level=read_committed", "-C", "-t", topic, "-o", "beginning", "-e", "-J"], stdout=subprocess.PIPE) as kcat:
        for line in kcat.stdout:
            yield json.loads(line)
    assert kcat.returncode == 0


def by_partition(values):
    numbers = collections.defaultdict(list)
    for value in values:
        partition, number = value.split("-")[1:]
        numbers[partition].append(int(number))
    return {partition: sorted(all_of) for partition, all_of in sorted(numbers.items())}


def explain(topic, partitions):
    """The batches in the log, with whose they are, and what ended the transactions."""
    for partition in partitions:
        for log in sorted(Path(FOLDER).glob(f"*/data/{topic}-{partition}/*.log")):
            dump = subprocess.run(["sh", STARTER, "tool", "kafka.tools.DumpLogSegments", "--print-data-log", "--files", str(log)],
                                  timeout=TIMEOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
            print(log, *(line[:300] for line in dump.splitlines() if line.startswith("baseOffset:") or "endTxnMarker" in line), sep="\n")


def check(address, prefix, all_inputs):
    good = {value for value in all_inputs if value.startswith("good")}
    bad = set(all_inputs) - good
    until = time.monotonic() + SETTLED_WITHIN
    while True: # a commit is answered before its markers are in the partitions, and readers wait for those
        copies = collections.Counter(record["payload"] for record in read(address, f"{prefix}-out"))
        letters = list(read(address, f"{prefix}-dead-letters"))
        buried = collections.Counter(record["payload"] for record in letters)
        if (set(copies) == good and set(buried) == bad) or not IS_EXACTLY_ONCE or time.monotonic() > until:
            break
        time.sleep(0.2)
    if set(copies) != good:
        explain(f"{prefix}-out", by_partition(good - set(copies)))
    assert set(copies) == good, f"missing {by_partition(good - set(copies))}, too many {by_partition(set(copies) - good)}"
    assert set(buried) == bad, f"missing {by_partition(bad - set(buried))}, too many {by_partition(set(buried) - bad)}"
    ids = {}
    for letter in letters:
        headers = dict(zip(letter["headers"][::2], letter["headers"][1::2]))
        assert letter["key"] == f"key-{letter['payload']}", letter
        partition, number = letter["payload"].split("-")[1:]
        assert (headers["__connect.errors.partition"], headers["__connect.errors.offset"]) == (partition, number), headers
        assert ids.setdefault(letter["payload"], headers["x-dlq-id"]) == headers["x-dlq-id"], headers
    assert len(set(ids.values())) == len(bad)
    again = sum(copies.values()) - len(good) + sum(buried.values()) - len(bad)
    assert not IS_EXACTLY_ONCE or again == 0, f"twice: {[value for value, times in (copies + buried).items() if times > 1][:5]}"
    print(f"{len(all_inputs)} records: {len(good)} copied, {len(bad)} dead letters, {again} of them again; none missing{', none twice' if again == 0 else ''}")


if __name__ == "__main__":
    sys.exit(main())
