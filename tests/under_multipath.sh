#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# A driver on top that passes requests on, as multipath does, asks whether the disk is busy and takes
# requests back; none is lost.
SAMPLE_KO=${SAMPLE_KO:-$TESTS/../samples/rblk_null.ko}
[ -r "$SAMPLE_KO" ] || skip_all "no module $SAMPLE_KO; make RNULLBLK_TESTS=m builds it"
command -v dmsetup >/dev/null || skip_all "there is no dmsetup"
modprobe -a dm-multipath dm-round-robin 2>/dev/null || skip_all "this kernel has no dm-multipath"
plan 4

pick_seed

NAME=rnullblk-test-$$
STATE=/sys/kernel/debug/rblk_null/state

remove_all() {
    ! dmsetup info "$NAME" >/dev/null 2>&1 || dmsetup remove --retry "$NAME"
    [ ! -d /sys/module/rblk_null ] || wait_for 5 rmmod rblk_null
}

remove_all_and_clean_up() {
    stop_status=$?
    set +e
    remove_all
    (exit "$stop_status")
    cleanup
}
trap remove_all_and_clean_up EXIT

# put_on_top DISK...: a multipath device with these as its paths, in turn; prints its node.
put_on_top() {
    paths=
    for disk in "$@"; do
        paths="$paths $(cat "/sys/block/$disk/dev") 1"
    done
    # features, handlers, groups, first group; selector, its arguments; paths, arguments of each
    echo "0 $(blockdev --getsz "/dev/$1") multipath 0 0 1 1 round-robin 0 $# 1$paths" |
        dmsetup create "$NAME" >&2
    dmsetup table "$NAME" >&2
    echo "/dev/dm-$(dmsetup info -c --noheadings -o minor "$NAME")"
}

state() { awk -v name="$1" '$1 == name { print $2 }' "$STATE"; } # state NAME

io() { # io NODE OPTION...
    node=$1
    shift
    fio --name=io --filename="$node" --direct=1 --ioengine=libaio --iodepth=32 --numjobs=2 \
        --offset_increment=8m --size=8m --bs=4k --number_ios=1500 --randseed="$seed" "$@" >"$WORK/fio.log" 2>&1 || {
        cat "$WORK/fio.log"
        return 1
    }
}

# Both callbacks are called; and what is taken back comes again. Multipath asks whether all paths are
# busy and then takes the next one: beside a path that is never busy, the sample driver is given
# requests while it is, and has to refuse them.
sample_under_multipath() {
    remove_all
    insmod "$SAMPLE_KO"
    wait_for 5 test -b /dev/rblknull
    reload size=1024 memory_backed=0
    node=$(put_on_top rblknull rblk0)
    before=$(state commands)
    io "$node" --rw=randrw
    cat "$STATE"
    [ "$(state taken_back)" -gt 0 ]
    [ "$(state busy_answers)" -gt 0 ]
    [ $(($(state commands) - before + $(counter reads) + $(counter writes))) -ge 1500 ] # neighbours are merged
    [ "$(state out)" -eq 0 ]
    dmsetup status "$NAME"
    dmsetup status "$NAME" | grep -q "$(cat /sys/block/rblknull/dev) A 0" # the path is active, and never failed
    remove_all
}

# on_rnullblk PARAMETER=VALUE...: verified I/O
on_rnullblk() {
    remove_all
    reload size=32 "fault_seed=$seed" "$@"
    node=$(put_on_top rblk0)
    io "$node" --rw=randwrite --verify=crc32c --verify_fatal=1 --verify_backlog=64
    cat "$DEBUGFS/rblk0/queues"
    [ "$(counter errors)" -eq 0 ]
    [ "$(counter writes)" -gt 0 ]
    grep -q '^0 started' "$DEBUGFS/rblk0/in_flight"
    dmsetup status "$NAME" | grep -q "$(cat /sys/block/rblk0/dev) A 0"
}

gives_back() { # gives_back PARAMETER=VALUE...: every other request that is given back is refused
    on_rnullblk requeue_inject=1,10,0,-1 "$@"
    [ "$(counter refusals)" -gt 0 ]
    [ "$(counter requeues)" -gt 0 ]
    remove_all
}

check "the sample driver is asked and its requests are taken back" sample_under_multipath
check "rnullblk that gives requests back, completed inline" gives_back
check "completed by softirq" gives_back irqmode=1
check "completed by timer" gives_back irqmode=2
finish
