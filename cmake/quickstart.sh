#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds velostream and runs it: installs the packages that are missing, configures, builds, starts. See usage() below.
set -eu
unset CDPATH

usage() {
    cat <<'TEXT'
usage: sh cmake/quickstart.sh [run|test|bench] [--no-install] [-- ARGUMENTS]

  run    (default) builds libraries, tools and examples and runs the job examples/orders; ARGUMENTS go to the job (-- --help lists them)
  test   builds libraries, tools, examples and tests, fetches a Kafka broker and a PostgreSQL server for some of them and runs every
         test; ARGUMENTS go to ctest (for example -- -L unit)
  bench  builds the benchmarks and prints their table; ARGUMENTS: --filter REGEX, --json FILE, --repetitions N, --smoke (shows only that
         all of them run), --brokers HOST:PORT and --database FOLDER (for the rows that need a real cluster, or a database)

  --no-install   install and fetch nothing: say what is missing and stop; only tests on a broker or a database are skipped instead

Builds live in .build/ of the project, logs in .build/logs/. Environment: CXX chooses the compiler, BOOST_ROOT a Boost of your own
(1.81 or newer), CMAKE_BUILD_PARALLEL_LEVEL the number of compilers at a time.
TEXT
}

say() { printf 'velostream: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }
wrong_usage() { say "$1 (sh cmake/quickstart.sh --help)" >&2; exit 2; }

mode=run
may_install=yes
mode_given=no
while [ $# -gt 0 ]; do
    case $1 in
        run | test | bench)
            [ $mode_given = no ] || wrong_usage "one of run, test and bench, not \"$mode\" and \"$1\""
            mode=$1
            mode_given=yes
            ;;
        --no-install) may_install=no ;;
        -h | --help) usage; exit 0 ;;
        --) shift; break ;;
        *) wrong_usage "unknown argument \"$1\"; arguments of the job itself stand after --" ;;
    esac
    shift
done

root=$(cd "$(dirname "$0")/.." && pwd -P)
build=$root/.build/release
logs=$root/.build/logs
mkdir -p "$logs"

# ---- steps: one line each, the whole output only when one fails ------------------------------------------------------------------

# Copies what a step says into its log and, on a terminal, its progress ("[12/340]" of ninja, "12/340 Test" of ctest) onto its line.
follow() { # LOG TITLE
    if [ ! -t 1 ]; then
        cat > "$1"
        return
    fi
    : > "$1"
    while IFS= read -r line || [ -n "$line" ]; do # the last one may have no end
        printf '%s\n' "$line" >> "$1"
        progress=$(expr "x$line" : 'x *\[*\([0-9][0-9]*/[0-9][0-9]*\)[] ]' || true)
        [ -z "$progress" ] || printf '\r\033[Kvelostream: %s ... %s' "$2" "$progress"
    done
    printf '\r\033[Kvelostream: %s ... ' "$2"
}

# Runs a command as a step. Its exit code travels through a file, because a POSIX pipeline has only the last one's.
try_step() { # NAME TITLE COMMAND...
    step_log=$logs/$1.log
    step_title=$2
    shift 2
    printf 'velostream: %s ... ' "$step_title"
    step_began=$(date +%s)
    { "$@" 2>&1 && echo 0 > "$step_log.code" || echo $? > "$step_log.code"; } < /dev/null | follow "$step_log" "$step_title"
    step_code=$(cat "$step_log.code")
    rm -f "$step_log.code"
    if [ "$step_code" -eq 0 ]; then
        echo "done ($(($(date +%s) - step_began)) s)"
    else
        echo "failed"
    fi
    return "$step_code"
}

step() { # NAME TITLE COMMAND...
    try_step "$@" || { show_log; exit 1; }
}

show_log() {
    echo
    cat "$step_log"
    echo
    say "this is the log $step_log"
}

# ---- packages: a probe and Debian's name for each ------------------------------------------------------------------------------

missing=

need() { # PACKAGE PROBE...
    need_package=$1
    shift
    "$@" || missing="$missing $need_package"
}

has_command() { # NAME...: any of them
    for name in "$@"; do
        if command -v "$name" > /dev/null 2>&1; then return 0; fi
    done
    return 1
}

# Where compilers and CMake look for headers, colon-separated; in a subshell, which keeps the separator to itself.
find_header() ( # FILE: prints where it is
    prefixes=${CMAKE_PREFIX_PATH:-}:${VELOSTREAM_SYSTEM_PREFIXES:-/usr:/usr/local}
    IFS=:
    set -f
    for prefix in $prefixes; do
        if [ -f "$prefix/include/$1" ]; then
            printf '%s\n' "$prefix/include/$1"
            exit 0
        fi
    done
    exit 1
)

has_header() { find_header "$1" > /dev/null; }

has_compiler() { # CXX is a program, or several words as CMake takes them: one that starts the compiler, the compiler, its options
    if has_command "${CXX:-c++}"; then return 0; fi
    [ -n "${CXX:-}" ] || return 1
    for word in $CXX; do
        case $word in -*) continue ;; esac
        has_command "$word" || return 1
    done
}

has_cmake() {
    has_command cmake || return 1
    cmake --version | sed -n 's/^cmake version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | {
        read -r major minor && [ $((major * 100 + minor)) -ge 325 ]
    }
}

has_boost() {
    boost_header=$(find_header boost/version.hpp || true)
    if [ -n "${BOOST_ROOT:-}" ]; then
        boost_header=$BOOST_ROOT/boost/version.hpp
        [ -f "$boost_header" ] || boost_header=$BOOST_ROOT/include/boost/version.hpp
    fi
    boost_number=$(sed -n 's/^#define BOOST_VERSION \([0-9]*\).*/\1/p' "$boost_header" 2> /dev/null || true) # 108100 is 1.81.0
    if [ "${boost_number:-0}" -ge 108100 ]; then return 0; fi
    [ -z "${BOOST_ROOT:-}" ] || fail "BOOST_ROOT is $BOOST_ROOT, but there is no Boost 1.81 or newer in it (found: ${boost_number:-none})"
    return 1
}

find_missing() {
    missing=
    need g++ has_compiler
    need cmake has_cmake
    need ninja-build has_command ninja make
    need libboost1.81-dev has_boost
    need librdkafka-dev has_header librdkafka/rdkafka.h
    need libpq-dev has_header postgresql/libpq-fe.h
    need libsqlite3-dev has_header sqlite3.h
    need libfmt-dev has_header fmt/format.h
    need libspdlog-dev has_header spdlog/spdlog.h
    need libzstd-dev has_header zstd.h
    need libcli11-dev has_header CLI/CLI.hpp
    need nlohmann-json3-dev has_header nlohmann/json.hpp
    case $mode in
        test)
            need libgtest-dev has_header gtest/gtest.h
            need libgmock-dev has_header gmock/gmock.h
            need libbenchmark-dev has_header benchmark/benchmark.h
            need pkg-config has_command pkg-config
            need python3 has_command python3
            need zstd has_command zstd
            ;;
        bench) need libbenchmark-dev has_header benchmark/benchmark.h ;;
    esac
    missing=${missing# }
}

test_broker() { sh "$root/cmake/test_broker.sh" "$@"; }

find_missing_for_broker() {
    missing=
    need openjdk-17-jre-headless has_command java
    test_broker check > /dev/null 2>&1 || need maven has_command mvn
    need kcat has_command kcat
    missing=${missing# }
}

test_database() { sh "$root/cmake/test_database.sh" "$@"; }

find_missing_for_database() {
    missing=
    test_database check > /dev/null 2>&1 || missing="postgresql openssl"
}

# Options of every installation, simulated or real: wait for another apt to end, no pseudo-terminal, nothing but what is named.
apt_options="-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 --no-install-recommends"

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"
    else
        sudo env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"
    fi
}

# Asks for the password now, on the terminal, so that no step waits for it behind its one line.
become_root() {
    if [ "$(id -u)" -eq 0 ] || { has_command sudo && sudo -n true 2> /dev/null; }; then return 0; fi
    if has_command sudo && [ -t 0 ]; then
        say "installing needs root: $missing"
        if sudo -v; then return 0; fi
    fi
    fail "installing needs root; run as root:  apt-get install --no-install-recommends --no-remove $missing"
}

knows_packages() {
    for package in $missing; do
        apt-cache show --no-all-versions "$package" > /dev/null 2>&1 || return 1
    done
}

update_lists() { step lists "reading the package lists" as_root apt-get -o DPkg::Lock::Timeout=300 update; }

# A dry run first: --no-remove makes apt refuse to push anything out, and the user learns what it would have been.
simulate_install() {
    # Options and package names hold no spaces: unquoted on purpose, here and below.
    # shellcheck disable=SC2086
    if LC_ALL=C apt-get $apt_options --no-remove --simulate install $missing > "$logs/simulation.log" 2>&1; then return 0; fi
    if ! grep -q 'remove is disabled' "$logs/simulation.log"; then
        cat "$logs/simulation.log"
        fail "apt cannot install: $missing"
    fi
    # shellcheck disable=SC2086
    removed=$(LC_ALL=C apt-get $apt_options --simulate install $missing | sed -n 's/^Remv \([^ ]*\).*/\1/p' | tr '\n' ' ')
    say "installing these packages would remove others, so nothing was installed" >&2
    say "  to install: $missing" >&2
    say "  would go:   $removed" >&2
    case $missing in
        *boost*)
            say "way out: keep your Boost and unpack Boost 1.81 or newer beside it (its headers are enough, nothing to compile;" >&2
            say "https://www.boost.org/users/history/), then name its folder:  BOOST_ROOT=/path/to/boost_1_81_0 sh cmake/quickstart.sh $mode" >&2
            ;;
    esac
    exit 1
}

# shellcheck disable=SC2086
install_missing() { # FINDER: what sets $missing
    finder=$1
    become_root
    knows_packages || update_lists
    # Debian 12 has Boost 1.81 beside its default 1.74; later releases have a newer default and no libboost1.81-dev. Likewise Java.
    if ! knows_packages; then
        missing=$(echo "$missing" | sed 's/libboost1\.81-dev/libboost-dev/; s/openjdk-17-jre/default-jre/')
    fi
    simulate_install
    set -- packages "installing $missing" as_root apt-get $apt_options --no-remove -y install $missing
    if ! try_step "$@"; then
        update_lists # they may name a version that the mirror no longer has
        step "$@"
    fi
    $finder
    [ -z "$missing" ] || fail "still missing after the installation: $missing"
}

is_debian() { has_command apt-get && has_command dpkg; }

get_packages() {
    find_missing
    if [ -z "$missing" ]; then
        say "packages ... all there"
    elif [ $may_install = no ]; then
        fail "missing packages (--no-install): $missing"
    elif is_debian; then
        install_missing find_missing
    else
        say "not a Debian system; please install what Debian calls: $missing"
        has_cmake || fail "CMake 3.25 or newer is needed"
    fi
}

# What the tests on a real broker need. Where it cannot be had they are skipped, and all others run.
get_broker() {
    find_missing_for_broker
    if [ -n "$missing" ] && [ $may_install = yes ] && is_debian; then
        (install_missing find_missing_for_broker) || true
        find_missing_for_broker
    fi
    if [ -n "$missing" ]; then
        say "tests on a real Kafka broker are skipped; they need what Debian calls: $missing"
    elif test_broker check > /dev/null 2>&1; then
        return 0
    elif [ $may_install = no ]; then
        say "tests on a real Kafka broker are skipped (--no-install); they need:  sh cmake/test_broker.sh fetch"
    elif ! try_step kafka "fetching Apache Kafka into .build/kafka" test_broker fetch; then
        say "tests on a real Kafka broker are skipped; why it could not be fetched is in $step_log"
    fi
}

# The same for a real database.
get_database() {
    find_missing_for_database
    if [ -n "$missing" ] && [ $may_install = yes ] && is_debian; then
        (install_database) || true
        find_missing_for_database
    fi
    [ -z "$missing" ] || say "tests on a real PostgreSQL are skipped; they need what Debian calls: $missing"
}

# In a subshell. Left to itself Debian's package makes a cluster and starts its server; the tests have one of their own.
install_database() {
    become_root
    no_cluster=${VELOSTREAM_SYSTEM_ETC:-/etc}/postgresql-common/createcluster.d/velostream.conf
    trap 'as_root rm -f "$no_cluster"' EXIT
    # shellcheck disable=SC2016
    as_root sh -c 'mkdir -p "${1%/*}" && echo "create_main_cluster = false" > "$1"' sh "$no_cluster"
    install_missing find_missing_for_database
}

# ---- configure, build -------------------------------------------------------------------------------------------------------

cache_has() { # OPTION: it is on in the configured tree
    grep -q "^$1:BOOL=ON\$" "$build/CMakeCache.txt" 2> /dev/null
}

# On if this mode needs it, or an earlier one did and its packages are still there: modes do not undo each other's configuration.
on_off() { # MODES OPTION HEADER
    case " $1 " in *" $mode "*) echo ON && return ;; esac
    if cache_has "$2" && has_header "$3"; then echo ON; else echo OFF; fi
}

# What a configuration depends on besides the project's own files, which the build tool watches: an optional library that was
# installed since joins the build.
configuration() {
    echo "$root|$generator|${CXX:-}|${CXXFLAGS:-}|${LDFLAGS:-}|${BOOST_ROOT:-}|${CMAKE_PREFIX_PATH:-}|tests $tests|benchmarks $benchmarks"
    [ ! -f /var/lib/dpkg/status ] || cksum < /var/lib/dpkg/status
}

configure() {
    generator=Ninja
    has_command ninja || generator="Unix Makefiles"
    tests=$(on_off test VELOSTREAM_BUILD_TESTS gmock/gmock.h)
    benchmarks=$(on_off "test bench" VELOSTREAM_BUILD_BENCHMARKS benchmark/benchmark.h)
    stamp=$build/.configuration
    if [ -f "$stamp" ] && [ "$(configuration)" = "$(cat "$stamp")" ]; then return 0; fi

    rm -f "$stamp"
    step configure "configuring .build/release" cmake --fresh -C "$root/cmake/init/release.cmake" -S "$root" -B "$build" -G "$generator" \
        -D VELOSTREAM_BUILD_TESTS="$tests" -D VELOSTREAM_BUILD_BENCHMARKS="$benchmarks"
    configuration > "$stamp"
}

# A compiler on coroutine code takes up to 1.2 GB: as many at a time as there are processors and memory for.
parallel() {
    if [ -n "${CMAKE_BUILD_PARALLEL_LEVEL:-}" ]; then
        echo "$CMAKE_BUILD_PARALLEL_LEVEL"
        return
    fi
    jobs=$(nproc 2> /dev/null || getconf _NPROCESSORS_ONLN 2> /dev/null || echo 2)
    megabytes=$(sed -n 's/^MemAvailable: *\([0-9]*\)[0-9]\{3\} kB/\1/p' /proc/meminfo 2> /dev/null || true)
    limit=$(cat /sys/fs/cgroup/memory.max 2> /dev/null || echo max)
    if [ "$limit" != max ] && [ $((limit / 1000000)) -lt "${megabytes:-0}" ]; then megabytes=$((limit / 1000000)); fi
    if [ -n "$megabytes" ] && [ $((megabytes / 1200)) -lt "$jobs" ]; then jobs=$((megabytes / 1200)); fi
    if [ "$jobs" -lt 1 ]; then jobs=1; fi
    echo "$jobs"
}

build() { # TITLE TARGET...
    title=$1
    shift
    step build "building $title" cmake --build "$build" --parallel "$(parallel)" --target "$@"
}

start() { # PROGRAM ARGUMENTS...
    program=$build/bin/$1
    shift
    [ -x "$program" ] || fail "the build has no program $program"
    exec "$program" "$@"
}

# ---- the three modes ----------------------------------------------------------------------------------------------------------

run_job() {
    build "libraries, tools and examples" velostream_libraries velostream_tools velostream_examples
    start orders_pipeline "$@"
}

# By the programs that they are part of; ctest has named each.
tell_what_did_not_run() {
    programs=
    for test in $(sed -n '/^The following tests did not run/,/^$/s/^[[:space:]]*[0-9]* - \([^. ]*\).*/\1/p' "$step_log"); do
        case "$programs " in *" $test "*) ;; *) programs="$programs $test" ;; esac
    done
    [ -z "$programs" ] || say "TESTS THAT DID NOT RUN, OF:$(echo "$programs" | tr '[:lower:]' '[:upper:]')"
}

run_tests() {
    build "libraries, tools, examples and tests" \
        velostream_libraries velostream_tools velostream_examples velostream_tests velostream_header_check
    # Most of the longer tests wait, for a broker or a clock: twice as many at a time as can compute.
    if try_step test "testing" ctest --test-dir "$build" --parallel $((2 * $(parallel))) --no-tests=error --output-on-failure "$@"; then
        sed -n '/tests passed/,$p' "$step_log"
        tell_what_did_not_run
        return 0
    fi
    grep -v -e ' Passed  *[0-9.]* sec' -e '^ *Start ' "$step_log"
    say "the whole log is $step_log"
    return 1
}

run_benchmarks() {
    build "benchmarks" velostream_libraries velostream_benchmarks
    start velostream_bench_report "$@"
}

get_packages
if [ $mode = test ]; then
    get_broker
    get_database
fi
configure
case $mode in
    run) run_job "$@" ;;
    test) run_tests "$@" ;;
    bench) run_benchmarks "$@" ;;
esac
