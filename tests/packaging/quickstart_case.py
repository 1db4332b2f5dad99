# SPDX-License-Identifier: Apache-2.0
"""A project and tools that are not there, for quickstart.py.

The script is copied into an empty project. The commands that it calls stand in a folder of their own, which is all of PATH: the ones
that only look are real, cmake, ctest, apt-get and the like are stand-ins that write down how they were called.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

REAL = "sh cat ln touch sed grep date dirname mkdir rm cksum expr env nproc tr getconf printf".split()
HEADERS = {
    "librdkafka/rdkafka.h": "librdkafka-dev", "postgresql/libpq-fe.h": "libpq-dev", "sqlite3.h": "libsqlite3-dev",
    "fmt/format.h": "libfmt-dev", "spdlog/spdlog.h": "libspdlog-dev", "zstd.h": "libzstd-dev", "CLI/CLI.hpp": "libcli11-dev",
    "nlohmann/json.hpp": "nlohmann-json3-dev", "gtest/gtest.h": "libgtest-dev",
    "gmock/gmock.h": "libgmock-dev", "benchmark/benchmark.h": "libbenchmark-dev",
}  # fmt: skip
CMAKE = """
case $1 in
    --version) echo "cmake version ${CMAKE_VERSION:-3.25.1}"; exit ;;
    --fresh) [ "$3" = "$5/cmake/init/release.cmake" ] && [ -d "$5/cmake" ] && [ "$7" = "$BUILD" ] || exit 9
        mkdir -p "$BUILD"; for word; do case $word in *_TESTS=* | *_BENCHMARKS=*) echo "${word%=*}:BOOL=${word#*=}";; esac; done \
        > "$BUILD/CMakeCache.txt" ;;
esac
"""
APT_GET = """
case "$*" in
    *--simulate*--no-remove* | *--no-remove*--simulate*)
        [ -z "${CONFLICT:-}" ] || { echo "E: Packages need to be removed but remove is disabled."; exit 100; } ;;
    *--simulate*) echo "Remv libboost1.74-dev [1.74.0]"; echo "Inst libboost1.81-dev" ;;
    *install*)
        [ "${DEBIAN_FRONTEND:-}" = noninteractive ] || { echo "E: asks, and nobody answers"; exit 100; }
        [ -z "${STALE:-}" ] || [ -e "$TOOLS/lists" ] || { echo "E: 404 Not Found"; exit 100; }
        for word; do case $word in
        g++) ln -s "$(command -v true_compiler)" "$TOOLS/c++" ;;
        openjdk*) ln -s "$(command -v true_compiler)" "$TOOLS/java" ;;
        postgresql) ln -s "$(command -v true_compiler)" "$TOOLS/postgres"
            cat "$VELOSTREAM_SYSTEM_ETC"/postgresql-common/createcluster.d/*.conf >> "$CALLS" ;;
        maven) [ -n "${NO_MAVEN:-}" ] || ln -s "$(command -v true_compiler)" "$TOOLS/mvn" ;;
    esac; done ;;
    *update) touch "$TOOLS/lists" ;;
esac
"""

TEST_BROKER = """
case $1 in
    check) [ -d "${BUILD%/*}/kafka" ] || exit 77 ;;
    fetch) [ -z "${OFFLINE:-}" ] || { echo "Unknown host"; exit 1; }; mkdir -p "${BUILD%/*}/kafka" ;;
esac
"""

TEST_DATABASE = """
case $1 in
    check) command -v postgres > /dev/null || exit 77 ;;
esac
"""


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="quick start "))
        self.addCleanup(shutil.rmtree, self.folder)
        self.root = self.folder / "project"
        (self.root / "cmake").mkdir(parents=True)
        shutil.copy(sys.argv[1], self.root / "cmake/quickstart.sh")
        self.build = self.root / ".build/release"
        self.tools = self.folder / "tools"
        self.tools.mkdir()
        for name in REAL:
            if shutil.which(name):
                (self.tools / name).symlink_to(shutil.which(name))
        self.calls = self.folder / "calls"
        self.calls.touch()
        self.stand_in("cmake", CMAKE)
        self.stand_in("ctest", 'echo "100% tests passed, 0 tests failed out of 3"')
        for name in ("ninja", "c++", "true_compiler", "pkg-config", "python3", "zstd", "java", "mvn", "kcat", "postgres"):
            self.stand_in(name)
        self.stand_in("test_broker.sh", TEST_BROKER, self.root / "cmake")
        self.stand_in("test_database.sh", TEST_DATABASE, self.root / "cmake")
        self.environment = {}
        # A system that has every header: the packages of the machine that runs the test do not matter.
        self.prefix = self.folder / "a system"
        self.etc = self.prefix / "etc"
        for header in HEADERS:
            self.header(header)
        self.boost(108100)

    def header(self, name, text=""):
        path = self.prefix / "include" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def boost(self, number):
        self.header("boost/version.hpp", f"#define BOOST_VERSION {number}\n")

    def stand_in(self, name, script="", folder=None):
        path = (folder or self.tools) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a link leads to the real one
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> "$CALLS"\n{script}\n')
        path.chmod(0o755)

    def program(self, name, script=""):
        self.stand_in(name, script, self.build / "bin")

    def run_script(self, *arguments, code=0, cwd=None, script=None, given=""):
        done = subprocess.run(
            ["sh", script or self.root / "cmake/quickstart.sh", *arguments], env=self.all_environment(), cwd=cwd or self.folder,
            input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.assertEqual(done.returncode, code, done.stdout)
        return done.stdout

    def run_on_terminal(self, *arguments, code=0):
        """What the terminal was sent."""
        ours, its = os.openpty()
        with subprocess.Popen(
            ["sh", self.root / "cmake/quickstart.sh", *arguments], env=self.all_environment(), cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=its, stderr=its,
        ) as running:  # fmt: skip
            os.close(its)
            screen = b""
            while part := self.read_terminal(ours):
                screen += part
        os.close(ours)
        self.assertEqual(running.returncode, code, screen)
        return screen.decode()

    @staticmethod
    def read_terminal(terminal):
        try:
            return os.read(terminal, 4096)
        except OSError:  # the last one who had the other end has closed it
            return b""

    def all_environment(self):
        return {
            "PATH": str(self.tools), "CALLS": str(self.calls), "BUILD": str(self.build), "TOOLS": str(self.tools),
            "VELOSTREAM_SYSTEM_PREFIXES": str(self.prefix), "VELOSTREAM_SYSTEM_ETC": str(self.etc), **self.environment,
        }  # fmt: skip

    def configurations(self):
        return [call for call in self.called() if "--fresh" in call]

    def called(self):
        return [line for line in self.calls.read_text().splitlines() if not line.startswith("cmake --version")]
