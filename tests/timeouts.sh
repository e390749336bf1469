#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# A request that the device forgets ends with ETIMEDOUT after the queue's io_timeout, or is tried again,
# and disturbs no other; its answer, when it comes at last, hits nothing.
#   LOAD_SECONDS    how long the load with 1 % forgotten runs; default 60
plan 8

expect_log 'timeout error, dev rblk0'
pick_seed
load_seconds=${LOAD_SECONDS:-60}

QUEUE=/sys/block/rblk0/queue
IN_FLIGHT=$DEBUGFS/rblk0/in_flight
SPACE=1048576 # bytes that go by before the first fault: what `start` reads

# start IO_TIMEOUT_MSEC [PARAMETER=VALUE...]
start() {
    timeout_msec=$1
    shift
    reload size=32 fault_seed="$seed" "$@"
    echo "$timeout_msec" >"$QUEUE/io_timeout"
    [ "$(cat "$QUEUE/io_timeout")" -eq "$timeout_msec" ]
    echo 2 >"$QUEUE/nomerges"
    dd if=/dev/rblk0 of=/dev/null bs=1M count=1 iflag=direct # and the partition scan
    [ "$(counter timeouts)" -eq 0 ]
}

in_flight_is() { [ "$(cat "$IN_FLIGHT")" = "$1 started, $2 of them wait in the device" ]; }

# Each timeout had its late answer, and nothing is left.
all_accounted_for() { # all_accounted_for TIMEOUTS
    wait_for 10 late_answers_are "$1"
    cat "$DEBUGFS/rblk0/queues"
    [ "$(counter timeouts)" -eq "$1" ]
    wait_for 5 in_flight_is 0 0
}

late_answers_are() { [ "$(counter late_answers)" -eq "$1" ]; }

# results JQ-OPTION...: of fio, without what it says before them.
results() { sed -n '/^{/,$p' "$WORK/fio.json" | jq "$@"; }

# The block layer looks up to a second after the time.
forgotten_end_in_time() { # forgotten_end_in_time IO_TIMEOUT_MSEC PARAMETER=VALUE...
    start "$1" "timeout_inject=1,100,$SPACE,2" submit_queues=1 "$2"
    "$TESTS/timed_io.py" /dev/rblk0 2 --seed "$seed" >"$WORK/times"
    cat "$WORK/times"
    [ "$(awk '{ print $1, $4 }' "$WORK/times" | paste -sd ' ')" = \
        "write ETIMEDOUT read ETIMEDOUT write ok read ok" ]
    awk -v usec=$(($1 * 1000)) \
        '$4 != "ok" && ($3 < usec || $3 > usec + 3000000) { exit 1 }' "$WORK/times"
    [ "$(counter errors)" -eq 2 ]
    all_accounted_for 2
    log_has 'timeout error, dev rblk0'
}

# One is forgotten, and waits; those that come after it do not.
others_go_on() { # others_go_on PARAMETER=VALUE
    start 10000 "timeout_inject=1,100,$SPACE,1" "$1"
    "$TESTS/timed_io.py" /dev/rblk0 1 --first 4096 >"$WORK/forgotten" &
    pid=$!
    wait_for 10 in_flight_is 1 1
    "$TESTS/timed_io.py" /dev/rblk0 20 --seed "$seed" >"$WORK/times"
    cat "$IN_FLIGHT"
    in_flight_is 1 1
    [ "$(counter timeouts)" -eq 0 ]
    [ "$(wc -l <"$WORK/times")" -eq 40 ]
    awk '$4 != "ok" { exit 1 }' "$WORK/times"
    wait "$pid"
    cat "$WORK/forgotten"
    [ "$(awk '{ print $1, $4 }' "$WORK/forgotten" | paste -sd ' ')" = "write ETIMEDOUT read ok" ]
    all_accounted_for 1
}

# retried PARAMETER=VALUE FIO-OPTION...: who submits it sees nothing but time.
retried() {
    start 300 timeout_inject=100,100,0,-1 timeout_retry=1 "$1"
    shift
    fio --name=retried --filename=/dev/rblk0 --direct=1 --ioengine=io_uring --iodepth=64 \
        --rw=randwrite --bs=4k --size=4m --randseed="$seed" --verify=crc32c \
        --output-format=json --output="$WORK/fio.json" "$@"
    results -e '.jobs[0].error == 0'
    [ "$(results '.jobs[0].read.io_bytes')" -eq $((4 << 20)) ]
    cat "$DEBUGFS/rblk0/queues"
    timeouts=$(counter timeouts)
    [ "$timeouts" -ge 15 ]
    [ "$(counter requeues)" -eq "$timeouts" ]
    [ "$(counter errors)" -eq 0 ]
    # Each forgotten one was tried again.
    all_accounted_for "$timeouts"
}

# Every request has one end: fio's, and the counters say the same. 110 is ETIMEDOUT.
under_load() {
    start 300 "timeout_inject=1,1,$SPACE,-1" irqmode=2 submit_queues=2
    before=$(($(counter reads) + $(counter writes)))
    fio --name=load --filename=/dev/rblk0 --direct=1 --ioengine=libaio --iodepth=32 --numjobs=2 \
        --offset_increment=16m --size=16m --rw=randrw --bs=4k --randseed="$seed" --norandommap \
        --time_based --runtime="$load_seconds" --continue_on_error=io \
        --ignore_error=110,110 --output-format=json --output="$WORK/fio.json" >"$WORK/fio.log" 2>&1 ||
        echo "fio: exit status $?"
    results -c '.jobs[] | [.total_err, .first_error, .error, .read.total_ios, .write.total_ios]'
    errors=$(results '[.jobs[].total_err] | add')
    ios=$(results '[.jobs[] | .read.total_ios + .write.total_ios] | add')
    ktap_print_msg "$ios I/Os of fio, $errors of them failed"
    all_accounted_for "$errors"
    results -e '[.jobs[].first_error] == [110, 110]'
    # It stopped at none of the errors.
    [ "$(results '[.jobs[].job_runtime] | min')" -ge $((load_seconds * 1000)) ]
    [ "$(counter errors)" -eq "$errors" ]
    requests=$(($(counter reads) + $(counter writes) - before))
    echo "$requests requests"
    [ "$requests" -eq "$ios" ]
    # One in a hundred, within five standard deviations.
    off=$((100 * errors - requests))
    [ $((off * off)) -le $((25 * 99 * requests)) ]
}

check "forgotten ones end with ETIMEDOUT after 300 ms" forgotten_end_in_time 300 irqmode=0
check "and after 1000 ms, with irqmode=2" forgotten_end_in_time 1000 irqmode=2
check "others are not disturbed by one that waits" others_go_on irqmode=0
check "nor are they with irqmode=2" others_go_on irqmode=2
check "tried again, all succeed, with irqmode=1" retried irqmode=1
check "with irqmode=2" retried irqmode=2
check "and polled" retried poll_queues=1 --hipri
check "1 % forgotten under load for $load_seconds s: each request is accounted for" under_load
finish
