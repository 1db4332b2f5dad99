# SPDX-License-Identifier: Apache-2.0
"""Await named things: g++ 12 destroys some temporaries of an expression that holds a co_await twice.

Dangerous are lambdas that capture by value, aggregates made in place with braces, and std::function objects made in place. What a type
does with its members cannot be seen from here, so every one of these forms is refused; a name for the temporary is the way out.
Not refused: lambdas that capture nothing or by reference, and braces behind a type that is none of our aggregates (a class with
constructors, a duration). Bodies of lambdas are expressions of their own.
"""
import re

from checking import SOURCES, Finding, Planted, files, line_of, main, name_of, read, without_comments_and_strings
from snippets import blocks

OPEN, CLOSE = "([{", ")]}"
AWAIT = re.compile(r"\bco_await\b")
STD_FUNCTION = re.compile(r"\bstd::(?:move_only_)?function\b")
TYPE_BEFORE_BRACE = re.compile(r"((?:\w+::)*\w+)\s*(?:<[^;{}()]*>)?\s*$")
STRUCT = re.compile(r"\bstruct\s+(\w+)[^;{}()]*\{")
STATEMENT_AFTER_BRACE = re.compile(r"\s*[,.;)\]?:+\-*/%&|<>=!]")


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


def statement_begin(text, position):
    """Where the statement (or condition) begins that the co_await at `position` belongs to."""
    depth = 0
    for at in range(position - 1, -1, -1):
        character = text[at]
        if depth == 0 and (character in ";{" or (character == "}" and not STATEMENT_AFTER_BRACE.match(text, at + 1))):
            return at + 1
        if character in CLOSE:
            depth += 1
        elif character in OPEN and depth > 0:
            depth -= 1
    return 0


def statement_end(text, position):
    """Behind the last character of the expression: its `;`, or the bracket that closes what it stands in."""
    depth = 0
    for at in range(position, len(text)):
        character = text[at]
        if depth == 0 and character == ";":
            return at
        if character in OPEN:
            depth += 1
        elif character in CLOSE:
            depth -= 1
            if depth < 0 and character == "}":
                return at
            depth = max(depth, 0)
        if depth == 0 and character == ")" and text[at + 1 :].lstrip()[:1] == "{":
            return at  # the end of an if or while
    return len(text)


def is_lambda(text, position):
    """True if the `[` at `position` begins a lambda and not a subscript or an attribute."""
    before = text[:position].rstrip()
    if text[position : position + 2] == "[[" or before.endswith("["):
        return False
    return not before or not (before[-1].isalnum() or before[-1] in "_)]") or re.search(r"\b(?:return|co_await|co_return)$", before) is not None


def split_at_commas(text):
    parts, depth, begin = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in OPEN) - (character in CLOSE)
        if character == "," and depth == 0:
            parts.append(text[begin:at])
            begin = at + 1
    return [part.strip() for part in [*parts, text[begin:]] if part.strip()]


def lambda_body(text, position):
    """The span of the body of the lambda whose captures end at `position`."""
    at = position
    while at < len(text) and text[at] != "{":
        at = matching(text, at) if text[at] in "([" else at + 1
    return at, matching(text, at)


def temporaries(text, begin, end, aggregates):
    """Yields (position, message) for every dangerous temporary between begin and end."""
    at = begin
    while at < end:
        character = text[at]
        if character == "[" and is_lambda(text, at):
            captured = split_at_commas(text[at + 1 : matching(text, at) - 1])
            by_value = [capture for capture in captured if not capture.startswith("&") and capture != "this"]
            if by_value:
                yield at, f"a lambda that captures {', '.join(by_value)} by value inside a co_await expression"
            at = lambda_body(text, matching(text, at))[1]
            continue
        if character == "{":
            inside = text[at + 1 : matching(text, at) - 1].strip()
            type_name = TYPE_BEFORE_BRACE.search(text, begin, at)
            name = type_name.group(1).rpartition("::")[2] if type_name else ""
            if inside.startswith("."):
                yield at, f"an aggregate {name or '{…}'} made in place inside a co_await expression"
            elif not name:
                yield at, "a braced argument made in place inside a co_await expression"
            elif name in aggregates or name == "array":
                yield at, f"an aggregate {name} made in place inside a co_await expression"
        function = STD_FUNCTION.match(text, at)
        if function and not re.match(r"[\w:]", text[at - 1 : at] or " "):
            yield at, "a std::function made in place inside a co_await expression"
        at += 1


def aggregates_of(texts):
    """Names of the structs without a constructor of their own."""
    names = set()
    for text in texts:
        for match in STRUCT.finditer(text):
            body = text[match.end() : matching(text, match.end() - 1) - 1]
            if not re.search(rf"(?<![~\w]){match.group(1)}\s*\(", body):
                names.add(match.group(1))
    return names


def sources(root):
    """Yields (name, text) of every source, and of every page with all but its C++ blocks blanked."""
    for path in files(root, SOURCES, ("include", "src", "examples", "benchmarks", "tests")):
        yield name_of(path, root), without_comments_and_strings(read(path))
    pages = [path for path in [root / "README.md"] if path.exists()] + list(files(root, ("*.md",), ("docs",)))
    for path in pages:
        lines = [""] * len(read(path).splitlines())
        for begin, language, block in blocks(read(path)):
            if language == "cpp":
                lines[begin : begin + len(block)] = block
        yield name_of(path, root), without_comments_and_strings("\n".join(lines))


def find(root):
    texts = list(sources(root))
    aggregates = aggregates_of(text for _, text in texts)
    for name, text in texts:
        found = {}
        for match in AWAIT.finditer(text):
            begin, end = statement_begin(text, match.start()), statement_end(text, match.end())
            found.update(temporaries(text, begin, end, aggregates))
        for position, message in sorted(found.items()):
            yield Finding(name, line_of(text, position), message)


PLANTED = [
    Planted("include/velostream/types.hpp", "struct Pair { std::string a; int b; };\nstruct Made { Made(int); std::string a; };\n"),
    Planted(
        "src/lambdas.cpp",
        "auto a = co_await run([key] { return key; });\n"  # 1
        "co_await run(\n    other,\n    [&x, =] {});\n"  # 4
        "co_await run([&] { return 1; });\n"
        "co_await run([key = std::move(key)]() -> awaitable<void> {\n    co_return;\n});\n"  # 6
        "co_await run([this, &x] {});\n"
        "co_await run(values[i], [] {});\n"
        "auto named = [key] { return key; };\nco_await run(named);\n"
        "spawn([key]() -> awaitable<void> { co_await run(named); });\n"
        "if (co_await run([key] {})) {\n}\n"  # 14
        "use([key] {}, co_await run(named));\n"  # 16
        "auto outer = [&] { auto r = [key] {}; return r; };\n"
        "co_await run([&]() -> awaitable<int> { auto r = [key] {}; co_return r(); });\n"
        "co_await run([&]() -> awaitable<int> { co_await run([key] {}); });\n"  # 19
        "while (auto x = co_await next()) {\n    spawn([x] {});\n}\n"
        "co_return co_await run([*this] {});\n",  # 23
        (1, 4, 6, 14, 16, 19, 23),
    ),
    Planted(
        "examples/braces.cpp",
        "co_await send(Record{.key = 1});\n"  # 1
        "co_await send({.key = 1});\n"  # 2
        "co_await send(velostream::Pair{text, 1});\n"  # 3
        "co_await send(Made{1});\n"
        "co_await sleep(std::chrono::seconds{5});\n"
        "co_await send({text, 1});\n"  # 6
        "co_await send(std::array<std::string, 2>{text, text});\n"  # 7
        "const Pair pair{text, 1};\nauto sent = co_await send(pair);\n"
        "auto both = combine(Pair{text, 1},\n                    co_await send(pair));\n"  # 10
        "void f() {\n    Pair p{text, 1};\n}\nco_await send(pair);\n"
        "const Result<Pair> result{co_await send(pair)};\n"
        "for (const auto& pair : {text}) {\n    co_await send(pair);\n}\n"
        'co_await send("Pair{a, b}"); // Pair{a, b}\n'
        "co_await send(Pair{});\n"  # 21
        "co_await send(pair, {});\n",  # 22
        (1, 2, 3, 6, 7, 10, 21, 22),
    ),
    Planted("tests/unit/functions.cpp", "co_await run(std::function<void()>{f});\nstd::function<void()> g{f};\nco_await run(g);\n", (1,)),
    Planted("docs/page.md", "text [x] co_await run([x] {});\n```cpp\nco_await run(\n    [x] {});\n```\n", (4,)),
]

if __name__ == "__main__":
    main(find, PLANTED)
