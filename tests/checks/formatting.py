# SPDX-License-Identifier: Apache-2.0
"""Every source is formatted as .clang-format says. The rules mean what clang-format 19 makes of them: without it the check is skipped,
unless VELOSTREAM_REQUIRE_CLANG_FORMAT is set."""
import os
import re
import shutil
import subprocess
import sys

from checking import SKIPPED, SOURCES, Finding, Planted, files, main

RULES = ".clang-format"
WARNING = re.compile(r"^(.*?):(\d+):\d+: error: (.*?) \[-Wclang-format-violations\]", re.MULTILINE)


def clang_format():
    for command in ("clang-format-19", "clang-format"):
        if shutil.which(command):
            version = subprocess.run([command, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
            if re.search(r"version 19\.", version):
                return command
    return None


def find(root):
    names = [path.relative_to(root).as_posix() for path in files(root, SOURCES)]
    command = [clang_format(), "--dry-run", "--Werror", "--style=file", *names]
    done = subprocess.run(command, cwd=root, stderr=subprocess.PIPE, text=True)
    seen = set()
    for path, line, message in WARNING.findall(done.stderr):
        if (path, line) not in seen:
            seen.add((path, line))
            yield Finding(path, int(line), message)
    if done.returncode and not seen:
        sys.exit(f"clang-format failed:\n{done.stderr}")


PLANTED = [
    Planted(RULES, "BasedOnStyle: Google\nIndentWidth: 4\n"),
    Planted("src/good.cpp", "int f();\nint g();\n"),
    Planted("src/bad.cpp", "int f( );\nint g();\nint  h();\n", (1, 3)),
]

if __name__ == "__main__":
    if clang_format() is None:
        print("clang-format 19 is not here (Debian package: clang-format-19): nothing was checked")
        sys.exit(1 if os.environ.get("VELOSTREAM_REQUIRE_CLANG_FORMAT") else SKIPPED)
    main(find, PLANTED)
