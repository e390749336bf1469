#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Polled I/O goes through the poll queues and is completed by polling alone; other I/O is as ever.
plan 6

pick_seed

QUEUE=/sys/block/rblk0/queue
cpus=$(getconf _NPROCESSORS_ONLN)

# results JQ-OPTION...: of fio, without what it says before them.
results() { sed -n '/^{/,$p' "$WORK/fio.json" | jq "$@"; }

# run_fio FIO-OPTION...: verified I/O to direct blocks, none of them merged
run_fio() {
    echo 2 >"$QUEUE/nomerges"
    fio --filename=/dev/rblk0 --direct=1 --rw=randwrite --bs=4k --size=1m --randseed="$seed" \
        --verify=crc32c --output-format=json --output="$WORK/fio.json" "$@" || {
        grep -v '^[ {}]' "$WORK/fio.json"
        return 1
    }
    results -e '[.jobs[].error] | add == 0'
}

requests_of() { echo $(($(counter reads "$1") + $(counter writes "$1"))); } # requests_of QUEUE

# all_completed_by WAY FIRST-QUEUE NUMBER: WAY is softirq, timer, polled, or inline for none of them.
# Leaves the number of their requests in `requests`.
all_completed_by() {
    requests=0
    for queue in $(seq "$2" $(($2 + $3 - 1))); do
        on_queue=$(requests_of "$queue")
        requests=$((requests + on_queue))
        for way in softirq timer polled; do
            expected=0
            [ "$way" != "$1" ] || expected=$on_queue
            [ "$(counter "$way" "$queue")" -eq "$expected" ]
        done
    done
}

# polled IRQMODE WAY SUBMIT-QUEUES POLL-QUEUES: polled I/O alone, and then with other I/O beside it
polled() {
    reload size=16 "irqmode=$1" "submit_queues=$3" "poll_queues=$4"
    [ "$(cat "$QUEUE/io_poll")" -eq 1 ]
    [ "$(cat "$DEBUGFS/rblk0/poll_queues")" -eq "$4" ]
    [ "$(find /sys/block/rblk0/mq -mindepth 1 -maxdepth 1 -type d | wc -l)" -eq $(($3 + $4)) ]

    run_fio --name=polled --ioengine=io_uring --hipri --iodepth=16 --numjobs="$cpus" \
        --offset_increment=1m --cpus_allowed="0-$((cpus - 1))" --cpus_allowed_policy=split
    cat "$DEBUGFS/rblk0/queues"
    all_completed_by polled "$3" "$4"
    # Each block was written once and read once.
    [ "$requests" -eq $((cpus * 512)) ]
    for queue in $(seq "$3" $(($3 + $4 - 1))); do
        [ "$(requests_of "$queue")" -gt 0 ]
    done

    run_fio --ioengine=io_uring --iodepth=16 \
        --name=polled --hipri --offset=0 --name=ordinary --offset=4m
    cat "$DEBUGFS/rblk0/queues"
    all_completed_by polled "$3" "$4"
    [ "$requests" -eq $((cpus * 512 + 512)) ]
    all_completed_by "$2" 0 "$3"
    [ "$requests" -ge 512 ]
    [ "$(counter errors)" -eq 0 ]
}

# Some poll while others do ordinary I/O, and the poller may not complete what is not polled: with a
# long timer, it would be done too early.
not_completed_by_pollers() {
    reload size=16 irqmode=2 completion_nsec=20000000 poll_queues=1
    fio --name=polled --filename=/dev/rblk0 --direct=1 --ioengine=io_uring --hipri --iodepth=4 \
        --rw=randread --bs=4k --size=4m --time_based --runtime=60 --output=/dev/null &
    fio_pid=$!
    wait_for 20 some_are_polled
    "$TESTS/timed_io.py" /dev/rblk0 15 --seed "$seed" --first 2048 >"$WORK/times"
    kill "$fio_pid"
    wait "$fio_pid" || :
    sort -n -k 3 "$WORK/times" | sed -n '1p;$p'
    [ "$(wc -l <"$WORK/times")" -eq 30 ]
    awk '$3 < 20000 || $4 != "ok" { exit 1 }' "$WORK/times"
}

some_are_polled() { [ "$(counter polled)" -gt 0 ]; }

# The block layer refuses what cannot be polled, as it does on any disk; all else works.
no_poll_queues() {
    reload size=16
    [ "$(cat "$QUEUE/io_poll")" -eq 0 ]
    fails_with "[Oo]peration not supported" run_fio --name=polled --ioengine=io_uring --hipri --iodepth=16
    [ "$(counter polled)" -eq 0 ]
    run_fio --name=ordinary --ioengine=io_uring --iodepth=16
    [ "$(counter polled)" -eq 0 ]
}

check "one poll queue for all CPUs, beside requests ended inline" polled 0 inline 1 1
check "a poll queue for each of 2 CPUs, beside requests by softirq" polled 1 softirq 2 2
check "one poll queue beside two queues with timer" polled 2 timer 2 1
check "two poll queues beside one queue with timer" polled 2 timer 1 2
check "a poller completes nothing that is not polled" not_completed_by_pollers
check "without poll queues polled I/O is refused, and other I/O works" no_poll_queues
finish
