#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# The block layer's tracepoints show each request on its way: operation, sector, length, and the
# hardware queue by its CPU; what is issued is completed, and the counters say the same.
[ -d "$TRACING/events/block/block_rq_issue" ] || skip_all "this kernel has no block tracepoints"
plan 5

MNT=$(mount_dir mnt)
MQ=/sys/block/rblk0/mq
EVENTS="block_rq_issue block_rq_complete"

# start_trace: from here on, of rblk0 alone.
start_trace() {
    device=$((($(stat -c 0x%t /dev/rblk0) << 20) | $(stat -c 0x%T /dev/rblk0)))
    echo >"$TRACING/trace"
    for event in $EVENTS; do
        echo "dev == $device" >"$TRACING/events/block/$event/filter"
        echo 1 >"$TRACING/events/block/$event/enable"
    done
}

# stop_trace: what was seen is in $WORK/seen as lines EVENT CPU OPERATION SECTOR SECTORS.
stop_trace() {
    for event in $EVENTS; do
        echo 0 >"$TRACING/events/block/$event/enable"
        echo 0 >"$TRACING/events/block/$event/filter"
    done
    cp "$TRACING/trace" "$WORK/trace"
    # task-pid [cpu] flags time: event: major,minor operation ... sector + sectors priority [...]
    sed -nE 's/^.*\[0*([0-9]+)\] .* block_rq_(issue|complete): [0-9]+,[0-9]+ ([A-Z]+) .* ([0-9]+) \+ ([0-9]+) .*$/\2 \1 \3 \4 \5/p' \
        "$WORK/trace" >"$WORK/seen"
    awk '{ n[$1 " " $2 " " $3]++ } END { for (i in n) print i, n[i] }' "$WORK/seen"
    awk '/entries-in-buffer/ { split($3, n, "/"); exit n[1] != n[2] }' "$WORK/trace" # none was lost
    [ "$(grep -c ': block_rq_' "$WORK/trace")" -eq "$(wc -l <"$WORK/seen")" ]
}

# Each issued request is completed, as the same operation at the same place.
all_completed() {
    for event in issue complete; do
        awk -v event="$event" '$1 == event { print $3, $4, $5 }' "$WORK/seen" | sort >"$WORK/$event"
    done
    [ -s "$WORK/issue" ]
    diff "$WORK/issue" "$WORK/complete"
}

# issued FIRST-LETTER: how many such requests
issued() { awk -v letter="$1" '$1 == "issue" && substr($3, 1, 1) == letter { n++ } END { print n + 0 }' "$WORK/seen"; }

counted() { # counted COUNTER: since the trace began
    echo $(($(counter "$1") - $(cat "$WORK/$1")))
}

remember() {
    for name in reads writes discards write_zeroes flushes; do
        counter "$name" >"$WORK/$name"
    done
    read -r sectors_before <<EOF
$(awk '{ print $3 + $7 + $14 }' /sys/block/rblk0/stat)
EOF
}

counters_agree() {
    echo "issued: $(issued R) reads, $(issued W) writes, $(issued D) discards, $(issued F) flushes"
    [ "$(issued R)" -eq "$(counted reads)" ]
    [ "$(issued W)" -eq $(($(counted writes) + $(counted write_zeroes))) ]
    [ "$(issued D)" -eq "$(counted discards)" ]
    [ "$(awk '$1 == "issue" { n += $5 } END { print n }' "$WORK/seen")" -eq \
        $(($(awk '{ print $3 + $7 + $14 }' /sys/block/rblk0/stat) - sectors_before)) ]
}

queue_of_cpu() { # queue_of_cpu CPU
    for queue in "$MQ"/*; do
        ! tr -s ', ' '\n' <"$queue/cpu_list" | grep -qx "$1" || echo "${queue##*/}"
    done
}

# known_writes CPU: five of 4 KiB from sector 800 on, through the CPU's queue.
known_writes() {
    queue=$(queue_of_cpu "$1")
    before=$(counter writes "$queue")
    start_trace
    taskset -c "$1" dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=4k seek=100 count=5 status=none
    stop_trace
    all_completed
    for block in 100 101 102 103 104; do
        echo "issue $1 $((block * 8)) 8"
    done >"$WORK/expected"
    awk '$1 == "issue" && $3 ~ /^W/ { print $1, $2, $4, $5 }' "$WORK/seen" | diff "$WORK/expected" -
    [ $(($(counter writes "$queue") - before)) -eq 5 ]
}

queue_of_each_cpu() {
    reload size=16
    blockdev --getsz /dev/rblk0 # the first one who opens it looks for partitions
    for cpu in $(seq 0 $(($(getconf _NPROCESSORS_ONLN) - 1))); do
        known_writes "$cpu"
    done
}

lengths() {
    reload size=16
    blockdev --getsz /dev/rblk0
    remember
    start_trace
    dd if=/dev/rblk0 of=/dev/null iflag=direct bs=512 skip=7 count=1 status=none
    dd if=/dev/rblk0 of=/dev/null iflag=direct bs=1M skip=3 count=1 status=none
    blkdiscard -o $((1 << 20)) -l $((2 << 20)) /dev/rblk0
    stop_trace
    all_completed
    printf '%s\n' "R 7 1" "R 6144 2048" "D 2048 4096" >"$WORK/expected"
    # blkdiscard looks for a file system first, through the page cache, with read-ahead.
    awk '$1 == "issue" && $3 !~ /^R.*A/ { print substr($3, 1, 1), $4, $5 }' "$WORK/seen" |
        diff "$WORK/expected" -
    counters_agree
}

ext4_mount() { # ext4_mount PARAMETER=VALUE...
    reload size=64 "$@"
    mkfs.ext4 -q /dev/rblk0
    sync
    remember
    start_trace
    mount /dev/rblk0 "$MNT"
    dd if=/dev/zero of="$MNT/file" bs=64k count=16 conv=fsync status=none
    fstrim "$MNT"
    umount "$MNT"
    stop_trace
    all_completed
    counters_agree
    grep -q '^issue [0-9]* R[A-Z]* 2 2$' "$WORK/seen" # the superblock, 1024 bytes in
    [ "$(issued W)" -ge 3 ]
    [ "$(issued D)" -ge 1 ]
}

check "each CPU's writes, at their sectors, through its queue" queue_of_each_cpu
check "reads and discards with their sectors and lengths" lengths
check "all of an ext4 mount, completed inline" ext4_mount
check "completed by softirq" ext4_mount irqmode=1
check "completed by timer" ext4_mount irqmode=2
finish
