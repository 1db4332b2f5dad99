# SPDX-License-Identifier: Apache-2.0
"""What a label of a docstring says over several lines stands aligned under its text: reflowing must not tear it.

A label (`/// Threads:  safe. …`) ends at the next label, at an empty `///` line or with the comment.
"""
import re

from checking import SOURCES, Finding, Planted, files, main, name_of, read

LABELS = "Errors|Threads|Completes with|Cancellation|Lifetime"
LABEL = re.compile(rf"( */// (?:{LABELS})(?:, (?:{LABELS}))*: +)\S", re.IGNORECASE)
COMMENT = re.compile(r" */// *(?=\S)")


def find(root):
    for path in files(root, SOURCES):
        column = None
        for number, line in enumerate(read(path).splitlines(), 1):
            label, comment = LABEL.match(line), COMMENT.match(line)
            if label:
                column = len(label.group(1))
            elif not comment:
                column = None
            elif column is not None and comment.end() != column:
                yield Finding(name_of(path, root), number, "this line belongs to the label above and stands not under its text")


PLANTED = [
    Planted(
        "include/velostream/torn.hpp",
        "/// Does it.\n"
        "///\n"
        "/// Errors:   none that the caller could\n"
        "/// see;\n"  # 4
        "///           but one.\n"
        "/// Threads:  safe.\n"
        "///   Always.\n"  # 7
        "int f();\n"
        "    /// Completes with: a lease; or\n"
        "    ///                 nothing.\n"
        "    /// Cancellation, lifetime: all\n"
        "    ///                 kinds.\n"  # 12
        "    int g();\n",
        (4, 7, 12),
    ),
    Planted(
        "src/whole.cpp",
        "/// Errors:       none,\n///               never.\n/// Cancellation: all kinds.\n///\n"
        "/// Free text that is long\n/// enough. Threads: safe, and\n/// so on.\n"
        "int f();\n/// Lifetime: short.\nint g();\n/// Something else.\nint h(); // Threads: safe\n// or not\n",
    ),
]

if __name__ == "__main__":
    main(find, PLANTED)
