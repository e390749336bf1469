#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Each CPU has one queue of each kind; reads, writes and polled I/O go through theirs and no other.
plan 7

MQ=/sys/block/rblk0/mq
BLK_DEBUGFS=/sys/kernel/debug/block/rblk0
possible_cpus=$(getconf _NPROCESSORS_CONF)
online_cpus=$(getconf _NPROCESSORS_ONLN)

# read_map: $WORK/map has a line QUEUE KIND CPU for each CPU that a queue serves.
read_map() {
    for queue in "$MQ"/*; do
        queue=${queue##*/}
        read -r kind <"$BLK_DEBUGFS/hctx$queue/type"
        read -r cpus <"$MQ/$queue/cpu_list"
        for cpu in $cpus; do
            echo "$queue $kind ${cpu%,}"
        done
    done | sort -n >"$WORK/map"
}

# queue_for KIND CPU: the one of that kind, or a default one if there is none of that kind.
queue_for() {
    found=
    while read -r queue kind cpu; do
        case "$kind $cpu" in
        "$1 $2") found=$queue ;;
        "default $2") found=${found:-$queue} ;;
        esac
    done <"$WORK/map"
    echo "$found"
}

# maps_are DEFAULT READ POLL: so many queues of each kind, in this order. Of each kind each CPU has one
# queue, and a queue serves as many CPUs as another, or one more.
maps_are() {
    read_map
    cat "$WORK/map"
    awk -v defaults="$1" -v reads="$2" -v polls="$3" -v cpus="$possible_cpus" '
        function of(kind) { return kind == "default" ? defaults : kind == "read" ? reads : polls }
        function wanted(queue) { return queue < defaults ? "default" : queue < defaults + reads ? "read" : "poll" }
        { bad += $2 != wanted($1) || served[$2, $3]++; size[$1]++; total[$2]++ }
        END {
            for (queue = 0; queue < defaults + reads + polls; queue++) {
                share = cpus / of(wanted(queue))
                bad += size[queue] < int(share) || size[queue] > share + 1 || total[wanted(queue)] != cpus
            }
            for (queue in size) bad += queue >= defaults + reads + polls
            exit bad
        }' "$WORK/map"
    [ "$(tail -n +2 "$DEBUGFS/rblk0/queues" | wc -l)" -eq $(($1 + $2 + $3)) ]
}

polled_io() { # polled_io CPU OPERATION NUMBER
    fio --name=polled --filename=/dev/rblk0 --direct=1 --ioengine=io_uring --hipri --iodepth=1 \
        --cpus_allowed="$1" --rw="$2" --bs=4k --size=1m --number_ios="$3" --minimal >"$WORK/fio.log"
}

# counted COLUMN...: what these counters of each queue gained since the table was kept as "before".
counted() {
    awk -v names="$*" '
        FNR == 1 { for (i = 1; i <= NF; i++) name[i] = $i; next }
        { for (i = 3; i <= NF; i++)
              if (index(" " names " ", " " name[i] " "))
                  if (FILENAME == ARGV[1]) before[$1, i] = $i
                  else if ($i != before[$1, i]) print $1, name[i], $i - before[$1, i] }
    ' "$WORK/before" "$DEBUGFS/rblk0/queues" | sort
}

# io_of_cpu CPU: each I/O is counted once, in the queue for it.
io_of_cpu() {
    blockdev --getsz /dev/rblk0 # the first one who opens it looks for partitions
    cp "$DEBUGFS/rblk0/queues" "$WORK/before"
    taskset -c "$1" dd if=/dev/rblk0 of=/dev/null iflag=direct bs=4k count=20 status=none
    taskset -c "$1" dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=4k count=10 status=none
    {
        echo "$(queue_for read "$1") reads 20"
        echo "$(queue_for default "$1") writes 10"
    } | sort >"$WORK/expected"
    counted reads writes polled | diff "$WORK/expected" -

    grep -q poll "$WORK/map" || return 0
    cp "$DEBUGFS/rblk0/queues" "$WORK/before"
    polled_io "$1" read 6
    queue=$(queue_for poll "$1")
    printf '%s\n' "$queue reads 6" "$queue polled 6" | sort >"$WORK/expected"
    counted reads writes polled | diff "$WORK/expected" -
}

# queues DEFAULT READ POLL [PARAMETER=VALUE...]: these queues are made, and used.
queues() {
    default=$1 read=$2 poll=$3
    shift 3
    reload size=16 "submit_queues=$default" "read_queues=$read" "poll_queues=$poll" "$@"
    maps_are "$default" "$read" "$poll"
    for cpu in $(seq 0 $((online_cpus - 1))); do
        io_of_cpu "$cpu"
    done
}

cut_to_cpus() {
    more=$((possible_cpus + 3))
    reload size=16 "submit_queues=$more" "read_queues=$more" "poll_queues=$more"
    maps_are "$possible_cpus" "$possible_cpus" "$possible_cpus"
    for kind in submit read poll; do
        [ "$(cat "/sys/module/rnullblk/parameters/${kind}_queues")" -eq "$possible_cpus" ]
        log_has "rnullblk: rblk0: ${kind}_queues=$more cut to $possible_cpus, the number of possible CPUs"
    done
}

no_polling_without_poll_queues() {
    reload size=16 read_queues=1
    fails_with . polled_io 0 read 1
    [ "$(counter polled)" -eq 0 ]
    dd if=/dev/rblk0 of=/dev/null iflag=direct bs=4k count=20 status=none
}

check "fewer hardware queues than CPUs" queues 1 0 0
check "as many" queues "$possible_cpus" 0 0
check "more: each kind has one for each CPU" queues "$possible_cpus" "$possible_cpus" "$possible_cpus"
check "a read queue beside the default ones" queues "$possible_cpus" 1 0
check "one for both reads and writes, and poll queues, with timer completion" \
    queues 1 0 "$possible_cpus" irqmode=2
check "more of a kind than CPUs is cut, and the log says so" cut_to_cpus
check "without poll queues nothing is polled" no_polling_without_poll_queues
finish
