# SPDX-License-Identifier: Apache-2.0
"""Unit and cancellation tests run on manual time: nothing in them waits for a clock to go on."""
import re

from checking import SOURCES, Finding, Planted, files, line_of, main, name_of, read, without_comments_and_strings

# Only real clocks: a time source has a sleep_until of its own, which ManualTime ends at once.
SLEEPING = re.compile(
    r"\bthis_thread::\s*(?:sleep_for|sleep_until|yield)\b|\b(?:usleep|nanosleep|clock_nanosleep)\b"
    r"|(?<!\w)::sleep\s*\(|(?<![\w.>:])sleep\s*\(\s*\d+\s*\)"
)


def find(root):
    for path in files(root, SOURCES, ("tests/unit", "tests/cancellation", "tests/job")):
        text = without_comments_and_strings(read(path))
        for match in SLEEPING.finditer(text):
            yield Finding(name_of(path, root), line_of(text, match.start()), f"{''.join(match.group().split()).strip('(')} in a test that has ManualTime")


PLANTED = [
    Planted("tests/unit/core/a_test.cpp", "std::this_thread::sleep_for(1ms);\n// sleep_for in a comment\nusleep(5);\n  sleep(1);\n::sleep(n);\n", (1, 3, 4, 5)),
    Planted("tests/cancellation/b_test.cpp", "std::this_thread::\n    sleep_until(t);\n", (1,)),
    Planted("tests/unit/core/c_test.cpp", 'auto s = "usleep(1)";\nco_await time.sleep(1s);\nint asleep(int);\ntime.sleep_until(t0);\nsleep(time, 1s);\nvoid sleep(ManualTime& time);\n'),
    Planted("tests/job/e_test.cpp", "std::this_thread::yield();\n", (1,)),
    Planted("tests/stress/d_test.cpp", "std::this_thread::sleep_for(1ms);\n"),
]

if __name__ == "__main__":
    main(find, PLANTED)
