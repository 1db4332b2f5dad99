# SPDX-License-Identifier: Apache-2.0
"""Await named things: g++ 12 destroys some temporaries of an expression that holds a co_await twice.

Dangerous are lambdas that capture by value, aggregates made in place (with braces, with parentheses around at least one value, by a
static_cast, also through an alias), and std::function objects made in place. What a type does with its members cannot be seen from here,
so every one of these forms is refused; a name for the temporary is the way out. Not refused: the limits that `async_admit` takes, whose
members are trivial, as a static_assert says; lambdas that capture nothing or by reference,
`Aggregate()`, and what is none of our aggregates (a class with constructors, with hidden members or virtual functions; a duration). Bodies
of lambdas are expressions of their own.
"""
import re

from checking import (
    CLOSE, OPEN, SOURCES, Finding, Planted, files, line_of, main, matching, name_of, read, split_at_commas, without_comments_and_strings,
)
from snippets import blocks

AWAIT = re.compile(r"\bco_await\b")
STD_FUNCTION = re.compile(r"\bstd::(?:move_only_)?function\b")
TRIVIAL_FIRST_ARGUMENT = re.compile(r"\basync_admit\(\s*$")
TYPE_BEFORE_BRACKET = re.compile(r"((?:\w+::)*\w+)\s*(?:<[^;{}()]*>)?\s*$")
CAST_BEFORE_BRACKET = re.compile(r"\bstatic_cast\s*<\s*(?:const\s+)?((?:\w+::)*\w+)\s*(?:<[^;{}()]*>)?\s*>\s*$")
ATTRIBUTES = r"(?:\[\[[^\]]*\]\]\s*|alignas\s*\([^)]*\)\s*)*"
TYPE = re.compile(rf"(?<!enum )\b(struct|class)\s+{ATTRIBUTES}(\w+)\s*(?:<[^;{{}}()]*>\s*)?(?:final\s*)?(?::(?!:)[^;{{}}()]*)?\{{")
ALIAS = re.compile(r"\busing\s+(\w+)\s*=\s*(?:typename\s+)?(?:::)?((?:\w+::)*\w+)\s*(?:<[^;{}]*>)?\s*;")
TYPEDEF = re.compile(r"\btypedef\s+(?:struct\s+|class\s+)?((?:\w+::)*\w+)\s*(?:<[^;{}]*>)?\s+(\w+)\s*;")
ACCESS = re.compile(r"\b(public|protected|private)\s*:(?!:)")
FUNCTION = re.compile(r"\)\s*(?:(?:const|noexcept|final|&&?)\s*(?:\(\s*\)\s*)?)*(?:->.*|requires\b.*)?$|\boperator\b", re.DOTALL)
NO_DATA_MEMBER = re.compile(r"\s*(?:using|typedef|friend|static|struct|class|union|enum|template|static_assert)\b|\s*$")
STATEMENT_AFTER_BRACE = re.compile(r"\s*[,.;)\]?:+\-*/%&|<>=!]")


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


def lambda_body(text, position):
    """The span of the body of the lambda whose captures end at `position`."""
    at = position
    while at < len(text) and text[at] != "{":
        at = matching(text, at) if text[at] in "([" else at + 1
    return at, matching(text, at)


def made_before(text, begin, at):
    """The name of the type that the bracket at `at` makes an object of, without its namespace; "" if there is none."""
    found = (text[at] == "(" and CAST_BEFORE_BRACKET.search(text, begin, at)) or TYPE_BEFORE_BRACKET.search(text, begin, at)
    return found.group(1).rpartition("::")[2] if found else ""


def meanings(name, aliases):
    """The name and all that it stands for anywhere: aliases of one name may differ from class to class."""
    known, new = set(), {name}
    while new:
        known |= new
        new = {target for each in new for target in aliases.get(each, ())} - known
    return known


def temporaries(text, begin, end, aggregates, aliases):
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
        if character in "{(":
            inside = text[at + 1 : matching(text, at) - 1].strip()
            name = made_before(text, begin, at)
            types = meanings(name, aliases)
            if character == "{" and TRIVIAL_FIRST_ARGUMENT.search(text, begin, at):
                pass
            elif character == "{" and inside.startswith("."):
                yield at, f"an aggregate {name or '{…}'} made in place inside a co_await expression"
            elif character == "{" and not name:
                yield at, "a braced argument made in place inside a co_await expression"
            elif types & aggregates and (character == "{" or inside):
                yield at, f"an aggregate {name} made in place inside a co_await expression"
            elif types & {"function", "move_only_function"}:
                yield at, "a std::function made in place inside a co_await expression"
        function = STD_FUNCTION.match(text, at)
        if function and not re.match(r"[\w:]", text[at - 1 : at] or " "):
            yield at, "a std::function made in place inside a co_await expression"
        at += 1


def outline(text):
    """The text with what stands in its brackets blanked: of a class's body, its declarations."""
    result, at = [], 0
    while at < len(text):
        if text[at] in "{(":
            behind = matching(text, at)
            result.append(text[at] + " " * (behind - at - 2) + text[behind - 1 : behind])
            at = behind
        else:
            result.append(text[at])
            at += 1
    return "".join(result)


def hides_data(kind, declarations):
    """True if a data member is private or protected."""
    parts = ACCESS.split(declarations)
    sections = [("private" if kind == "class" else "public", parts[0]), *zip(parts[1::2], parts[2::2])]
    for access, section in sections:
        if access == "public":
            continue
        for declaration in re.split(r";|\}(?!\s*;)", section):
            declarator = re.split(r"[={]", declaration)[0]
            if not NO_DATA_MEMBER.match(declaration) and not FUNCTION.search(declarator):
                return True
    return False


def aggregates_of(texts):
    """Names of the types without a constructor of their own, without virtual functions and with nothing but public data."""
    names = {"array"}
    for text in texts:
        for match in TYPE.finditer(text):
            kind, name = match.groups()
            declarations = outline(text[match.end() : matching(text, match.end() - 1) - 1])
            is_made_by_constructor = re.search(rf"(?<![~\w]){name}\s*\(", declarations)
            has_virtual = re.search(r"\b(?:virtual|override)\b", declarations)
            if not is_made_by_constructor and not has_virtual and not hides_data(kind, declarations):
                names.add(name)
    return names


def aliases_of(texts):
    """What the aliases of the sources stand for: name to names, without namespaces and template arguments."""
    names = {}
    for text in texts:
        for name, target in [match.groups() for match in ALIAS.finditer(text)] + [match.groups()[::-1] for match in TYPEDEF.finditer(text)]:
            names.setdefault(name, set()).add(target.rpartition("::")[2])
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
    aliases = aliases_of(text for _, text in texts)
    for name, text in texts:
        found = {}
        for match in AWAIT.finditer(text):
            begin, end = statement_begin(text, match.start()), statement_end(text, match.end())
            found.update(temporaries(text, begin, end, aggregates, aliases))
        for position, message in sorted(found.items()):
            yield Finding(name, line_of(text, position), message)


PLANTED = [
    Planted(
        "include/velostream/types.hpp",
        "struct Pair { std::string a; int b; };\n"
        "struct Made { Made(int); std::string a; };\n"
        "class Open { public: std::string a; static Open of() { return Open(text); } };\n"
        "template <class Text>\nclass alignas(64) Box final : public Base<Text> {\n  public:\n    Text text;\n"
        "  private:\n    void f() const;\n    bool g() noexcept { return text.empty(); }\n    friend class X;\n};\n"
        "class Hidden { int f(); std::string a_; };\n"
        "struct Protected { int a; protected: std::function<void()> b = f(); };\n"
        "struct Virtual { virtual ~Virtual(); std::string a; };\n"
        "enum class Colour { red };\n"
        "using P = velostream::Pair;\nusing Second = P;\ntypedef Box<std::string> TextBox;\nusing Texts = std::array<std::string, 2>;\n"
        "struct Inner { using Names = Texts; };\nusing Names = Made;\nusing OnEnd = std::function<void(int)>;\nusing Alias = Made;\n",
    ),
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
    Planted(
        "examples/parentheses.cpp",
        "co_await send(Pair(text, 1));\n"  # 1
        "co_await send(velostream::Pair (\n    text, 1));\n"  # 2
        "co_await send(Pair());\n"
        "co_await send(Made(1));\n"
        "co_await send(static_cast<Pair>(text));\n"  # 6
        "co_await send(static_cast<std::size_t>(text.size()));\n"
        "co_await send(std::array<std::string, 2>(text, text));\n"  # 8
        "const Pair pair(text, 1);\nconst Pair sent(co_await send(pair));\n"
        "co_await send(pair(text), Colour(1));\n",
        (1, 2, 6, 8),
    ),
    Planted(
        "examples/classes.cpp",
        "co_await send(Open{text});\n"  # 1
        "co_await send(Open(text));\n"  # 2
        "co_await send(Box<std::string>{{}, text});\n"  # 3
        "co_await send(Box(text));\n"  # 4
        "co_await send(Hidden{}, Protected{}, Virtual{});\n"
        "co_await send(Colour{1});\n",
        (1, 2, 3, 4),
    ),
    Planted(
        "examples/aliases.cpp",
        "co_await send(P{text, 1});\n"  # 1
        "co_await send(Second(text, 1));\n"  # 2
        "co_await send(TextBox{text});\n"  # 3
        "co_await send(Texts{text, text});\n"  # 4
        "co_await send(Inner::Names{text});\n"  # 5
        "co_await send(OnEnd(named));\n"  # 6
        "co_await send(Alias{1});\n"
        "const P pair{text, 1};\nco_await send(pair);\n",
        (1, 2, 3, 4, 5, 6),
    ),
    Planted("tests/unit/functions.cpp", "co_await run(std::function<void()>{f});\nstd::function<void()> g{f};\nco_await run(g);\n", (1,)),
    Planted("src/limits.cpp", "co_await manager.async_admit(\n    {.name = 1}, {.at = 2}, token);\nco_await async_admit({}, token);\n", (2,)),
    Planted("docs/page.md", "text [x] co_await run([x] {});\n```cpp\nco_await run(\n    [x] {});\n```\n", (4,)),
]

if __name__ == "__main__":
    main(find, PLANTED)
