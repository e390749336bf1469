#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# What the abstractions promise and no ordinary driver needs: an id names one parking only, a request
# that is dropped ends, each limit is set or refused, a depth beyond memory is halved and said.
KO=${CONTRACT_KO:-$TESTS/kmod/rblk_contract.ko}
[ -r "$KO" ] || skip_all "no module $KO; make RNULLBLK_TESTS=m builds it"
plan 15

STATE=/sys/kernel/debug/rblk_contract/shown
LIMITS=/sys/block/rblklimits/queue

expect_log 'WARNING: .*request.rs|Call Trace:|I/O error, dev rblkcontract'

remove_and_clean_up() {
    stop_status=$?
    set +e
    [ ! -d /sys/module/rblk_contract ] || wait_for 5 rmmod rblk_contract || stop_status=1
    (exit "$stop_status")
    cleanup
}
trap remove_and_clean_up EXIT

set_up() {
    insmod "$KO"
    wait_for 5 test -b /dev/rblkcontract
    wait_for 5 test -b /dev/rblklimits
}

cpu_of() { sed 's/[,-].*//' "/sys/block/rblkcontract/mq/$1/cpu_list"; } # cpu_of QUEUE: the first

# command NUMBER [QUEUE]: a write to the block of the number, through queue 0 or 1. See kmod/contract.rs.
command() {
    taskset -c "$(cpu_of "${2:-0}")" dd if=/dev/zero of=/dev/rblkcontract bs=4096 seek="$1" count=1 oflag=direct conv=notrunc
}
PARK=1 FIND_NOTHING=2 TAKE=3 DROP_STARTED=4 DROP_INCOMING=5 ALMOST_RIGHT=6 REQUEUE=7 START_TIMERS=8
DROP_REFUSED=9 KEEP_REFUSED=10 GIVE_KEPT=11

almost_right() {
    for _ in 1 2 3 4 5; do
        command $ALMOST_RIGHT 0
        command $ALMOST_RIGHT 1
    done
}

is_parked() { grep -q '^ *0 *1$' /sys/block/rblkcontract/inflight; }

by_another_queue() {
    command $PARK 0 &
    parked=$!
    wait_for 5 is_parked
    command $FIND_NOTHING 1
    kill -0 "$parked"
    command $TAKE 0
    wait "$parked"
}

# The tags are few, and are used again and again.
after_it_ended() {
    for _ in $(seq 12); do
        command $FIND_NOTHING 0
    done
    fails_with "Input/output error" command $TAKE 0
}

warnings() { log_since_start | grep -c 'WARNING: .*request.rs' || true; }

# drops COMMAND: ends with an error and a warning; the tag is back.
drops() {
    before=$(warnings)
    for _ in $(seq 9); do # more often than there are tags
        fails_with "Input/output error" timeout 10 dd if=/dev/zero of=/dev/rblkcontract \
            bs=4096 seek="$1" count=1 oflag=direct conv=notrunc
    done
    [ $(($(warnings) - before)) -eq 9 ]
    command 0
    grep -q '^ *0 *0$' /sys/block/rblkcontract/inflight
}

requeues() {
    command $REQUEUE 0
    [ "$(cat "$STATE/requeues")" -eq 2 ] # it was queued twice
    command 0
}

nobody_is_told() {
    command $DROP_REFUSED 0
    timeout 10 dd if=/dev/zero of=/dev/rblkcontract bs=4096 seek=$DROP_REFUSED count=1 oflag=direct conv=notrunc
}

another_is_said() {
    command $KEEP_REFUSED 0 &
    kept=$!
    sleep 1
    kill -0 "$kept"
    before=$(warnings)
    command $GIVE_KEPT 1
    wait "$kept"
    [ $(($(warnings) - before)) -eq 1 ]
}

internal_error_is_seen() { [ "$(cat "$STATE/internal_error")" = true ]; }

shows() { # shows FILE VALUE
    echo "$1 shows $(cat "$LIMITS/$1"), expected $2"
    [ "$(cat "$LIMITS/$1")" = "$2" ]
}

all_limits_are_set() {
    for limit in logical_block_size=1024 physical_block_size=8192 minimum_io_size=16384 optimal_io_size=65536 \
        max_hw_sectors_kb=512 max_sectors_kb=256 chunk_sectors=2048 max_segments=17 max_segment_size=12288 \
        dma_alignment=15 discard_max_hw_bytes=2097152 discard_granularity=32768 max_discard_segments=1 \
        write_zeroes_max_bytes=65536 write_zeroes_unmap_max_hw_bytes=65536 max_write_streams=3 \
        write_stream_granularity=1048576 atomic_write_max_bytes=32768 atomic_write_unit_min_bytes=2048 \
        atomic_write_unit_max_bytes=16384 atomic_write_boundary_bytes=65536 "write_cache=write back" fua=1 \
        rotational=1 stable_writes=1 add_random=1; do
        shows "${limit%%=*}" "${limit#*=}"
    done
    # (The kernel shows the same number as discard_alignment, whatever that is.)
    LIMITS=/sys/block/rblklimits shows alignment_offset 1024
}

# Each with a line that names the limit, the value and what is allowed.
bad_limits_are_refused() {
    before=$(log_since_start | grep -c 'rblk_contract: limit ' || true)
    refused=$(cat "$STATE/refused_limits")
    log_since_start | grep 'rblk_contract: limit ' | tail -n +$((before + 1)) >"$WORK/said"
    cat "$WORK/said"
    [ "$refused" -gt 30 ]
    [ "$(grep -cE 'limit [a-z_]+=[0-9]+ refused: allowed is .+' "$WORK/said")" -eq "$refused" ]
}

memory_kib() { awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo; }
is_back() { [ "$(memory_kib)" -gt $((before - 65536)) ]; }

# 10240 of them on 6 queues would be 3.5 GiB; what did not fit is given back, and so is the rest. The kernel gives it back
# after an SRCU grace period, and does not wait for that: if it comes late, no depth fits (blk_mq_free_tags()).
depth_is_halved() {
    echo 3 >/proc/sys/vm/drop_caches
    before=$(memory_kib)
    for _ in 1 2 3 4 5; do
        depth=$(cat "$STATE/halved_depth")
        [ -z "$depth" ] || break
        log_has "blk-mq: failed to allocate request map"
        wait_for 10 is_back
    done
    echo "depth $depth, memory $before KiB before, $(memory_kib) KiB after"
    [ "$depth" -ge 1 ]
    [ "$depth" -le 5120 ]
    [ $((10240 % depth)) -eq 0 ]
    wait_for 10 is_back
}

check "a name that is too long is refused; the driver loads" set_up
check "no tag or ticket but the right ones names a request" almost_right
check "an id names nothing on another queue, and its request on its own" by_another_queue
check "after the end it names nothing, whoever has the tag" after_it_ended
check "a request that is dropped ends with an error and a warning" drops $DROP_STARTED
check "so does one that was not even started" drops $DROP_INCOMING
check "a request that is requeued with a delay comes again" requeues
check "a refused request of which nobody is told comes again" nobody_is_told
check "so does one that is said to be refused instead of another one, with a warning" another_is_said
check "a request of the driver's own that fails in a batch fails" internal_error_is_seen
check "a timer may be started at any time, also while it expires" command $START_TIMERS 0
check "each limit can be set" all_limits_are_set
check "and each is refused where the kernel would refuse or warn" bad_limits_are_refused
if [ "$(memory_kib)" -lt 3000000 ]; then
    check "a depth beyond memory is halved, and the driver sees it" depth_is_halved
else
    skip "a depth beyond memory is halved, and the driver sees it" "this machine has more than 3 GB free"
fi
check "the driver is unloaded" rmmod rblk_contract
finish
