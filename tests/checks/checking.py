# SPDX-License-Identifier: Apache-2.0
"""What every check of this folder shares: the files it reads, its command line and its self-test.

A check is a function find(root) that yields Finding objects. Run as `check.py ROOT` it prints them and exits 1 if there are any. Run as
`check.py --self-test` it plants the files of its PLANTED list in an empty folder and compares what is found, line by line, with what
was planted: a check that misses a violation, or cries over a clean line, fails.
"""
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

SOURCES = ("*.hpp", "*.cpp")
FOLDERS = (".ci", "benchmarks", "cmake", "docs", "examples", "include", "src", "tests")
OPEN, CLOSE = "([{", ")]}"
SKIPPED = 77  # CTest's SKIP_RETURN_CODE of these tests


class Finding(NamedTuple):
    path: str
    line: int
    message: str


class Planted(NamedTuple):
    path: str
    text: str
    lines: tuple = ()  # the lines that must be found, and no others


def files(root, patterns=("*",), folders=FOLDERS):
    """The project's files below these folders whose name fits one of the patterns, sorted; without what builds and tools leave behind."""
    for folder in folders:
        for path in sorted((Path(root) / folder).rglob("*")):
            parts = path.relative_to(root).parts
            if path.is_file() and "__pycache__" not in parts and any(path.match(pattern) for pattern in patterns):
                yield path


def read(path):
    return path.read_text(encoding="utf-8")


def name_of(path, root):
    return path.relative_to(root).as_posix()


def without_comments_and_strings(text):
    """The C++ text with every comment, string and character literal blanked, line breaks kept: positions and lines stay what they were."""
    token = re.compile(
        r"""//[^\n]* | /\*.*?\*/ | R"([^\s()\\]{0,16})\(.*?\)\1" | "(?:[^"\\\n]|\\.)*" | (?<![0-9A-Za-z_])'(?:[^'\\\n]|\\.)+'""",
        re.DOTALL | re.VERBOSE,
    )

    def blank(match):
        found = match.group()
        if found[0] == "/":
            return re.sub(r"[^\n]", " ", found)
        return found[0] + re.sub(r"[^\n]", " ", found[1:-1]) + found[-1]

    return token.sub(blank, text)


def matching(text, position):
    """The position behind the bracket that closes the one at `position`."""
    depth = 0
    for at in range(position, len(text)):
        if text[at] in OPEN:
            depth += 1
        elif text[at] in CLOSE:
            depth -= 1
            if depth == 0:
                return at + 1
    return len(text)


def split_at_commas(text):
    """What stands between the commas that are in no bracket, stripped, without what is empty."""
    parts, depth, begin = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in OPEN) - (character in CLOSE)
        if character == "," and depth == 0:
            parts.append(text[begin:at])
            begin = at + 1
    return [part.strip() for part in [*parts, text[begin:]] if part.strip()]


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def self_test(find, planted):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for file in planted:
            path = root / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text, encoding="utf-8")
        found = list(find(root))
    expected = {(file.path, line) for file in planted for line in file.lines}
    places = {(finding.path, finding.line) for finding in found}
    for path, line in sorted(expected - places):
        print(f"missed a planted violation: {path}:{line}")
    for finding in sorted(found):
        if (finding.path, finding.line) not in expected:
            print(f"wrong alarm: {finding.path}:{finding.line}: {finding.message}")
    if not expected:
        print("nothing is planted")
    print(f"{len(expected)} planted, {len(expected & places)} found")
    return 0 if expected and expected == places else 1


def main(find, planted):
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test(find, planted))
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} ROOT | --self-test")
    found = list(find(Path(sys.argv[1])))
    for finding in found:
        print(f"{finding.path}:{finding.line}: {finding.message}")
    print(f"{len(found)} found")
    sys.exit(1 if found else 0)
