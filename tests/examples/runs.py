# SPDX-License-Identifier: Apache-2.0
"""Runs an example program: it must exit with 0 and print the line that shows what it is about.

usage: runs.py PROGRAM REGEX
"""
import re
import subprocess
import sys


def main():
    program, expected = sys.argv[1:]
    run = subprocess.run([program], capture_output=True, text=True)
    print(run.stdout, run.stderr, sep="")
    if run.returncode != 0:
        sys.exit(f"exit code {run.returncode}")
    if not re.search(f"^{expected}$", run.stdout, re.MULTILINE):
        sys.exit(f"no line {expected}")


main()
