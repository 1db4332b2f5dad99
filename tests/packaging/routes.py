# SPDX-License-Identifier: Apache-2.0
"""The ways in which another project gets at velostream, each tried with the small project consumer/.

usage: routes.py ROUTE SETTINGS.json       SETTINGS.json is written by CMake and says where everything is

Every route works in a folder of its own whose name holds a space; `install` comes first and makes the prefix that the others use.
"""
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path


class Failure(Exception):
    pass


class Settings:
    def __init__(self, path):
        values = json.loads(Path(path).read_text())
        self.source = Path(values["source"])
        self.build = Path(values["build"])
        self.generator = values["generator"]
        self.compiler = values["compiler"]
        self.launcher = values["launcher"]
        self.flags = values["flags"]
        self.version = values["version"]
        self.libdir = values["libdir"]
        self.work = self.build / "packaging"
        self.prefix = self.work / "moved prefix"
        self.consumer = self.source / "tests/packaging/consumer"
        built = values["libraries"].split(";")
        self.components = [name for name in built if (self.consumer / f"{name}.cpp").exists()]


def run(*command, env=None, expect_failure=False):
    """Runs a command and returns what it printed; a Failure with all of it if the exit code is not the expected kind."""
    done = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(env or {})}
    )
    if (done.returncode != 0) != expect_failure:
        raise Failure(f"exit code {done.returncode} of {shlex.join(map(str, command))}:\n{done.stdout}")
    return done.stdout


def fresh(path):
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def configure(at, folder, *definitions, expect_failure=False):
    return run(
        "cmake", "-G", at.generator, "-S", at.consumer, "-B", folder, f"-DCMAKE_CXX_COMPILER={at.compiler}",
        f"-DCMAKE_CXX_COMPILER_LAUNCHER={at.launcher}", f"-DCMAKE_CXX_FLAGS={at.flags}", "-DCMAKE_BUILD_TYPE=Release", *definitions,
        expect_failure=expect_failure,
    )  # fmt: skip


def check_version(at, program):
    printed = run(program).strip()
    if printed != at.version:
        raise Failure(f"{program} printed {printed!r}, not {at.version!r}")


def build_and_run(at, folder, components):
    run("cmake", "--build", folder, "--target", *[f"use_{name}" for name in components])
    for name in components:
        check_version(at, folder / f"use_{name}")


def install(at):
    """Installs into one prefix and moves it: whatever remembers the first place breaks in every other route."""
    first = fresh(at.work / "first prefix")
    run("cmake", "--install", at.build, "--prefix", first)
    shutil.rmtree(at.prefix, ignore_errors=True)
    first.rename(at.prefix)
    for path in at.prefix.rglob("*"):
        if path.suffix in (".cmake", ".pc") and (str(at.work) in path.read_text() or str(at.source) in path.read_text()):
            raise Failure(f"{path} names a folder of the build")


def find_package(at):
    folder = fresh(at.work / "find package")
    configure(at, folder, f"-DCMAKE_PREFIX_PATH={at.prefix}", f"-DCOMPONENTS={';'.join(at.components)}")
    build_and_run(at, folder, at.components)


def subdirectory(at):
    folder = fresh(at.work / "sub directory")
    configure(at, folder, f"-DVELOSTREAM_SOURCE={at.source}", f"-DCOMPONENTS={';'.join(at.components)}")
    build_and_run(at, folder, at.components)

    cache = (folder / "CMakeCache.txt").read_text()
    for part in ("TESTS", "BENCHMARKS", "EXAMPLES", "TOOLS", "WARNINGS_AS_ERRORS"):
        option = f"VELOSTREAM_WARNINGS_AS_ERRORS" if part == "WARNINGS_AS_ERRORS" else f"VELOSTREAM_BUILD_{part}"
        if f"{option}:BOOL=OFF" not in cache:
            raise Failure(f"{option} is not OFF in somebody else's project")
    everything = run("cmake", "--build", folder, "--target", "help")
    for target in ("orders_pipeline", "unit", "velostream_bench_report", "gtest"):
        if any(word == target for line in everything.splitlines() for word in line.replace(":", " ").split()):
            raise Failure(f"somebody else's project got our target {target}")


def pkg_config(at):
    """One call of the compiler for each component, with nothing but what pkg-config prints."""
    folder = fresh(at.work / "pkg config")
    env = {"PKG_CONFIG_PATH": str(at.prefix / at.libdir / "pkgconfig")}
    for name in at.components:
        printed = run("pkg-config", "--cflags", "--libs", f"velostream-{name} >= {at.version}", env=env)
        source, program = at.consumer / f"{name}.cpp", folder / f"use_{name}"
        run(at.compiler, "-std=c++20", *shlex.split(at.flags), source, "-o", program, *shlex.split(printed))
        check_version(at, program)
        stated = run("pkg-config", "--modversion", f"velostream-{name}", env=env).strip()
        if stated != at.version:
            raise Failure(f"velostream-{name}.pc states version {stated}")


def unknown_component(at):
    folder = fresh(at.work / "unknown component")
    printed = configure(at, folder, f"-DCMAKE_PREFIX_PATH={at.prefix}", "-DCOMPONENTS=core;warp_drive", expect_failure=True)
    for wanted in ('no component "warp_drive"', "Installed components:", "core"):
        if wanted not in " ".join(printed.split()):
            raise Failure(f"the message does not say {wanted!r}:\n{printed}")


def other_version(at):
    """docs/versioning.md: before 1.0 another minor version is refused."""
    folder = fresh(at.work / "other version")
    printed = configure(at, folder, f"-DCMAKE_PREFIX_PATH={at.prefix}", "-DWANTED_VERSION=0.0", expect_failure=True)
    if f"version: {at.version}" not in printed:
        raise Failure(f"the message does not name the version that is there:\n{printed}")


def configure_ours(at, folder, *definitions, expect_failure=False):
    printed = run(
        "cmake", "--fresh", "-G", at.generator, "-S", at.source, "-B", folder, f"-DCMAKE_CXX_COMPILER={at.compiler}", *definitions,
        expect_failure=expect_failure,
    )  # fmt: skip
    return " ".join(printed.split())  # CMake breaks its messages into lines


def missing_package(at):
    """Without a package the configuration ends naming Debian's; what is optional is left out instead, and the summary says so."""
    folder = fresh(at.work / "missing package")
    debian = {
        "Boost": "libboost1.81-dev", "RdKafka": "librdkafka-dev", "fmt": "libfmt-dev", "spdlog": "libspdlog-dev", "CLI11": "libcli11-dev",
        "nlohmann_json": "nlohmann-json3-dev", "zstd": "libzstd-dev", "GTest": "libgtest-dev libgmock-dev", "benchmark": "libbenchmark-dev",
    }  # fmt: skip
    for package, name in debian.items():
        printed = configure_ours(at, folder, f"-DCMAKE_DISABLE_FIND_PACKAGE_{package}=ON", expect_failure=True)
        if f"(Debian package: {name})" not in printed:
            raise Failure(f"without {package} the message does not name {name}:\n{printed}")

    without = ("-DCMAKE_DISABLE_FIND_PACKAGE_RdKafka=ON", "-DVELOSTREAM_BUILD_EXAMPLES=OFF", "-DVELOSTREAM_BUILD_BENCHMARKS=OFF")
    printed = configure_ours(at, folder, *without, "-DVELOSTREAM_KAFKA=AUTO", "-DCMAKE_DISABLE_FIND_PACKAGE_SQLite3=ON")
    for left_out in ("kafka: RdKafka 2.0.2 or newer is needed (Debian package: librdkafka-dev)",
                     "sqlite: SQLite3 3.37 or newer is needed (Debian package: libsqlite3-dev)"):  # fmt: skip
        if f"not built: {left_out}" not in printed:
            raise Failure(f"the summary does not say why a library is left out ({left_out}):\n{printed}")
    printed = configure_ours(at, folder, *without, "-DVELOSTREAM_KAFKA=OFF")
    if "not built: kafka: switched off by VELOSTREAM_KAFKA" not in printed:
        raise Failure(f"the summary does not say that kafka is switched off:\n{printed}")

    printed = configure_ours(at, folder, "-DCMAKE_DISABLE_FIND_PACKAGE_PostgreSQL=ON")
    if "not built: postgres: PostgreSQL 14 or newer is needed (Debian package: libpq-dev)" not in printed:
        raise Failure(f"the summary does not say why postgres is left out:\n{printed}")


ROUTES = [install, find_package, subdirectory, pkg_config, unknown_component, other_version, missing_package]


def main():
    routes = {route.__name__: route for route in ROUTES}
    if len(sys.argv) != 3 or sys.argv[1] not in routes:
        sys.exit(__doc__)
    at = Settings(sys.argv[2])
    try:
        routes[sys.argv[1]](at)
    except Failure as failure:
        sys.exit(str(failure))
    print(f"{sys.argv[1]}: {', '.join(at.components)}")


main()
