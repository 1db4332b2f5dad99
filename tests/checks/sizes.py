# SPDX-License-Identifier: Apache-2.0
"""No file of the project is longer than 500 lines: what needs a table of contents is split."""
from checking import Finding, Planted, files, main, name_of, read

LIMIT = 500
PATTERNS = ("*.hpp", "*.cpp", "*.cmake", "*.in", "CMakeLists.txt", "*.sh", "*.py", "*.md", "run")


def find(root):
    for path in files(root, PATTERNS):
        lines = len(read(path).splitlines())
        if lines > LIMIT:
            yield Finding(name_of(path, root), LIMIT + 1, f"{lines} lines, at most {LIMIT}")


PLANTED = [
    Planted("src/long.cpp", "int a;\n" * 501, (501,)),
    Planted("src/just_right.cpp", "int a;\n" * 500),
    Planted("docs/long.md", "text\n" * 600, (501,)),
    Planted("examples/data/lines.csv", "1,2\n" * 600),
]

if __name__ == "__main__":
    main(find, PLANTED)
