# SPDX-License-Identifier: Apache-2.0
"""Every C++ block of README.md and docs/ stands, line by line, in one file of examples/, which is compiled.

The block's lines must follow one another in that file; how far the whole block is indented does not matter. A line that holds nothing
but `// ...` leaves something out: what follows it stands further down in the same file.
"""
import re

from checking import SOURCES, Finding, Planted, files, main, name_of, read

FENCE = re.compile(r"^ {0,3}```\s*(\S*)[^\n]*$")
OTHER_NAMES_OF_CPP = {"c++", "cxx", "cc", "hpp", "h", "cpp"}
LEFT_OUT = re.compile(r"\s*// \.\.\.\s*")


def blocks(text):
    """Yields (line number of the fence, language, lines) for every fenced block."""
    language, begin, lines = None, 0, []
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if language is None and fence:
            language, begin, lines = fence.group(1), number, []
        elif language is not None and line.strip() == "```":
            yield begin, language, lines
            language = None
        elif language is not None:
            lines.append(line)


def dedented(lines):
    """The lines without their common indentation and without blank lines at both ends."""
    lines = [line.rstrip() for line in lines]
    while lines and not lines[0]:
        lines = lines[1:]
    while lines and not lines[-1]:
        lines = lines[:-1]
    indent = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
    return [line[indent:] for line in lines]


def parts(lines):
    """The block cut at its `// ...` lines."""
    result = [[]]
    for line in lines:
        if LEFT_OUT.fullmatch(line):
            result.append([])
        else:
            result[-1].append(line)
    return [part for part in map(dedented, result) if part]


def stands_in(wanted, example):
    """True if every part stands in the example's lines, in this order."""
    start = 0
    for part in wanted:
        size = len(part)
        found = next((at for at in range(start, len(example) - size + 1) if dedented(example[at : at + size]) == part), None)
        if found is None:
            return False
        start = found + size
    return True


def find(root):
    examples = [read(path).splitlines() for path in files(root, SOURCES, ("examples",))]
    pages = [path for path in [root / "README.md"] if path.exists()] + list(files(root, ("*.md",), ("docs",)))
    for path in pages:
        for begin, language, lines in blocks(read(path)):
            if language.lower() in OTHER_NAMES_OF_CPP and language != "cpp":
                yield Finding(name_of(path, root), begin, f"a C++ block is marked cpp, not {language}")
            elif language == "cpp":
                wanted = parts(lines)
                if not wanted or not any(stands_in(wanted, example) for example in examples):
                    yield Finding(name_of(path, root), begin, "this C++ block stands in no file of examples/")


PLANTED = [
    Planted("examples/a.cpp", "int main() {\n    int a = 1;\n\n    if (a) {\n        a = 2;\n    }\n    return a;\n}\n"),
    Planted("README.md", "# Title\n```cpp\nint a = 1;\n\nif (a) {\n    a = 2;\n}\n```\n\n```cpp\nint a = 2;\n```\n", (10,)),
    Planted("docs/guide/left_out.md", "```cpp\nint main() {\n    // ...\n    return a;\n}\n```\n```cpp\nreturn a;\n// ...\nint a = 1;\n```\n", (7,)),
    Planted("docs/other.md", "```sh\nint nothing;\n```\n```c++\nint a = 1;\n```\n```cpp\n\n```\n", (4, 7)),
    Planted("docs/indent.md", "```cpp\nif (a) {\na = 2;\n}\n```\n", (1,)),
]

if __name__ == "__main__":
    main(find, PLANTED)
