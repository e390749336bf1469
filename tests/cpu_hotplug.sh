#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# A CPU goes and comes back while I/O is going on: nothing is lost, and nothing hangs.
CPU=1
CPUS=$(getconf _NPROCESSORS_CONF)
SWITCH=/sys/devices/system/cpu/cpu$CPU/online
[ -w "$SWITCH" ] || skip_all "CPU $CPU cannot be taken offline here"
plan 6

pick_seed

# Wherever this stops, the CPU is there again.
bring_back_and_clean_up() {
    stop_status=$?
    set +e
    [ "$(cat "$SWITCH")" = 1 ] || echo 1 >"$SWITCH"
    (exit "$stop_status")
    cleanup
}
trap bring_back_and_clean_up EXIT

off_and_on() { # off_and_on TIMES
    for _ in $(seq "$1"); do
        echo 0 >"$SWITCH"
        sleep 0.2
        echo 1 >"$SWITCH"
        sleep 0.2
    done
}

queue_of_cpu() { grep -lx "$CPU" /sys/block/rblk0/mq/*/cpu_list | sed 's:.*/mq/\([0-9]*\)/.*:\1:'; }

under_io() { # under_io TIMES FIO-OPTION...
    times=$1
    shift
    while_verified_io off_and_on "$times" -- "$@"
    for queue in $(queue_of_cpu); do
        [ "$(counter writes "$queue")" -gt 0 ]
    done
}

irqmode() { # irqmode NUMBER
    reload size=32 "irqmode=$1"
    under_io 12
}

polled() {
    reload size=32 submit_queues=1 "poll_queues=$CPUS"
    under_io 6 --ioengine=io_uring --hipri
    [ "$(counter polled)" -gt 0 ]
}

# A queue whose only CPU is offline is made all the same, and used when the CPU is back.
loaded_without_it() {
    unload
    echo 0 >"$SWITCH"
    load size=16 "submit_queues=$CPUS" irqmode=2
    dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=4k count=20 status=none
    echo 1 >"$SWITCH"
    queue=$(queue_of_cpu)
    before=$(counter writes "$queue")
    taskset -c "$CPU" dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=4k count=20 status=none
    [ $(($(counter writes "$queue") - before)) -eq 20 ]
}

# A queue goes while its only CPU is offline, and comes again when that is back: no CPU is without one then.
queue_made_again() {
    reload size=16 "submit_queues=$CPUS"
    echo 0 >"$SWITCH"
    echo 1 >"$DEBUGFS/rblk0/submit_queues"
    echo 1 >"$SWITCH"
    echo "$CPUS" >"$DEBUGFS/rblk0/submit_queues"
    # Who asks an inactive one for a request does so for ever.
    if grep INACTIVE /sys/kernel/debug/block/rblk0/hctx*/state; then return 1; fi
    for cpu in $(seq 0 $((CPUS - 1))); do
        taskset -c "$cpu" dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=4k count=20 status=none
    done
    [ "$(counter writes)" -eq $((CPUS * 20)) ]
}

check "with inline completion" irqmode 0
check "with softirq completion" irqmode 1
check "with timer completion" irqmode 2
check "with polled I/O" polled
check "loaded while it is offline" loaded_without_it
check "a queue goes while it is offline, and comes again" queue_made_again
finish
