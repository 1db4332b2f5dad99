# SPDX-License-Identifier: Apache-2.0
"""Every relative link of README.md and docs/ leads to a file or folder of the project."""
import re

from checking import Finding, Planted, files, line_of, main, name_of, read

LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
ELSEWHERE = re.compile(r"[a-z]+:")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def blanked(match):
    return re.sub(r"[^\n]", " ", match.group())


def find(root):
    for path in [path for path in [root / "README.md"] if path.exists()] + list(files(root, ("*.md",), ("docs",))):
        text = CODE.sub(blanked, read(path))
        for match in LINK.finditer(text):
            if not ELSEWHERE.match(match.group(1)) and not (path.parent / match.group(1)).exists():
                yield Finding(name_of(path, root), line_of(text, match.start()), f"nothing is at {match.group(1)}")


PLANTED = [
    Planted("README.md", "[a](docs/a.md) [b](docs/b.md)\n[c](docs/a.md#part) [d](https://example.org)\n", (1,)),
    Planted("docs/a.md", "[up](../README.md)\n```cpp\nrun([x](y){});\n```\n`[x](y)`\n[gone](../docs/gone)\n", (6,)),
]

if __name__ == "__main__":
    main(find, PLANTED)
