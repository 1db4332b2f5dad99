# SPDX-License-Identifier: Apache-2.0
"""Self-test of the build target velostream_header_check: in a small project made with velostream_library() it must pass over a header
that compiles alone and fail on one that does not, naming it."""
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = """cmake_minimum_required(VERSION 3.25)
project(planted LANGUAGES CXX)
list(APPEND CMAKE_MODULE_PATH "{source}/cmake")
set(VELOSTREAM_INSTALL OFF)
include(VelostreamSettings)
include(VelostreamDependencies)
include(VelostreamPrograms)
include(VelostreamLibrary)
velostream_library(planted FOLDERS planted)
"""
GOOD = "#pragma once\n#include <string>\ninline std::string good() { return {}; }\n"
NOT_ALONE = "#pragma once\ninline std::string not_alone() { return {}; }\n"


def build(folder):
    done = subprocess.run(
        ["cmake", "--build", folder / "build", "--target", "velostream_header_check"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    return done.returncode, done.stdout


def main(source, generator, compiler):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        headers = folder / "include/velostream/planted"
        headers.mkdir(parents=True)
        (folder / "CMakeLists.txt").write_text(PROJECT.format(source=source))
        (headers / "good.hpp").write_text(GOOD)
        configured = subprocess.run(
            ["cmake", "-G", generator, "-S", folder, "-B", folder / "build", f"-DCMAKE_CXX_COMPILER={compiler}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        if configured.returncode:
            return f"the planted project does not configure:\n{configured.stdout}"
        code, output = build(folder)
        if code:
            return f"a header that compiles alone was refused:\n{output}"
        (headers / "not_alone.hpp").write_text(NOT_ALONE)
        code, output = build(folder)
        if code == 0 or "not_alone.hpp" not in output:
            return f"a header that does not compile alone was not found:\n{output}"
    print("the planted header was found")
    return 0


sys.exit(main(*sys.argv[1:]))
