#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A real PostgreSQL for tests, on a socket of its own and on loopback. See usage() below.
set -eu
unset CDPATH

usage() {
    cat <<'TEXT'
usage: sh cmake/test_database.sh COMMAND

  check                    says what is missing for a start and exits with 77, or says nothing
  start FOLDER             makes a cluster, starts its server on a free port, waits until it answers and prints FOLDER/socket_dsn.
                           FOLDER is made; a server of an earlier start in it ends, with its data
  start --copy-of OTHER FOLDER   the same with the cluster as it was when the one in OTHER was made: at once
  start --setting NAME=VALUE ...  with this line more in its configuration
  start --with-caller ...  it ends at the latest when the process that called this does; --with PID: when that one does
  pause|resume|kill FOLDER SIGSTOP, SIGCONT, SIGKILL to all of its processes
  stop FOLDER              ends it as an administrator does: sessions end, then the server
  restart FOLDER           starts what was killed or stopped again: same data, same port
  remove FOLDER            kills it and deletes FOLDER

FOLDER/socket_dsn and FOLDER/tcp_dsn are connection strings for the superuser velostream, with whose password (velostream-secret) one gets
in by TCP; FOLDER/root.crt is for TLS. The server's output is in FOLDER/log,
the path of this script in FOLDER/script. Needs PostgreSQL's server (Debian: postgresql, of which no
cluster of the system is used). Root runs it as the user postgres, or nobody.
TEXT
}

fail() { echo "test_database: $*" >&2; exit 1; }

script=$(cd "$(dirname "$0")" && pwd -P)/$(basename "$0")

# Debian's newest, or the one in PATH.
find_binaries() {
    for bin in $(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -t / -k 5 -rn) "$(dirname "$(command -v initdb || true)")"; do
        if [ -x "$bin/initdb" ] && [ -x "$bin/postgres" ] && [ -x "$bin/pg_isready" ]; then return 0; fi
    done
    return 1
}

check() {
    lacking=
    find_binaries || lacking="PostgreSQL's server is missing (Debian package: postgresql)"
    command -v openssl > /dev/null 2>&1 || lacking="${lacking:-openssl is missing (Debian package: openssl)}"
    [ -n "$lacking" ] || return 0
    echo "test_database: $lacking" >&2
    exit 77 # by custom the exit code of a test that is to be skipped
}

# ---- the server ---------------------------------------------------------------------------------------------------------------

# The server refuses to be root. The folder of the data is in the system's temporary one, where its user may go, and where the path of a
# socket is not too long.
choose_user() {
    user=
    [ "$(id -u)" -eq 0 ] || return 0
    for user in postgres nobody; do
        if id "$user" > /dev/null 2>&1; then return 0; fi
    done
    fail "there is neither a user postgres nor a user nobody"
}

as_server() { # becomes the command; call it in a subshell
    cd /
    [ -z "$user" ] || exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups -- "$@"
    exec "$@"
}

make_place() {
    place=$(mktemp -d "${TMPDIR:-/tmp}/velostream-database-XXXXXX")
    echo "$place" > "$folder/place"
    [ -z "$user" ] || chown "$user" "$place"
}

make_cluster() {
    echo velostream-secret > "$folder/password"
    chmod 644 "$folder/password"
    cp "$folder/password" "$place/password"
    chmod 644 "$place/password"
    (as_server "$bin/initdb" -D "$place/data" -U velostream --auth-local=trust --auth-host=scram-sha-256 \
        --pwfile="$place/password" --no-sync -E UTF8 --locale=C --wal-segsize=1) > "$folder/initdb.log" 2>&1 ||
        fail "no cluster: $(cat "$folder/initdb.log")"
    (as_server openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$place/data/server.key" -out "$place/data/server.crt") \
        > "$folder/openssl.log" 2>&1 || fail "no certificate: $(cat "$folder/openssl.log")"
    cat >> "$place/data/postgresql.conf" << 'CONF'
listen_addresses = '127.0.0.1'
max_connections = 60
superuser_reserved_connections = 0
shared_buffers = 16MB
max_wal_size = 64MB
min_wal_size = 4MB
fsync = off
autovacuum = off
ssl = on
deadlock_timeout = 50ms
log_min_messages = fatal
CONF
    cp -Rp "$place/data" "$place/fresh" # what a copy of this one begins with
}

copy_cluster() { # FOLDER
    [ -f "$1/place" ] || fail "no database was started in $1"
    cp -Rp "$(cat "$1/place")/fresh" "$place/data"
}

# Called when none of its processes runs. One that was killed may be a zombie, which the server would take for another server.
launch() {
    rm -f "$place/data/postmaster.pid" "$place"/.s.PGSQL.*
    (as_server "$bin/postgres" -D "$place/data" -p "$port" -k "$place") >> "$folder/log" 2>&1 < /dev/null &
    echo $! > "$folder/pid"
}

# The postmaster's number and those of its children, or nothing if it is none of ours.
processes() {
    pid=$(cat "$folder/pid" 2> /dev/null) || return 0
    grep -qF -e "$place/data" "/proc/$pid/cmdline" 2> /dev/null || return 0
    echo "$pid $(cat "/proc/$pid/task/$pid/children" 2> /dev/null)"
}

is_running() { # PID
    grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2> /dev/null
}

wait_until_up() {
    left=300
    until (as_server "$bin/pg_isready" -q -h "$place" -p "$port" -U velostream -d postgres); do
        is_running "$(cat "$folder/pid")" || fail "the server has died: $(tail -5 "$folder/log")"
        left=$((left - 1))
        [ $left -gt 0 ] || fail "the server is not up after a minute: $(tail -5 "$folder/log")"
        sleep 0.1
    done
}

wait_until_gone() { # PID...
    left=300
    for pid; do
        while is_running "$pid"; do
            left=$((left - 1))
            [ $left -gt 0 ] || fail "the server with process number $pid does not end"
            sleep 0.05
        done
    done
}

# A signal takes its time to arrive. The postmaster comes first, so that there are no more children than are known then.
pause() {
    all=$(processes)
    [ -n "$all" ] || fail "the server does not run"
    kill -STOP "${all%% *}"
    all=$(processes)
    for pid in $all; do kill -STOP "$pid" 2> /dev/null || true; done
    left=300
    for pid in $all; do
        while grep -q '^State:[[:space:]]*[RSD]' "/proc/$pid/status" 2> /dev/null; do
            left=$((left - 1))
            [ $left -gt 0 ] || fail "the process $pid does not stop"
            sleep 0.05
        done
    done
}

resume() { for pid in $(processes); do kill -CONT "$pid" 2> /dev/null || true; done; }

kill_all() {
    all=$(processes)
    for pid in $all; do kill -KILL "$pid" 2> /dev/null || true; done
    # shellcheck disable=SC2086
    wait_until_gone $all
}

stop() {
    resume
    all=$(processes)
    for pid in ${all%% *}; do kill -INT "$pid"; done # "fast": it ends the sessions
    # shellcheck disable=SC2086
    wait_until_gone $all
}

restart() {
    [ -n "$(processes)" ] || launch
    wait_until_up
}

# ---- the folder ---------------------------------------------------------------------------------------------------------------

open_folder() { # FOLDER
    [ -f "$1/place" ] || fail "no database was started in $1"
    folder=$(cd "$1" && pwd -P)
    place=$(cat "$folder/place")
    port=$(cat "$folder/port" 2> /dev/null || echo 0)
}

# A folder that holds something and is not one of ours is not deleted.
remove() { # FOLDER
    if [ ! -d "$1" ] || rmdir "$1" 2> /dev/null; then return 0; fi
    open_folder "$1"
    kill_all
    case $place in */velostream-database-??????) rm -rf "$place" ;; esac
    rm -rf "$folder"
}

is_taken() { # PORT
    grep -q ":$(printf '%04X' "$1") " /proc/net/tcp /proc/net/tcp6 2> /dev/null
}

# Below those that systems give to clients, and seldom the same as that of another start at the same time.
choose_port() {
    port=$((15000 + $$ % 5000))
    while is_taken "$port"; do port=$((port + 1)); done
}

start() { # FOLDER
    remove "$1"
    check
    choose_user
    mkdir -p "$1"
    folder=$(cd "$1" && pwd -P)
    echo "$script" > "$folder/script"
    make_place
    if [ -n "$original" ]; then copy_cluster "$original"; else make_cluster; fi
    [ -z "$setting" ] || echo "$setting" >> "$place/data/postgresql.conf"
    choose_port
    echo "$port" > "$folder/port"
    cp "$place/data/server.crt" "$folder/root.crt"
    echo "host=$place port=$port user=velostream dbname=postgres" > "$folder/socket_dsn"
    echo "host=localhost port=$port user=velostream dbname=postgres password=velostream-secret" > "$folder/tcp_dsn"
    if [ -n "$keeper" ]; then remove_with_keeper; fi
    trap 'code=$?; kill_all; exit $code' EXIT # it is up, or not there
    trap 'exit 1' HUP INT TERM
    launch
    wait_until_up
    trap - EXIT
    cat "$folder/socket_dsn"
}

# Looks once a second. A later start in the same folder has its own number there, and this one's watch is over.
remove_with_keeper() {
    echo $$ > "$folder/starter"
    (
        while [ "$(cat "$folder/starter" 2> /dev/null)" = $$ ]; do
            is_running "$keeper" || remove "$folder"
            sleep 1
        done
    ) > /dev/null 2>&1 < /dev/null &
}

wrong_usage() { echo "test_database: $1 (sh cmake/test_database.sh --help)" >&2; exit 2; }

command=${1:-}
[ $# -eq 0 ] || shift
keeper='' original='' setting=''
while [ "$command" = start ]; do
    case ${1:-} in
        --with-caller) keeper=$PPID ;;
        --with) [ -n "${2:-}" ] || wrong_usage "with which process?"; keeper=$2; shift ;;
        --copy-of) [ -n "${2:-}" ] || wrong_usage "a copy of which folder?"; original=$2; shift ;;
        --setting) [ -n "${2:-}" ] || wrong_usage "which setting?"; setting=$2; shift ;;
        *) break ;;
    esac
    shift
done
case $command in
    -h | --help) usage; exit 0 ;;
    check) [ $# -eq 0 ] || wrong_usage "check takes no arguments" ;;
    start | stop | kill | pause | resume | restart | remove) [ $# -eq 1 ] && [ -n "$1" ] || wrong_usage "$command which folder?" ;;
    *) wrong_usage "unknown command \"$command\"" ;;
esac
case $command in
    stop | kill | pause | resume | restart) open_folder "$1"; find_binaries || check; choose_user ;;
esac
case $command in
    kill) kill_all ;;
    *) "$command" "$@" ;;
esac
