#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# The late answer to a request that timed out does not complete the next one that has the same tag.
# There is but one tag, the device takes 20 ms for each request, and late answers come 1 ms after the
# timeout: a request that such an answer hit would be done too early.
plan 3

expect_log 'timeout error, dev rblk0'
pick_seed

QUEUE=/sys/block/rblk0/queue
COMPLETION_USEC=20000
TIMEOUT_MSEC=300

start() { # start INTERVAL [PARAMETER=VALUE...]: every so many-th is forgotten
    interval=$1
    shift
    reload size=16 submit_queues=1 hw_queue_depth=1 irqmode=2 completion_nsec=$((COMPLETION_USEC * 1000)) \
        "timeout_inject=$interval,100,1048576,-1" "$@"
    echo "$TIMEOUT_MSEC" >"$QUEUE/io_timeout"
    dd if=/dev/rblk0 of=/dev/null bs=1M count=1 iflag=direct # goes by before the first fault
    [ "$(counter timeouts)" -eq 0 ]
}

late_answers_are() { [ "$(counter late_answers)" -eq "$1" ]; }

seen_by_the_submitter() {
    start 4
    "$TESTS/timed_io.py" /dev/rblk0 16 --seed "$seed" >"$WORK/times"
    cat "$WORK/times"
    [ "$(wc -l <"$WORK/times")" -eq 32 ]
    forgotten=$(grep -c ETIMEDOUT "$WORK/times")
    [ "$forgotten" -ge 7 ]
    wait_for 5 late_answers_are "$forgotten"
    [ "$(counter timeouts)" -eq "$forgotten" ]
    awk -v usec="$COMPLETION_USEC" -v timeout_usec=$((TIMEOUT_MSEC * 1000)) '
        $4 == "ok" && $3 < usec { exit 1 }
        $4 == "ETIMEDOUT" && $3 < timeout_usec { exit 1 }
        $4 != "ok" && $4 != "ETIMEDOUT" { exit 1 }' "$WORK/times"
}

# With others waiting for the tag it is used again at once. The block layer's own events tell how long
# the device had each request; as there is one tag, issue and completion alternate.
seen_by_the_block_layer() { # seen_by_the_block_layer PARAMETER=VALUE...
    start 4 "$@"
    for event in block_rq_issue block_rq_complete block_rq_requeue; do
        echo 1 >"$TRACING/events/block/$event/enable"
    done
    echo mono >"$TRACING/trace_clock"
    echo >"$TRACING/trace"
    pids=
    for job in 0 1 2; do
        "$TESTS/timed_io.py" /dev/rblk0 4 --seed $((seed + job)) --first $((job * 1024)) >"$WORK/times-$job" &
        pids="$pids $!"
    done
    for pid in $pids; do
        wait "$pid"
    done
    cat "$WORK"/times-*
    timeouts=$(counter timeouts)
    wait_for 5 late_answers_are "$timeouts"
    [ "$timeouts" -ge 5 ]
    echo 0 >"$TRACING/events/block/enable"
    grep -E ": block_rq_[a-z]*: $(tr : , </sys/block/rblk0/dev) [RW]" "$TRACING/trace" >"$WORK/trace"
    # CPU and task come first, and a task's name may have blanks.
    sed -E 's/^.* ([0-9]+)\.([0-9]{6}): block_rq_([a-z]*):.*\[(-?[0-9]+)\]$/\1 \2 \3 \4/
        s/^.* ([0-9]+)\.([0-9]{6}): block_rq_issue:.*/\1 \2 issue 0/' "$WORK/trace" >"$WORK/events"
    awk -v usec="$COMPLETION_USEC" -v timeout_usec=$((TIMEOUT_MSEC * 1000)) -v wanted=24 -v timeouts="$timeouts" '
        { now = $1 * 1000000 + $2 }
        $3 == "issue" { issued = now; next }
        !issued { print "not issued: " $0; bad = 1; next }
        $3 == "complete" && $4 == 0 {
            served++
            if (now - issued < usec) { print "after " now - issued " us: " $0; bad = 1 }
        }
        $3 == "requeue" || $4 != 0 {
            forgotten++
            if (now - issued < timeout_usec) { print "after " now - issued " us: " $0; bad = 1 }
        }
        { issued = 0; ended++ }
        END {
            printf "%d served, %d forgotten\n", served, forgotten
            exit bad || forgotten != timeouts || ended < wanted
        }' "$WORK/events"
    failed=$(cat "$WORK"/times-* | grep -c ' ETIMEDOUT$') || :
    [ "$failed" -eq "$([ $# -eq 0 ] && echo "$timeouts" || echo 0)" ]
    [ "$(cat "$WORK"/times-* | grep -c ' ok$')" -eq $((24 - failed)) ]
}

check "seen by who submits one I/O after another" seen_by_the_submitter
for what in "seen by the block layer, with others waiting for the tag;" \
    "and when the forgotten ones are tried again;timeout_retry=1"; do
    # Events of one tick of such a clock have no order.
    if grep -q jiffies /sys/devices/system/clocksource/clocksource0/current_clocksource; then
        skip "${what%;*}" "the kernel's clock ticks in milliseconds"
    else
        # shellcheck disable=SC2086 # a word or none
        check "${what%;*}" seen_by_the_block_layer ${what#*;}
    fi
done
finish
