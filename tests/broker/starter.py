# SPDX-License-Identifier: Apache-2.0
"""cmake/test_broker.sh: what it does with brokers, and when they end.

usage: starter.py STARTER.sh [TEST...]
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

STARTER = None
SKIPPED = 77
TIMEOUT = 90  # far above what any command takes


def run(*arguments, starter=None, environment=None):
    return subprocess.run(["sh", starter or STARTER, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, env=environment)


def eventually(condition):
    until = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


class Case(unittest.TestCase):
    def setUp(self):
        self.parent = Path(tempfile.mkdtemp(prefix="a broker "))
        self.folder = self.parent / "cluster"
        self.addCleanup(shutil.rmtree, self.parent)

    def command(self, *arguments, code=0, **keywords):
        done = run(*arguments, **keywords)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout}")
        return done.stdout


class Usage(Case):
    def test_wrong_arguments_are_one_line_and_exit_code_2(self):
        for arguments in ([], ["fly"], ["fetch", "x"], ["start"], ["kill"], ["start", self.folder, "many"], ["start", self.folder, "0"],
                          ["pause", self.folder, "-1"], ["tool"]):
            printed = self.command(*arguments, code=2)
            self.assertEqual(len(printed.splitlines()), 1, printed)
        self.assertFalse(self.folder.exists())

    def test_a_folder_of_somebody_else_is_left_alone(self):
        self.folder.mkdir()
        (self.folder / "thesis").touch()
        for command in ("start", "remove", "kill"):
            self.assertIn("no brokers were started in", self.command(command, self.folder, code=1))
        self.assertTrue((self.folder / "thesis").exists())

    def test_without_kafka_or_java_a_start_says_so_with_the_exit_code_of_a_skipped_test(self):
        project = self.parent / "project/cmake"
        project.mkdir(parents=True)
        for name in ("test_broker.sh", "test_broker.pom.xml"):
            shutil.copy(Path(STARTER).parent / name, project)
        tools = self.parent / "tools"
        tools.mkdir()
        for name in ("sh", "dirname", "cmp"):
            (tools / name).symlink_to(shutil.which(name))
        alone = {"starter": project / "test_broker.sh", "environment": {"PATH": str(tools)}}
        self.assertIn("Java is missing", self.command("start", self.folder, code=SKIPPED, **alone))
        (tools / "java").symlink_to("/bin/true")
        self.assertIn("Kafka is missing", self.command("check", code=SKIPPED, **alone))
        self.assertIn("Maven is missing", self.command("fetch", code=1, **alone))


class Brokers(Case):
    def start(self, *arguments):
        self.addCleanup(run, "remove", self.folder)
        self.address = self.command("start", self.folder, *arguments).strip()

    def answers(self, *options):
        """Whether all brokers that the cluster knows of are there, and how many it knows of."""
        listed = subprocess.run(["kcat", "-b", self.address, *options, "-m", "1", "-L"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                timeout=TIMEOUT)
        return sum(line.startswith("  broker ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else None

    def produce(self, text):
        subprocess.run(["kcat", "-b", self.address, "-P", "-t", "kept"], input=text, text=True, timeout=TIMEOUT, check=True)

    def consume(self):
        return subprocess.run(["kcat", "-q", "-b", self.address, "-C", "-t", "kept", "-e", "-o", "beginning"], stdout=subprocess.PIPE, text=True,
                              timeout=TIMEOUT, check=True).stdout

    def test_a_broker_can_be_killed_restarted_paused_resumed_and_stopped(self):
        self.start()
        self.assertEqual((self.folder / "address").read_text().strip(), self.address)
        self.produce("a record\n")
        for command, undo in (("kill", "restart"), ("pause", "resume")):
            self.command(command, self.folder)
            self.assertIsNone(self.answers())
            self.command(undo, self.folder)
            self.assertEqual(self.consume(), "a record\n")
        self.command("stop", self.folder)
        self.assertIsNone(self.answers())
        self.assertTrue((self.folder / "0/data/.kafka_cleanshutdown").exists())

    def test_secured_brokers_ask_for_passwords_and_show_a_certificate(self):
        self.addCleanup(run, "remove", self.folder)
        self.command("start", "--secured", self.folder)
        for name, properties in (("sasl", ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=PLAIN", "sasl.username=alice",
                                           "sasl.password=alice-secret"]),
                                 ("tls", ["security.protocol=SSL", f"ssl.ca.location={self.folder / 'ca.pem'}"])):
            self.address = (self.folder / f"{name}_address").read_text().strip()
            options = [word for each in properties for word in ("-X", each)]
            self.assertEqual(self.answers(*options), 1, name)
            self.assertIsNone(self.answers(*options[:-2], "-X", "socket.connection.setup.timeout.ms=1000"), name)

    def test_every_thread_of_a_paused_broker_stands_still(self):
        self.start()
        process = Path("/proc", (self.folder / "0/pid").read_text().strip())
        for _ in range(20):
            self.command("pause", self.folder)
            states = {status.read_text().split("State:")[1].split()[0] for status in process.glob("task/*/status")}
            self.assertEqual(states, {"T"})
            self.command("resume", self.folder)

    def test_three_brokers_are_one_cluster_that_goes_on_without_one_of_them(self):
        self.start(3)
        self.assertTrue(eventually(lambda: self.answers() == 3))  # each broker hears of the others a little later
        self.command("kill", self.folder, 1)
        self.produce("a record\n")
        self.assertEqual(self.consume(), "a record\n")
        self.assertIn("there is no broker 3", self.command("kill", self.folder, 3, code=1))
        self.command("pause", self.folder, 2)
        self.command("remove", self.folder)
        self.assertFalse(self.folder.exists())
        self.assertIsNone(self.answers())

    def test_a_broker_with_its_caller_ends_when_the_caller_is_killed(self):
        caller = subprocess.Popen([sys.executable, "-c", "import subprocess, sys, time; subprocess.run(sys.argv[1:], check=True); "
                                   "print(flush=True); time.sleep(600)", "sh", STARTER, "start", "--with-caller", self.folder],
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(caller.communicate)
        self.addCleanup(caller.kill)
        self.address = caller.stdout.readline().strip()
        self.addCleanup(run, "remove", self.folder)
        self.assertEqual(self.answers(), 1)
        caller.send_signal(signal.SIGKILL)
        self.assertTrue(eventually(lambda: not self.folder.exists()))
        self.assertIsNone(self.answers())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    STARTER = os.path.abspath(sys.argv.pop(1))
    problem = run("check").stdout or (None if shutil.which("kcat") else "kcat is missing (Debian package: kcat)")
    if problem:
        print("SKIPPED:", problem)
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
