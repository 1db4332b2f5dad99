# SPDX-License-Identifier: Apache-2.0
"""Every source names its licence in its first line (the second after a #! line)."""
from checking import Finding, Planted, files, main, name_of, read

PATTERNS = ("*.hpp", "*.cpp", "*.h", "*.c", "*.cmake", "*.in", "CMakeLists.txt", "*.sh", "*.py", "*.js", "*.java", "*.sql", "run")
AT_THE_ROOT = ("CMakeLists.txt", ".clang-format", ".clang-tidy", ".gitignore")
SPDX = "SPDX-License-Identifier: Apache-2.0"


def find(root):
    for path in [*(root / name for name in AT_THE_ROOT if (root / name).exists()), *files(root, PATTERNS)]:
        lines = read(path).splitlines() or [""]
        first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
        if not first.endswith(SPDX):
            yield Finding(name_of(path, root), 1, f"the first line is not: {SPDX}")


PLANTED = [
    Planted("CMakeLists.txt", f"# {SPDX}\n"),
    Planted(".clang-tidy", "Checks: >\n", (1,)),
    Planted(".gitignore", f"# {SPDX}\n/build/\n"),
    Planted("cmake/a.pc.in", "prefix=/usr\n", (1,)),
    Planted("src/a.cpp", f"// {SPDX}\nint a;\n"),
    Planted("src/b.cpp", f"int b;\n// {SPDX}\n", (1,)),
    Planted("include/velostream/c.hpp", "", (1,)),
    Planted("cmake/d.sh", f"#!/bin/sh\n# {SPDX}\n"),
    Planted("cmake/e.sh", "#!/bin/sh\necho\n", (1,)),
    Planted("tests/checks/f.py", "# MIT\n", (1,)),
    Planted(".ci/run", "#!/bin/bash\n", (1,)),
    Planted("examples/data/README.md", "no licence line\n"),
]

if __name__ == "__main__":
    main(find, PLANTED)
