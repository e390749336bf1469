#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Each irqmode completes requests in its own way, and in no other; by timer, none is done too early.
plan 11

pick_seed

cpus=$(getconf _NPROCESSORS_ONLN)

# results JQ-OPTION...: of fio, without what it says before them.
results() { sed -n '/^{/,$p' "$WORK/fio.json" | jq "$@"; }

from_each_cpu() {
    for cpu in $(seq 0 $((cpus - 1))); do
        taskset -c "$cpu" dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=4k count=40
        taskset -c "$cpu" dd if=/dev/rblk0 of=/dev/null iflag=direct bs=4k count=40
    done
}

# completed_by WAY REQUESTS: so many of each queue at least, all in this way, and none in another.
completed_by() {
    cat "$DEBUGFS/rblk0/queues"
    for queue in $(seq 0 $(($(wc -l <"$DEBUGFS/rblk0/queues") - 2))); do
        requests=$(($(counter reads "$queue") + $(counter writes "$queue")))
        [ "$requests" -ge "$2" ]
        for way in softirq timer polled; do
            expected=0
            [ "$way" != "$1" ] || expected=$requests
            [ "$(counter "$way" "$queue")" -eq "$expected" ]
        done
    done
    [ "$(counter errors)" -eq 0 ]
}

completes() { # completes IRQMODE WAY QUEUES
    reload size=16 "irqmode=$1" "submit_queues=$3"
    from_each_cpu
    completed_by "$2" 80
}

# never_before NSEC PAIRS: one I/O at a time, each takes at least so long, and all are right.
never_before() {
    reload size=16 irqmode=2 "completion_nsec=$1"
    "$TESTS/timed_io.py" /dev/rblk0 "$2" --seed "$seed" >"$WORK/times"
    sort -n -k 3 "$WORK/times" | sed -n '1p;$p'
    [ "$(wc -l <"$WORK/times")" -eq $(($2 * 2)) ]
    awk -v usec=$(($1 / 1000)) '$3 < usec || $4 != "ok" { exit 1 }' "$WORK/times"
    [ "$(counter timer)" -ge $(($2 * 2)) ]
    completed_by timer 0
}

# verified_at_depth NSEC: on all CPUs at once, 128 requests of each in flight.
verified_at_depth() {
    reload size=32 irqmode=2 "completion_nsec=$1"
    fio --name=deep --filename=/dev/rblk0 --direct=1 --ioengine=libaio --iodepth=128 --rw=randwrite \
        --bs=4k --size=3m --numjobs="$cpus" --offset_increment=3m --randseed="$seed" \
        --cpus_allowed="0-$((cpus - 1))" --cpus_allowed_policy=split \
        --verify=crc32c --output-format=json --output="$WORK/fio.json"
    results -e '[.jobs[].error] | add == 0'
    # The shortest of all, as fio saw it.
    shortest=$(results '[.jobs[] | .read.lat_ns.min, .write.lat_ns.min] | min')
    echo "shortest: $shortest ns"
    [ "$shortest" -ge "$1" ]
    [ "$(results '[.jobs[].read.io_bytes] | add')" -eq $((cpus * 3 << 20)) ]
    completed_by timer 1000
}

for queues in 1 "$cpus"; do
    check "irqmode=0 ends requests where they are queued ($queues queues)" completes 0 inline "$queues"
    check "irqmode=1 completes them by softirq ($queues queues)" completes 1 softirq "$queues"
    check "irqmode=2 completes them by timer ($queues queues)" completes 2 timer "$queues"
done
check "completion_nsec=0 works" never_before 0 40
check "with 5 ms, none is done before" never_before 5000000 30
check "with 50 ms, none is done before" never_before 50000000 10
check "128 requests in flight on each CPU, by timer: every block is right" verified_at_depth 100000
check "the same with 20 ms" verified_at_depth 20000000
finish
