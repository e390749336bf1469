#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# times.sh [scaling]: in the guest, measures the drivers with fio, by the clock. One job has the first CPU of one
# queue, two have those of two queues. Each figure is taken in several rounds, between which all others are; report.py
# gives the median. With "scaling" only one job and two by turns, which wants no more CPUs than two.
set -eu
. "$(dirname "$0")/lib.sh"

MIB=256
ROUNDS=3
MSEC_EACH=500
# work operation bytes depth
WORKS="4k-randread-qd1 randread 4k 1
4k-randread-qd32 randread 4k 32
4k-randread-qd128 randread 4k 128
4k-randwrite-qd1 randwrite 4k 1
4k-randwrite-qd32 randwrite 4k 32
4k-randwrite-qd128 randwrite 4k 128
4k-mixed-qd32 randrw 4k 32
512-randread-qd32 randread 512 32
512-randwrite-qd32 randwrite 512 32
128k-read-qd8 read 128k 8
128k-write-qd8 write 128k 8
1m-read-qd1 read 1m 1
1m-write-qd1 write 1m 1"

# The CPUs of two jobs: on two queues, if there are two.
two_cpus() {
    local lists
    lists=$(cat "/sys/block/$disk/mq/"[0-9]*/cpu_list 2>/dev/null || echo "0, 1")
    echo "$lists" | awk -F ', *' '{ first[NR] = $1; second = $2 } END { print first[1] "," (NR > 1 ? first[2] : second) }'
}

# fio_works TABLE DRIVER VARIANT PATTERN [FIO-OPTION...]: with one job and with two. TABLE is that of the I/Os in a
# second.
fio_works() {
    local table=$1 driver=$2 variant=$3 pattern=$4 jobs cpus work operation bytes depth option
    shift 4
    for jobs in 1 2; do
        cpus=$(two_cpus)
        [ "$jobs" -eq 2 ] || cpus=${cpus%,*}
        {
            echo "[global]"
            printf '%s\n' "filename=/dev/$disk" direct=1 thread ioengine=io_uring norandommap time_based \
                "runtime=${MSEC_EACH}ms" "size=$((MIB / 2))m" "offset_increment=$((MIB / 2))m" "numjobs=$jobs" \
                "cpus_allowed=$cpus" cpus_allowed_policy=split group_reporting rwmixread=70 \
                clat_percentiles=0 lat_percentiles=1
            for option; do
                echo "$option"
            done
            echo "$WORKS" | grep -E -- "$pattern" | while read -r work operation bytes depth; do
                printf '%s\n' "[$work]" stonewall new_group "rw=$operation" "bs=$bytes" "iodepth=$depth"
                # A plug of as many as a batch; more than one at once would wait for the last of them.
                [ "$depth" -lt 32 ] || echo iodepth_batch_submit=16
            done
        } >/run/bench.fio
        fio --output-format=json /run/bench.fio | sed -n '/^{/,$p' | jq -r --arg job "$variant $jobs-job" --arg iops "$table" '
            .jobs[] | if .error != 0 then error("fio: error \(.error)") else . end |
            (if .read.total_ios > 0 then .read else .write end) as $main |
            (.jobname + $job) as $work |
            [$iops, $work, .read.iops + .write.iops],
            ["mib_per_second", $work, (.read.bw_bytes + .write.bw_bytes) / 1048576],
            ["p50_ns", $work, $main.lat_ns.percentile["50.000000"]],
            ["p99_ns", $work, $main.lat_ns.percentile["99.000000"]],
            ["p99.9_ns", $work, $main.lat_ns.percentile["99.900000"]] | @tsv' |
            while IFS=$'\t' read -r table work value; do
                figure "$table" "$work" "$driver" "$value"
            done
    done
}

# measure DRIVER VARIANT PATTERN [ATTRIBUTE=VALUE...] [-- FIO-OPTION...]
measure() {
    local driver=$1 variant=$2 pattern=$3 attributes=()
    shift 3
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        attributes+=("$1")
        shift
    done
    make_disk "$driver" "$MIB" submit_queues=4 "${attributes[@]}"
    fill "$MIB"
    fio_works iops "$driver" "$variant" "$pattern" "${@:2}"
    remove_disk
}

# Often, so that what else the host does meets both.
if [ "${1-}" = scaling ]; then
    for driver in $ALL; do
        make_disk "$driver" "$MIB" submit_queues=2
        fill "$MIB"
        for ((round = 1; round <= ROUNDS * 4; round++)); do
            fio_works scaling "$driver" "" "4k-rand(read|write)-qd32 " | grep scaling
        done
        remove_disk
    done
    exit
fi

fact times_cpu_model "$(sed -n '/^model name/ { s/.*: //; p; q }' /proc/cpuinfo)"
fact times_cpus "$(nproc)"
fact times_are "medians of $ROUNDS rounds of $MSEC_EACH ms"
for ((round = 1; round <= ROUNDS; round++)); do
    for driver in $ALL; do
        measure "$driver" "" .
    done
    for driver in $WITH_QUEUES; do
        measure "$driver" -1-queue "4k-randread-qd32 " submit_queues=1
        measure "$driver" -2-queues "4k-randread-qd32 " submit_queues=2
        measure "$driver" -no-data "4k-randread-qd(1|32) " memory_backed=0 discard=0
        measure "$driver" -softirq "4k-randread-qd(1|32) " irqmode=1
        measure "$driver" -timer-10us "4k-randread-qd(1|32) " irqmode=2 completion_nsec=10000
        measure "$driver" -polled "4k-randread-qd(1|32) " poll_queues=1 -- hipri
    done
done
