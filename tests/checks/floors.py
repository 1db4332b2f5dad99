# SPDX-License-Identifier: Apache-2.0
"""A file includes its own folder and lower floors only, and third-party headers only where its floor allows them."""
import re

from checking import SOURCES, Finding, Planted, files, line_of, main, name_of, read, without_comments_and_strings

FLOORS = {
    "base": 0, "config": 1, "core": 2, "async": 3, "": 4,
    "kafka": 5, "postgres": 5, "sqlite": 5, "state": 5, "logging": 5, "metrics": 5,
    "recovery": 6, "sql": 6, "admin": 6,
    "testing": 4.5,  # aside: uses floors 0-4; used by nothing but tests
}
NOT_USED_BY = {"async": {"config", "core"}}

# Third-party headers, by how their include begins. What none of these fits (a standard or system header) is free. Boost.System stands
# on Boost.Core and Boost.Assert, whose source location is part of its interface.
LIBRARIES = {
    "Boost.System": r"boost/(system|core|assert)/",
    "Asio": r"boost/asio",
    "Boost": r"boost/",
    "fmt": r"fmt/",
    "spdlog": r"spdlog/",
    "librdkafka": r"librdkafka/",
    "libpq": r"libpq|postgresql/",
    "SQLite": r"sqlite3",
    "prometheus-cpp": r"prometheus/",
    "GoogleTest": r"g(test|mock)/",
    "Benchmark": r"benchmark/",
    "JSON": r"nlohmann/",
    "CLI11": r"CLI/",
    "zstd": r"zstd",
}
PURE = {"Boost.System"}
WITH_ASIO = {"Boost.System", "Asio", "Boost"}
ALLOWED = {"base": PURE, "config": PURE, "core": PURE}  # every other folder: WITH_ASIO
ALLOWED_IN_SOURCES = {
    "kafka": {"librdkafka"}, "logging": {"spdlog", "fmt"}, "postgres": {"libpq"}, "sqlite": {"SQLite"}, "metrics": {"prometheus-cpp"},
}
ALLOWED_IN_HEADERS = {"logging/format.hpp": {"fmt"}}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)
# core decides and does nothing else: no clock, no coroutine, no file, no terminal, no thread of its own.
NOT_IN_CORE = re.compile(
    r"\b(?:\w+_clock::now|clock_gettime|gettimeofday|co_await|co_return|co_yield)\b"
    r"|#[ \t]*include[ \t]*<(?:iostream|fstream|filesystem|cstdio|stdio\.h|thread|fcntl\.h|unistd\.h|sys/\w+\.h)>"
)


def folder_of(path):
    """The folder of include/velostream/<folder>/… or src/<folder>/…; "" for the root."""
    parts = path.split("/")[2:] if path.startswith("include/") else path.split("/")[1:]
    return parts[0] if len(parts) > 1 else ""


def target_folder(include, own):
    """The folder of an include of ours, None for somebody else's."""
    if include.startswith("velostream/"):
        return folder_of("include/" + include)
    first, slash, _ = include.partition("/")
    if slash and first in FLOORS:
        return first
    return own if not slash and include.endswith(".hpp") else None


def problem_of_ours(own, target):
    if target == own:
        return None
    if target not in FLOORS:
        return f"no floor is known for folder {target}"
    if target == "testing":
        return "nothing but tests includes testing/"
    if FLOORS[target] >= FLOORS[own] or target in NOT_USED_BY.get(own, ()):
        return f"{own or 'the root'} (floor {FLOORS[own]}) must not include {target or 'the root'} (floor {FLOORS[target]})"
    return None


def problem_of_others(path, own, include):
    library = next((name for name, pattern in LIBRARIES.items() if re.match(pattern, include)), None)
    allowed = ALLOWED.get(own, WITH_ASIO)
    if path.startswith("src/"):
        allowed = allowed | ALLOWED_IN_SOURCES.get(own, set())
    else:
        allowed = allowed | ALLOWED_IN_HEADERS.get(path.removeprefix("include/velostream/"), set())
    if library is None or library in allowed:
        return None
    return f"{path.split('/')[0]}/ of {own or 'the root'} must not include {library}"


def find(root):
    for path in files(root, SOURCES, ("include", "src")):
        name = name_of(path, root)
        own = folder_of(name)
        if name.startswith("src/tools/"):
            continue
        if own not in FLOORS:
            yield Finding(name, 1, f"no floor is known for folder {own}")
            continue
        text = read(path)
        for match in INCLUDE.finditer(text):
            include = match.group(2)
            target = target_folder(include, own)
            if ".." in include:
                problem = "an include names a path from the root, without .."
            elif target is not None:
                problem = problem_of_ours(own, target)
            else:
                problem = problem_of_others(name, own, include)
            if problem:
                yield Finding(name, line_of(text, match.start()), f"{include}: {problem}")
        if own == "core":
            for match in NOT_IN_CORE.finditer(without_comments_and_strings(text)):
                yield Finding(name, line_of(text, match.start()), f"core must not use {match.group()}")


PLANTED = [
    Planted("include/velostream/base/a.hpp", '#include <boost/system/result.hpp>\n#include <string>\n#include "velostream/base/b.hpp"\n'),
    Planted("include/velostream/base/up.hpp", '#include "velostream/config/a.hpp"\n#include <velostream/velostream.hpp>\n', (1, 2)),
    Planted("include/velostream/base/asio.hpp", "#include <boost/asio/awaitable.hpp>\n#include <fmt/format.h>\n", (1, 2)),
    Planted("include/velostream/config/c.hpp", '#include "velostream/base/a.hpp"\n#include "velostream/core/d.hpp"\n', (2,)),
    Planted("include/velostream/core/d.hpp", "#include <vector>\n// co_await in a comment\n#include <fstream>\nauto now = steady_clock::now();\n", (3, 4)),
    Planted("include/velostream/async/e.hpp", '#include <boost/asio/post.hpp>\n#include "velostream/core/d.hpp"\n', (2,)),
    Planted("include/velostream/pipeline.hpp", '#include "velostream/core/d.hpp"\n#include "velostream/kafka/f.hpp"\n#include <spdlog/spdlog.h>\n', (2, 3)),
    Planted("include/velostream/kafka/f.hpp", '#include "velostream/pipeline.hpp"\n#include <librdkafka/rdkafka.h>\n#include "velostream/state/s.hpp"\n', (2, 3)),
    Planted("include/velostream/logging/format.hpp", "#include <fmt/format.h>\n#include <spdlog/spdlog.h>\n", (2,)),
    Planted("include/velostream/recovery/r.hpp", '#include "velostream/kafka/f.hpp"\n#include "velostream/state/s.hpp"\n#include "velostream/sql/q.hpp"\n', (3,)),
    Planted("include/velostream/testing/t.hpp", '#include "velostream/pipeline.hpp"\n#include <gtest/gtest.h>\n#include "velostream/kafka/f.hpp"\n', (2, 3)),
    Planted("include/velostream/utils/u.hpp", "#include <vector>\n", (1,)),
    Planted("src/kafka/f.cpp", '#include "velostream/kafka/f.hpp"\n#include <librdkafka/rdkafka.h>\n#include "kafka/handle.hpp"\n#include "logging/x.hpp"\n', (4,)),
    Planted("src/kafka/g.cpp", '#include "../pipeline.hpp"\n#include "velostream/testing/t.hpp"\n#  include <spdlog/spdlog.h>\n', (1, 2, 3)),
    Planted("src/pipeline.cpp", "#include <librdkafka/rdkafka.h>\n", (1,)),
    Planted("src/tools/redrive/main.cpp", "#include <CLI/CLI.hpp>\n#include <librdkafka/rdkafka.h>\n"),
]

if __name__ == "__main__":
    main(find, PLANTED)
