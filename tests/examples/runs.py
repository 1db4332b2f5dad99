# SPDX-License-Identifier: Apache-2.0
"""Runs an example program: it must exit with 0 and print the lines that show what it is about, in this order.

usage: runs.py PROGRAM REGEX…
"""
import re
import subprocess
import sys


def main():
    program, *expected = sys.argv[1:]
    run = subprocess.run([program], capture_output=True, text=True)
    print(run.stdout, run.stderr, sep="")
    if run.returncode != 0:
        sys.exit(f"exit code {run.returncode}")
    lines = iter(run.stdout.splitlines())
    for line in expected:
        if not any(re.fullmatch(line, printed) for printed in lines):
            sys.exit(f"no line {line}, or not in its place")


main()
