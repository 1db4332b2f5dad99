# SPDX-License-Identifier: Apache-2.0
"""Unit and cancellation tests run on manual time: nothing in them waits for a clock to go on. The job's tests do not sleep either.

Found are calls that end when a clock says so: sleeps, an io_context run for a time, a timer waited for, and what waits for an event at
most so long. A wait that needs no such limit (`wait()`, `get()`, `poll(…, -1)`), a look that takes no time (`0s`, `poll(…, 0)`) and a
wait that asks a condition of its own are none. Nor is ManualTime's `time.run_for(io, 1s)`. The job's tests have a real client beside
them, so there `run_one_for` in a loop that asks a condition is how they wait.
"""
import re

from checking import SOURCES, Finding, Planted, files, line_of, main, matching, name_of, read, split_at_commas, without_comments_and_strings

# Only real clocks: a time source has a sleep_until of its own, which ManualTime ends at once.
SLEEPING = re.compile(
    r"\bthis_thread::\s*(?:sleep_for|sleep_until|yield)\b|\b(?:usleep|nanosleep|clock_nanosleep)\b"
    r"|(?<!\w)::sleep\s*\(|(?<![\w.>:])sleep\s*\(\s*\d+\s*\)"
)
TIMER = r"\b(?:steady|system|high_resolution)_timer\b"
TIMER_NAME = re.compile(TIMER + r"(?:\s*[>&*]+\s*(?:\([^;{}()]*\))?)*\s+(\w+)\s*[;{(=,)]|(\w+)\s*=[^;=]*" + TIMER)
TIMER_IN_PLACE = re.compile(TIMER + r"\s*[({]")
CALL = re.compile(
    r"(?P<member>(?:\.|->)\s*)?(?<!\w)(?P<name>(?:run|run_one|wait|sleep|try_lock|try_lock_shared|try_acquire)_(?:for|until)"
    r"|p?poll|p?select|epoll_p?wait)\s*(?=\()"
)
NO_TIME = re.compile(r"0|0\w+|nullptr|NULL|-\s*1|[\w:]*\{\s*0?\s*\}|[\w:]*\(\s*0\s*\)|[\w:]+::zero\(\s*\)")
TIMEOUT_OF_SYSTEM_CALL = {"poll": (3, 2), "ppoll": (4, 2), "select": (5, 4), "pselect": (6, 4), "epoll_wait": (4, 3), "epoll_pwait": (5, 3)}


def is_a_pause(name, is_member, arguments):
    """True if a call with these arguments ends when a real clock says so."""
    if name in TIMEOUT_OF_SYSTEM_CALL:
        count, position = TIMEOUT_OF_SYSTEM_CALL[name]
        return not is_member and len(arguments) == count and not NO_TIME.fullmatch(arguments[position])
    if not arguments or arguments[-1].startswith("[") or NO_TIME.fullmatch(arguments[-1]):
        return False
    if name.startswith(("run_", "try_")):
        return is_member and len(arguments) == 1
    if name.startswith("sleep_"):
        return not is_member and len(arguments) == 1
    return is_member and len(arguments) <= 2  # a third one is the condition


def pauses(text):
    """Yields (position, what) for every pause of the text."""
    for match in SLEEPING.finditer(text):
        yield match.start(), "".join(match.group().split()).strip("(")
    for match in CALL.finditer(text):
        arguments = split_at_commas(text[match.end() + 1 : matching(text, match.end()) - 1])
        is_qualified_sleep = match["name"].startswith("sleep") and text[: match.start()].rstrip().endswith("::")
        if not is_qualified_sleep and is_a_pause(match["name"], match["member"] is not None, arguments):
            yield match.start("name"), match["name"]
    for name in {first or second for first, second in TIMER_NAME.findall(text)}:
        for match in re.finditer(rf"\b{name}(?:\.|->)wait\s*\(", text):
            yield match.start(), f"{name}.wait"
    for match in TIMER_IN_PLACE.finditer(text):
        if re.match(r"\s*\.\s*wait\s*\(", text[matching(text, match.end() - 1) :]):
            yield match.start(), "a timer's wait"


def find(root):
    for path in files(root, SOURCES, ("tests/unit", "tests/cancellation", "tests/job")):
        text, name = without_comments_and_strings(read(path)), name_of(path, root)
        for position, what in sorted(dict(pauses(text)).items()):
            if not (name.startswith("tests/job/") and what in ("run_one_for", "run_one_until")):
                yield Finding(name, line_of(text, position), f"{what} in a test that waits for no clock")


PLANTED = [
    Planted("tests/unit/core/a_test.cpp", "std::this_thread::sleep_for(1ms);\n// sleep_for in a comment\nusleep(5);\n  sleep(1);\n::sleep(n);\n", (1, 3, 4, 5)),
    Planted("tests/cancellation/b_test.cpp", "std::this_thread::\n    sleep_until(t);\nnanosleep(&pause, nullptr);\nsleep_for(1s);\n", (1, 3, 4)),
    Planted("tests/unit/core/c_test.cpp", 'auto s = "usleep(1)";\nco_await time.sleep(1s);\nint asleep(int);\ntime.sleep_until(t0);\nsleep(time, 1s);\nvoid sleep(ManualTime& time);\n'),
    Planted("tests/job/e_test.cpp", "std::this_thread::yield();\nio.run_one_for(10ms);\nio.run_for(10ms);\nrun_until(io, [&] { return done; });\n", (1, 3)),
    Planted("tests/stress/d_test.cpp", "std::this_thread::sleep_for(1ms);\nio.run_for(1s);\n"),
    Planted(
        "tests/unit/core/contexts_test.cpp",
        "io.run_for(1s);\n"  # 1
        "context->run_until(std::chrono::steady_clock::now() + limit(a, b));\n"  # 2
        "io.run_one_for(10ms);\n"  # 3
        "io.run_one_until(\n    t);\n"  # 4
        "time.run_for(io, 1s);\ntime.run_for(*io, half_seconds * 1s + 500ms);\n"
        "void run_for(Duration by);\nrun_until(time, time.now() + rest, operation, call);\nfixture.run_until([&] { return done; });\n"
        "io.run_for(0s);\nio.poll();\n",
        (1, 2, 3, 4),
    ),
    Planted(
        "tests/unit/core/timers_test.cpp",
        "asio::steady_timer timer{io, 1s};\ntimer.wait();\n"  # 2
        "const auto shared = std::make_shared<asio::system_timer>(io, 1s);\nshared->wait(error);\n"  # 4
        "asio::steady_timer{io, 1s}.wait();\n"  # 5
        "void f(asio::steady_timer& passed) {\n    passed.wait();\n}\n"  # 7
        "std::unique_ptr<asio::steady_timer> owned;\nowned->wait();\n"  # 10
        "timer.async_wait(handler);\nlatch.wait();\nflag.wait(false);\nauto other = asio::steady_timer::time_point::max();\n",
        (2, 4, 5, 7, 10),
    ),
    Planted(
        "tests/cancellation/events_test.cpp",
        "changed.wait_for(lock, 1s);\n"  # 1
        "changed.wait_until(lock, t);\n"  # 2
        "future.wait_for(100ms);\n"  # 3
        "semaphore.try_acquire_for(1s);\n"  # 4
        "mutex.try_lock_until(t);\n"  # 5
        "changed.wait_for(lock, 30s, [&] { return done; });\nchanged.wait_for(lock, 30s, done);\nchanged.wait(lock);\n"
        "future.wait_for(0s);\nfuture.wait_for(std::chrono::seconds{0});\nfuture.wait_for(Duration::zero());\nfuture.get();\n"
        "broker.wait_until([&] { return done; });\n",
        (1, 2, 3, 4, 5),
    ),
    Planted(
        "tests/unit/core/descriptors_test.cpp",
        "poll(&readable, 1, 100);\n"  # 1
        "::poll(descriptors.data(), descriptors.size(), milliseconds(pause));\n"  # 2
        "select(3, &readable, nullptr, nullptr, &limit);\n"  # 3
        "epoll_wait(epoll, events, 1, 100);\n"  # 4
        "ppoll(&readable, 1, &limit, nullptr);\n"  # 5
        "poll(&readable, 1, 0);\n::poll(&readable, 1, -1);\nselect(3, &readable, nullptr, nullptr, nullptr);\n"
        "epoll_wait(epoll, events, 1, -1);\n"
        "poll();\nvoid poll() {}\nqueue.poll(a, b, 100);\nrows.select(a, b, c, d, e);\n",
        (1, 2, 3, 4, 5),
    ),
]

if __name__ == "__main__":
    main(find, PLANTED)
