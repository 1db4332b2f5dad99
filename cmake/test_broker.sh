#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A real Apache Kafka (KRaft: no ZooKeeper) for tests, on loopback only. See usage() below.
set -eu
unset CDPATH

usage() {
    cat <<'TEXT'
usage: sh cmake/test_broker.sh COMMAND

  fetch                    gets Kafka's jars (46 MB) into .build/kafka of the project; does nothing where they are there
  check                    says what is missing for a start and exits with 77, or says nothing
  start FOLDER [N]         starts N brokers (default 1) on free ports, waits until they answer and prints their addresses, which are
                           in FOLDER/address, too. FOLDER is made; brokers of an earlier start in it end, with their data
  start --with-caller ...  the same; they end at the latest when the process that called this does
  start --secured ...      each has two more listeners, with addresses in FOLDER/sasl_address and FOLDER/tls_address: one for the users
                           alice (password alice-secret, PLAIN) and bob (bob-secret, SCRAM-SHA-256), who may do what ACLs allow,
                           and one with the certificate FOLDER/ca.pem
  pause|resume|kill FOLDER [ID]   SIGSTOP, SIGCONT, SIGKILL to the broker with this number (from 0), or to all
  stop FOLDER [ID]         SIGTERM, and waits
  restart FOLDER [ID]      starts what was killed or stopped again: same data, same ports
  remove FOLDER            kills all and deletes FOLDER
  tool CLASS ARGUMENTS...  one of Kafka's own: tool kafka.admin.ConfigCommand --help

A broker's output is in FOLDER/ID/broker.log. Needs Java 17 and, to fetch, Maven (Debian: openjdk-17-jre-headless, maven).
TEXT
}

fail() { echo "test_broker: $*" >&2; exit 1; }

here=$(cd "$(dirname "$0")" && pwd -P)
pom=$here/test_broker.pom.xml
jars=$(dirname "$here")/.build/kafka

# ---- the jars -----------------------------------------------------------------------------------------------------------------

# The copy of the pom is written last: with it, the jars are those that it names, and all of them.
has_jars() { cmp -s "$pom" "$jars/pom.xml"; }

fetch() {
    if has_jars; then return 0; fi
    command -v mvn > /dev/null 2>&1 || fail "Maven is missing (Debian package: maven)"
    rm -rf "$jars"
    mkdir -p "$jars"
    mvn -q -B -C -f "$pom" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$jars"
    cp "$pom" "$jars/pom.xml"
}

check() {
    lacking=
    has_jars || lacking="Kafka is missing (sh cmake/test_broker.sh fetch)"
    command -v java > /dev/null 2>&1 || lacking="Java is missing (Debian package: openjdk-17-jre-headless)"
    [ -n "$lacking" ] || return 0
    echo "test_broker: $lacking" >&2
    exit 77 # by custom the exit code of a test that is to be skipped
}

tool() { # CLASS ARGUMENTS...
    check
    exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$jars/*" "$@"
}

# ---- one broker, in the folder $folder/ID -------------------------------------------------------------------------------------

java_in() { # ID ARGUMENTS...: becomes java; call it in a subshell
    id=$1
    shift
    cd "$folder/$id"
    exec java -Xms64m -Xmx384m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j.configuration=file:log4j.properties \
        -Dfolder="$folder/$id" -cp "$jars/*" "$@"
}

client_port() { echo $((base + 4 * $1)); }
control_port() { echo $((base + 4 * $1 + 1)); }
sasl_port() { echo $((base + 4 * $1 + 2)); }
tls_port() { echo $((base + 4 * $1 + 3)); }

# What is said on the plain listener, by nobody in particular, stays allowed.
secure() { # ID
    sed -i "s|^listeners=.*|&,SASL://127.0.0.1:$(sasl_port "$1"),TLS://127.0.0.1:$(tls_port "$1")|" "$folder/$1/server.properties"
    cat >> "$folder/$1/server.properties" << CONF
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="alice-secret";
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PKCS12
ssl.keystore.location=../broker.p12
ssl.keystore.password=changeit
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
CONF
}

make_certificate() {
    keytool -genkeypair -alias broker -keyalg EC -dname CN=localhost -ext SAN=dns:localhost,ip:127.0.0.1 -validity 3650 \
        -storetype PKCS12 -keystore "$folder/broker.p12" -storepass changeit > "$folder/keytool.log" 2>&1 &&
        keytool -exportcert -rfc -alias broker -keystore "$folder/broker.p12" -storepass changeit > "$folder/ca.pem" 2>> "$folder/keytool.log" ||
        fail "no certificate: $(cat "$folder/keytool.log")"
}

# Records of tests are as old as they say, so nothing is deleted for its age where the topic does not ask for it.
# Paths are relative, because a list of folders in Kafka's settings has no way to write a comma or a space at an end.
configure() { # ID
    mkdir -p "$folder/$1"
    cat > "$folder/$1/server.properties" << CONF
process.roles=broker,controller
node.id=$1
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$(client_port "$1"),CONTROLLER://127.0.0.1:$(control_port "$1")
log.dirs=data
num.partitions=4
default.replication.factor=$copies
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$copies
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=4
broker.heartbeat.interval.ms=300
broker.session.timeout.ms=2000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
log.cleaner.dedupe.buffer.size=8388608
log.retention.ms=-1
CONF
    cat > "$folder/$1/log4j.properties" << CONF
log4j.rootLogger=WARN, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.target=System.err
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=%d{HH:mm:ss.SSS} %p %c{1} %m%n
log4j.logger.kafka.server.KafkaRaftServer=INFO
CONF
    scram=
    if [ $secured = yes ]; then
        secure "$1"
        scram='--add-scram SCRAM-SHA-256=[name=bob,password=bob-secret]'
    fi
    # A cluster's name is sixteen bytes in base64. One of its own, so that no broker of another start is taken for one of these.
    (java_in "$1" kafka.tools.StorageTool format $scram -t "$(printf 'velostream-%010dA' $$)" -c server.properties) > "$folder/$1/format.log" 2>&1 ||
        fail "broker $1 cannot be prepared: $(cat "$folder/$1/format.log")"
}

launch() { # ID
    : > "$folder/$1/broker.log"
    java_in "$1" kafka.Kafka server.properties >> "$folder/$1/broker.log" 2>&1 < /dev/null &
    echo $! > "$folder/$1/pid"
}

# A process that has the number by chance is none of ours.
is_alive() { # ID
    pid=$(cat "$folder/$1/pid" 2> /dev/null) && grep -qF -e "-Dfolder=$folder/$1" "/proc/$pid/cmdline" 2> /dev/null
}

wait_until_up() { # ID
    log=$folder/$1/broker.log
    left=300
    until grep -q 'Kafka Server started' "$log"; do
        is_running "$(cat "$folder/$1/pid")" || fail "broker $1 has died: $(tail -5 "$log")"
        left=$((left - 1))
        [ $left -gt 0 ] || fail "broker $1 is not up after a minute: $(tail -5 "$log")"
        sleep 0.2
    done
}

# A process that ends loses its command line first and its ports later; then, until somebody asks for its exit code, it is a zombie.
is_running() { # PID
    grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2> /dev/null
}

wait_until_gone() { # PID
    left=300
    while is_running "$1"; do
        left=$((left - 1))
        [ $left -gt 0 ] || fail "the broker with process number $1 does not end"
        sleep 0.1
    done
}

# ---- all of them --------------------------------------------------------------------------------------------------------------

# Sets $folder to an absolute path, and $brokers to the one of this number or to all.
open_folder() { # FOLDER [ID]
    [ -f "$1/address" ] || fail "no brokers were started in $1"
    folder=$(cd "$1" && pwd -P)
    brokers=${2:-$(cat "$folder/brokers")}
    [ -d "$folder/${2:-}" ] || fail "there is no broker $2 in $1"
}

signal() { # NAME
    for id in $brokers; do
        if is_alive "$id"; then kill "-$1" "$pid"; fi
    done
}

# A signal takes its time to reach every thread.
wait_until_paused() {
    for id in $brokers; do
        is_alive "$id" || continue
        left=300
        while [ -n "$(grep -L '^State:[[:space:]]*[TZX]' "/proc/$pid/task/"*/status 2> /dev/null)" ]; do
            left=$((left - 1))
            [ $left -gt 0 ] || fail "the broker with process number $pid does not stop"
            sleep 0.1
        done
    done
}

end() { # SIGNAL
    ending=
    for id in $brokers; do
        if is_alive "$id"; then
            kill "-$1" "$pid"
            kill -CONT "$pid"
            ending="$ending $pid"
        fi
    done
    for pid in $ending; do wait_until_gone "$pid"; done
}

# A folder that holds something and is not one of ours is not deleted.
remove() { # FOLDER
    if [ ! -d "$1" ] || rmdir "$1" 2> /dev/null; then return 0; fi
    open_folder "$1"
    end KILL
    rm -rf "$folder"
}

is_taken() { # PORT
    grep -q ":$(printf '%04X' "$1") " /proc/net/tcp /proc/net/tcp6 2> /dev/null
}

# Sets $base to the first of 4 * COUNT ports that are free. Below those that systems give to clients, and seldom the same as that of
# another start at the same time, which has bound nothing yet.
choose_ports() { # COUNT
    base=$((20000 + $$ % 300 * 40))
    port=$base
    while [ "$port" -lt $((base + 4 * $1)) ]; do
        if is_taken "$port"; then base=$((port + 1)); fi
        port=$((port + 1))
    done
}

start() { # FOLDER COUNT
    remove "$1"
    check
    mkdir -p "$1"
    folder=$(cd "$1" && pwd -P)
    choose_ports "$2"
    voters='' address='' brokers='' sasl_address='' tls_address=''
    id=0
    while [ $id -lt "$2" ]; do
        voters="$voters${voters:+,}$id@127.0.0.1:$(control_port $id)"
        address="$address${address:+,}127.0.0.1:$(client_port $id)"
        sasl_address="$sasl_address${sasl_address:+,}127.0.0.1:$(sasl_port $id)"
        tls_address="$tls_address${tls_address:+,}127.0.0.1:$(tls_port $id)"
        brokers="$brokers$id "
        id=$((id + 1))
    done
    copies=1 in_sync=1
    if [ "$2" -ge 3 ]; then copies=3 in_sync=2; fi
    echo "$brokers" > "$folder/brokers"
    echo "$address" > "$folder/address"
    if [ $secured = yes ]; then
        make_certificate
        echo "$sasl_address" > "$folder/sasl_address"
        echo "$tls_address" > "$folder/tls_address"
    fi
    for id in $brokers; do configure "$id"; done
    if [ $with_caller = yes ]; then remove_with_caller; fi
    trap 'code=$?; end KILL; exit $code' EXIT # all are up, or none is left
    trap 'exit 1' HUP INT TERM
    for id in $brokers; do launch "$id"; done
    for id in $brokers; do wait_until_up "$id"; done
    trap - EXIT
    echo "$address"
}

# Looks once a second. A later start in the same folder has its own number there, and this one's watch is over.
remove_with_caller() {
    echo $$ > "$folder/starter"
    (
        while [ "$(cat "$folder/starter" 2> /dev/null)" = $$ ]; do
            is_running "$PPID" || remove "$folder"
            sleep 1
        done
    ) > /dev/null 2>&1 < /dev/null &
}

restart() {
    for id in $brokers; do
        if ! is_alive "$id"; then launch "$id"; fi
    done
    for id in $brokers; do wait_until_up "$id"; done
}

wrong_usage() { echo "test_broker: $1 (sh cmake/test_broker.sh --help)" >&2; exit 2; }

command=${1:-}
[ $# -eq 0 ] || shift
with_caller=no secured=no
while [ "$command" = start ]; do
    case ${1:-} in
        --with-caller) with_caller=yes ;;
        --secured) secured=yes ;;
        *) break ;;
    esac
    shift
done
case $command in
    -h | --help) usage; exit 0 ;;
    fetch | check) [ $# -eq 0 ] || wrong_usage "$command takes no arguments" ;;
    tool) [ $# -gt 0 ] || wrong_usage "tool which class?"; tool "$@" ;;
    start | stop | kill | pause | resume | restart | remove) [ -n "${1:-}" ] || wrong_usage "$command which folder?" ;;
    *) wrong_usage "unknown command \"$command\"" ;;
esac
case ${2:-0} in *[!0-9]*) wrong_usage "\"$2\" is not a number" ;; esac
case $command in
    stop | kill | pause | resume | restart) open_folder "$@" ;;
esac
case $command in
    fetch | check) $command ;;
    start)
        [ "${2:-1}" -gt 0 ] || wrong_usage "start how many brokers?"
        start "$1" "${2:-1}"
        ;;
    stop) end TERM ;;
    kill) end KILL ;;
    pause) signal STOP; wait_until_paused ;;
    resume) signal CONT ;;
    restart) restart ;;
    remove) remove "$1" ;;
esac
