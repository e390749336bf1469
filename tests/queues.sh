#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# There are as many hardware queues, as deep, as asked for, and each I/O goes through its CPU's queue.
plan 11

MQ=/sys/block/rblk0/mq
BLK_DEBUGFS=/sys/kernel/debug/block/rblk0
possible_cpus=$(getconf _NPROCESSORS_CONF)
online_cpus=$(getconf _NPROCESSORS_ONLN)

# queues_are NUMBER DEPTH: in sysfs, in the parameters, and in the table of counters.
queues_are() {
    grep -H . "$MQ"/*/nr_tags "$MQ"/*/cpu_list
    [ "$(find "$MQ" -mindepth 1 -maxdepth 1 -type d | wc -l)" -eq "$1" ]
    [ "$(cat /sys/module/rnullblk/parameters/submit_queues)" -eq "$1" ]
    [ "$(tail -n +2 "$DEBUGFS/rblk0/queues" | wc -l)" -eq "$1" ]
    for queue in $(seq 0 $(($1 - 1))); do
        [ "$(cat "$MQ/$queue/nr_tags")" -eq "$2" ]
        [ -n "$(cat "$MQ/$queue/cpu_list")" ]
        grep "^nr_tags=$2$" "$BLK_DEBUGFS/hctx$queue/tags"
    done
    # Each CPU is served by one queue.
    [ "$(cat "$MQ"/*/cpu_list | tr -s ', ' '\n' | sort -n | tr '\n' ' ')" = \
        "$(seq 0 $((possible_cpus - 1)) | tr '\n' ' ')" ]
    [ "$(cat /sys/block/rblk0/queue/nr_requests)" -eq "$2" ]
}

# asked_for NUMBER: that many queues.
asked_for() {
    reload size=16 "submit_queues=$1"
    queues_are "$1" 128
}

one_for_each_online_cpu() {
    reload size=16 submit_queues=0
    queues_are "$online_cpus" 128
}

more_than_cpus() { # more_than_cpus NUMBER
    reload size=16 "submit_queues=$1"
    queues_are "$possible_cpus" 128
    log_has "rnullblk: rblk0: submit_queues=$1 cut to $possible_cpus, the number of possible CPUs"
}

as_many_as_cpus_is_not_cut() {
    reload size=16 "submit_queues=$possible_cpus"
    [ "$(log_since_start | grep -c "submit_queues=$possible_cpus cut")" -eq 0 ]
}

queue_of_cpu() { # queue_of_cpu CPU
    for queue in "$MQ"/*; do
        ! tr -s ', ' '\n' <"$queue/cpu_list" | grep -qx "$1" || echo "${queue##*/}"
    done
}

# What a CPU reads and writes is counted in its queue and nowhere else.
counted_where_it_was_done() { # counted_where_it_was_done CPU
    mine=$(queue_of_cpu "$1")
    reads=$(counter reads "$mine") all_reads=$(counter reads)
    writes=$(counter writes "$mine") all_writes=$(counter writes)
    taskset -c "$1" dd if=/dev/rblk0 of=/dev/null iflag=direct bs=4k count=100
    taskset -c "$1" dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=4k count=50
    cat "$DEBUGFS/rblk0/queues"
    [ $(($(counter reads "$mine") - reads)) -eq 100 ]
    [ $(($(counter reads) - all_reads)) -eq 100 ]
    [ $(($(counter writes "$mine") - writes)) -eq 50 ]
    [ $(($(counter writes) - all_writes)) -eq 50 ]
}

each_cpu_has_its_queue() {
    reload size=16 "submit_queues=$possible_cpus"
    for cpu in $(seq 0 $((online_cpus - 1))); do
        counted_where_it_was_done "$cpu"
    done
}

all_cpus_share_a_queue() {
    reload size=16 submit_queues=1
    for cpu in $(seq 0 $((online_cpus - 1))); do
        counted_where_it_was_done "$cpu"
    done
}

# under_load DEPTH NUMBER-OF-QUEUES: a queue so deep works, and counts each I/O once.
under_load() {
    reload size=64 "hw_queue_depth=$1" "submit_queues=$2"
    queues_are "$2" "$1"
    reads=$(counter reads) writes=$(counter writes)
    fio --name=load --filename=/dev/rblk0 --direct=1 --ioengine=libaio --iodepth=64 --numjobs=2 \
        --offset_increment=32m --size=32m --rw=randrw --bs=4k --number_ios=500 --norandommap \
        --group_reporting --output-format=json --output="$WORK/fio.json"
    jq -e '.jobs[0].error == 0' "$WORK/fio.json"
    cat "$DEBUGFS/rblk0/queues"
    # A plugged batch may merge neighbours; the kernel counts what it merged.
    merged_reads=$(awk '{ print $2 }' /sys/block/rblk0/stat)
    merged_writes=$(awk '{ print $6 }' /sys/block/rblk0/stat)
    fio_reads=$(jq '.jobs[0].read.total_ios' "$WORK/fio.json")
    fio_writes=$(jq '.jobs[0].write.total_ios' "$WORK/fio.json")
    echo "fio: $fio_reads reads, $fio_writes writes; merged: $merged_reads reads, $merged_writes writes"
    [ $((fio_reads + fio_writes)) -ge 1000 ]
    [ $(($(counter reads) - reads)) -eq $((fio_reads - merged_reads)) ]
    [ $(($(counter writes) - writes)) -eq $((fio_writes - merged_writes)) ]
    [ "$(counter errors)" -eq 0 ]
}

check "1 queue for all CPUs" asked_for 1
check "2 queues for 2 CPUs" asked_for 2
check "by default one for each CPU that is online" one_for_each_online_cpu
check "one more than there are CPUs is cut, and the log says so" more_than_cpus $((possible_cpus + 1))
check "many more are" more_than_cpus 1000
check "as many as there are CPUs is not" as_many_as_cpus_is_not_cut
check "I/O is counted in the queue of its CPU" each_cpu_has_its_queue
check "with one queue, all is counted there" all_cpus_share_a_queue
check "depth 1 works on one queue" under_load 1 1
check "depth 1 works on two queues" under_load 1 2
check "depth 10240 works" under_load 10240 2
finish
