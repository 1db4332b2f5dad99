# SPDX-License-Identifier: Apache-2.0
"""What makes no sense does not compile, and the compiler says why in a sentence of ours.

refused.py FILE -- COMPILER OPTION... compiles FILE with VELOSTREAM_REFUSED defined. That must fail, and the first error must be the
static assertion whose message the file's line `// Refused: ` repeats, whole. (Without the macro the same file is part of every build:
nothing else is wrong with it.) refused.py --self-test -- COMPILER plants files and looks whether their mistakes are found.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

EXPECTED = re.compile(r"^// Refused: (.+)$", re.MULTILINE)
FIRST_ERROR = re.compile(r"\berror: (.*)")
ASSERTION = re.compile(r"static[_ ]assertion failed(?: due to requirement '.*')?: \"?(.*?)\"?$")


def problem_of(file, command):
    """None if `file` is refused as it should be, else what is wrong."""
    expected = EXPECTED.search(Path(file).read_text(encoding="utf-8"))
    if not expected:
        return "no line says which sentence is expected"
    done = subprocess.run([*command, "-fsyntax-only", "-DVELOSTREAM_REFUSED", file], capture_output=True, text=True)
    if done.returncode == 0:
        return "it compiles"
    error = FIRST_ERROR.search(done.stderr)
    assertion = error and ASSERTION.match(error.group(1))
    if not assertion:
        return f"it fails for another reason: {error.group(1) if error else done.stderr}"
    if assertion.group(1) != expected.group(1):
        return f"it is refused with another sentence: {assertion.group(1)}"
    return None


PLANTED = {
    "// Refused: odd\nstatic_assert(sizeof(int) == 1, \"odd\");\n": None,
    "// Refused: odd\ntemplate <class T> struct S { static_assert(sizeof(T) == 1, \"odd\"); };\nS<int> s;\n": None,
    "// Refused: odd\n": "it compiles",
    "static_assert(sizeof(int) == 1, \"odd\");\n": "no line says",
    "// Refused: even\nstatic_assert(sizeof(int) == 1, \"odd\");\n": "with another sentence: odd",
    "// Refused: odd\nint i = nonsense;\nstatic_assert(sizeof(int) == 1, \"odd\");\n": "for another reason",
    "// Refused: odd\n#ifndef VELOSTREAM_REFUSED\nstatic_assert(sizeof(int) == 1, \"odd\");\n#endif\n": "it compiles",
}


def self_test(command):
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "planted.cpp"
        for text, expected in PLANTED.items():
            file.write_text(text, encoding="utf-8")
            found = problem_of(str(file), command)
            if found is None if expected is None else found is not None and expected in found:
                continue
            wrong += 1
            print(f"planted:\n{text}expected: {expected}\nfound: {found}\n")
    print(f"{len(PLANTED)} planted, {wrong} not found")
    return wrong


def main():
    subject, _, *command = sys.argv[1:]
    if subject == "--self-test":
        return 1 if self_test(command) else 0
    problem = problem_of(subject, command)
    print(problem or "refused as it should be")
    return 1 if problem else 0


sys.exit(main())
