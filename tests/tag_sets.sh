#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Each way to set up a tag set is in force and carries verified I/O; disks and queues that share tags
# share their number, and never answer for each other's requests.
plan 10

pick_seed

BLK_DEBUGFS=/sys/kernel/debug/block

verified_io() { # verified_io DISK OPTION...
    disk=$1
    shift
    fio --name=verified --filename="/dev/$disk" --direct=1 --ioengine=libaio --iodepth=32 --numjobs=2 \
        --offset_increment=4m --size=4m --rw=randwrite --bs=4k --number_ios=400 --randseed="$seed" \
        --verify=crc32c --verify_fatal=1 --verify_backlog=64 "$@" >"$WORK/fio-$disk.log" 2>&1 || {
        cat "$WORK/fio-$disk.log"
        return 1
    }
    grep -q '^0 started' "$DEBUGFS/$disk/in_flight"
}

# all_at_once DISK...: verified I/O on each of them at the same time.
all_at_once() {
    pids=
    for disk in "$@"; do
        verified_io "$disk" &
        pids="$pids $!"
    done
    for pid in $pids; do
        wait "$pid"
    done
}

has_flag() { # has_flag DISK FLAG yes|no: all its queues have the flag, or none has
    for queue in "$BLK_DEBUGFS/$1"/hctx*; do
        read -r flags <"$queue/flags" || flags=
        echo "$queue: $flags"
        case "|$flags|" in
        *"|$2|"*) [ "$3" = yes ] ;;
        *) [ "$3" = no ] ;;
        esac
    done
}

scheduler() { sed -n 's/.*\[\(.*\)\].*/\1/p' /sys/block/rblk0/queue/scheduler; }

slow_writes() { # slow_writes CPU DISK
    taskset -c "$1" dd if=/dev/zero of="/dev/$2" oflag=direct bs=4k count=20 status=none
}

now_msec() { echo $(($(date +%s%N) / 1000000)); }

# one_at_a_time DISK DISK: 20 writes on each, by a CPU each, which take 20 ms each. If both share one
# tag, they wait for each other.
one_at_a_time() {
    start=$(now_msec)
    slow_writes 0 "$1" &
    other=$!
    slow_writes $(($(getconf _NPROCESSORS_ONLN) - 1)) "$2"
    wait "$other"
    took=$(($(now_msec) - start))
    echo "took $took ms"
    [ "$took" -ge 800 ]
}

SLOW="irqmode=2 completion_nsec=20000000 hw_queue_depth=1"

disks_share_one_tag() {
    # shellcheck disable=SC2086 # a list
    reload size=16 nr_devices=3 shared_tags=1 submit_queues=1 $SLOW
    for disk in rblk0 rblk1 rblk2; do
        has_flag "$disk" TAG_QUEUE_SHARED yes
    done
    one_at_a_time rblk0 rblk2
}

# A disk's scheduler waits for the tag of the other disk. Whether it hears that it is back, its queues know from before the
# change of their number.
other_queues_share_it() {
    modprobe mq-deadline
    # shellcheck disable=SC2086 # a list
    reload size=16 nr_devices=2 shared_tags=1 "submit_queues=$(getconf _NPROCESSORS_ONLN)" $SLOW
    echo 1 >"$DEBUGFS/rblk0/submit_queues"
    for disk in rblk0 rblk1; do
        has_flag "$disk" TAG_QUEUE_SHARED yes
        echo mq-deadline >"/sys/block/$disk/queue/scheduler"
    done
    one_at_a_time rblk0 rblk1
}

disks_share_many_tags() {
    for depth in 1 32; do
        reload size=16 nr_devices=3 shared_tags=1 "hw_queue_depth=$depth" irqmode=2
        has_flag rblk1 TAG_QUEUE_SHARED yes
        all_at_once rblk0 rblk1 rblk2
    done
}

disks_have_their_own() {
    reload size=16 nr_devices=2
    for disk in rblk0 rblk1; do
        for flag in TAG_QUEUE_SHARED TAG_HCTX_SHARED BLOCKING; do
            has_flag "$disk" "$flag" no
        done
    done
}

queues_share_one_tag() {
    # shellcheck disable=SC2086 # a list
    reload size=16 shared_tag_bitmap=1 $SLOW
    has_flag rblk0 TAG_HCTX_SHARED yes
    one_at_a_time rblk0 rblk0
}

queues_share_many_tags() {
    for mode in 0 1 2; do
        reload size=16 shared_tag_bitmap=1 hw_queue_depth=16 irqmode="$mode"
        verified_io rblk0
    done
    # All of it at once.
    reload size=16 nr_devices=2 shared_tags=1 shared_tag_bitmap=1 hw_queue_depth=8 irqmode=2 blocking=1
    has_flag rblk1 TAG_HCTX_SHARED yes
    all_at_once rblk0 rblk1
}

may_sleep() {
    for mode in 0 2; do
        reload size=16 blocking=1 irqmode="$mode"
        has_flag rblk0 BLOCKING yes
        verified_io rblk0
    done
}

# Only with a single queue the kernel picks one by itself.
picks_scheduler() {
    modprobe mq-deadline
    for case in "1 1 none" "0 1 mq-deadline" "1 2 none" "0 2 none"; do
        # shellcheck disable=SC2086 # three words
        set -- $case
        reload size=16 "no_sched=$1" "submit_queues=$2"
        has_flag rblk0 NO_SCHED_BY_DEFAULT "$([ "$1" -eq 1 ] && echo yes || echo no)"
        echo "no_sched=$1 submit_queues=$2: $(scheduler), expected $3"
        [ "$(scheduler)" = "$3" ]
        [ "$2" -ne 1 ] || verified_io rblk0
    done
}

of_disk() { # of_disk DISK COUNTER: over all queues
    awk -v name="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) column = i; next }
        { sum += $column }
        END { if (!column) exit 1; print sum }' "$DEBUGFS/$1/queues"
}

# each_has_an_end DISK: what was queued was answered by the disk's own timer, or timed out.
each_has_an_end() {
    cat "$DEBUGFS/$1/queues"
    queued=$(($(of_disk "$1" reads) + $(of_disk "$1" writes)))
    [ "$queued" -eq $(($(of_disk "$1" timer) + $(of_disk "$1" timeouts))) ]
    [ "$(of_disk "$1" errors)" -eq 0 ]
    [ "$(of_disk "$1" requeues)" -eq "$(of_disk "$1" timeouts)" ]
}

forgetful() { # forgetful PARAMETER=VALUE...
    reload size=16 nr_devices=2 shared_tags=1 irqmode=2 timeout_retry=1 "fault_seed=$seed" "$@"
    for disk in rblk0 rblk1; do
        echo 300 >"/sys/block/$disk/queue/io_timeout"
    done
}

both_forget() {
    forgetful hw_queue_depth=16 timeout_inject=1,2,0,30
    all_at_once rblk0 rblk1
    for disk in rblk0 rblk1; do
        each_has_an_end "$disk"
        [ "$(of_disk "$disk" timeouts)" -ge 1 ]
        [ "$(of_disk "$disk" late_answers)" -ge 1 ]
    done
}

# The faults begin after so many bytes: one disk is past that, the other never gets there.
one_forgets() {
    forgetful hw_queue_depth=4 "timeout_inject=1,30,$((64 << 20)),20"
    dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=1M count=16 status=none
    for _ in 1 2 3; do
        dd if=/dev/rblk0 of=/dev/null iflag=direct bs=1M count=16 status=none
    done
    all_at_once rblk0 rblk1
    each_has_an_end rblk0
    each_has_an_end rblk1
    [ "$(of_disk rblk0 timeouts)" -eq 20 ]
    [ "$(of_disk rblk0 late_answers)" -eq 20 ]
    [ "$(of_disk rblk1 timeouts)" -eq 0 ]
    [ "$(of_disk rblk1 late_answers)" -eq 0 ]
}

check "by default each disk has tags of its own" disks_have_their_own
check "three disks share one tag: one request at a time" disks_share_one_tag
check "they still do when their number of queues has changed" other_queues_share_it
check "three disks that share one tag, or 32, all get on" disks_share_many_tags
check "the queues of a disk share one tag: one request at a time" queues_share_one_tag
check "they share many in each way of completion" queues_share_many_tags
check "a driver that may sleep" may_sleep
check "a scheduler is picked for a single queue, unless no_sched" picks_scheduler
check "both disks forget requests: each has one end" both_forget
check "one disk forgets requests: the other does not notice" one_forgets
finish
