#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# The number of hardware queues changes while they are in use, and no I/O is lost or damaged.
[ "$(getconf _NPROCESSORS_CONF)" -ge 2 ] || skip_all "one CPU has one queue"
plan 11

pick_seed

CHANGES=12
MQ=/sys/block/rblk0/mq
possible_cpus=$(getconf _NPROCESSORS_CONF)

# With an error that names the reason, unlike echo's.
write_to() { printf '%s\n' "$2" | dd of="$DEBUGFS/rblk0/$1" status=none; } # write_to FILE TEXT

# queues_are DEFAULT READ POLL: debugfs, its table and sysfs agree; each CPU has one queue of each kind.
queues_are() {
    read -r submit_queues <"$DEBUGFS/rblk0/submit_queues"
    read -r poll_queues <"$DEBUGFS/rblk0/poll_queues"
    [ "$submit_queues $poll_queues" = "$1 $3" ]
    awk -v total="$(($1 + $2 + $3))" -v kinds="$((1 + ($2 > 0) + ($3 > 0)))" -v cpus="$possible_cpus" '
        FILENAME == ARGV[1] { if (FNR > 1) bad += $1 != rows++; next }
        { lists++; for (i = 1; i <= NF; i++) served[$i + 0]++ }
        END {
            for (cpu = 0; cpu < cpus; cpu++) bad += served[cpu] != kinds
            exit bad || rows != total || lists != total
        }' "$DEBUGFS/rblk0/queues" "$MQ"/*/cpu_list
}

# choices MAX: as many numbers from 1 to MAX as there are changes.
choices() { awk -v seed="$seed" -v n="$CHANGES" -v max="$1" \
    'BEGIN { srand(seed); while (n--) print 1 + int(max * rand()) }'; }

change_submit_queues() { # change_submit_queues READ
    for number in $(choices "$possible_cpus"); do
        # By way of another one, so that each is a change.
        echo $((number % possible_cpus + 1)) >"$DEBUGFS/rblk0/submit_queues"
        echo "$number" >"$DEBUGFS/rblk0/submit_queues"
        queues_are "$number" "$1" 0
    done
}

change_both() { # change_both LEAST-POLL: 0 or 1
    for number in $(choices "$possible_cpus"); do
        echo "$number" >"$DEBUGFS/rblk0/submit_queues"
        poll=$((number % possible_cpus + $1))
        echo "$poll" >"$DEBUGFS/rblk0/poll_queues"
        queues_are "$number" 0 "$poll"
    done
}

submit_queues_under_io() { # submit_queues_under_io PARAMETER=VALUE...
    reload size=32 "$@"
    while_verified_io change_submit_queues 0 --
}

with_read_queues() {
    reload size=32 irqmode=1 read_queues=1
    while_verified_io change_submit_queues 1 --
}

poll_queues_under_io() { # poll_queues_under_io IRQMODE
    reload size=32 "irqmode=$1" "poll_queues=$possible_cpus"
    while_verified_io change_both 0 --
}

# Not down to 0: who polls then gets an error.
poll_queues_under_polled_io() {
    reload size=32 "poll_queues=$possible_cpus"
    while_verified_io change_both 1 -- --ioengine=io_uring --hipri
}

several_disks() {
    reload size=32 nr_devices=2 shared_tags=1 irqmode=2
    while_verified_io change_submit_queues 0 --
    [ "$(cat "$DEBUGFS/rblk1/submit_queues")" -eq "$(cat "$DEBUGFS/rblk0/submit_queues")" ]
    dd if=/dev/zero of=/dev/rblk1 oflag=direct bs=64k count=64 status=none
}

refuses() { # refuses FILE TEXT...: and nothing changes
    file=$1
    shift
    for text in "$@"; do
        cp "$DEBUGFS/rblk0/queues" "$WORK/before"
        grep -H . "$MQ"/*/cpu_list >"$WORK/lists"
        fails_with "Invalid argument" write_to "$file" "$text"
        log_has "rblk0: $file=.* refused: allowed is [01] to the number of possible CPUs"
        diff "$WORK/before" "$DEBUGFS/rblk0/queues"
        grep -H . "$MQ"/*/cpu_list | diff "$WORK/lists" -
    done
}

GARBAGE="abc 1x 0x1 1.5 -1 4294967296 18446744073709551617 1,2"

bad_submit_queues() {
    reload size=16 submit_queues=1
    dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=4k count=4 status=none # counters that would be lost
    # shellcheck disable=SC2086 # a list
    refuses submit_queues 0 $((possible_cpus + 1)) "" "1 2" $GARBAGE
    queues_are 1 0 0
}

bad_poll_queues() {
    reload size=16 poll_queues=1 submit_queues=1
    # shellcheck disable=SC2086 # a list
    refuses poll_queues $((possible_cpus + 1)) "" "1 2" $GARBAGE
    queues_are 1 0 1
}

none_becomes_some() {
    reload size=16 submit_queues=1
    refuses poll_queues 1 2
    write_to poll_queues 0 # that is what it is
    queues_are 1 0 0
}

# Others come and go meanwhile, one of them in vain as a disk has its name, and somebody looks at the requests.
come_and_go() {
    reload nr_devices=0
    for device in one two vda; do
        new $device
        set_to $device size 4
        set_to $device shared_tags 1
        set_to $device poll_queues 1
    done
    power one 1
    rm -f "$WORK/done"
    while [ ! -e "$WORK/done" ]; do
        power two 1
        power two 0
    done &
    pids=$!
    while [ ! -e "$WORK/done" ]; do
        fails_with "File exists" set_to vda power 1
        sleep 0.3
    done >"$WORK/taken" &
    pids="$pids $!"
    while [ ! -e "$WORK/done" ]; do
        dd if=/dev/one of=/dev/null bs=4k count=64 iflag=direct status=none
    done &
    pids="$pids $!"
    while [ ! -e "$WORK/done" ]; do
        grep -c . "$DEBUGFS/one/in_flight" >"$WORK/looked"
    done &
    pids="$pids $!"
    changes=0
    for _ in $(seq "$(scaled 60)"); do
        for number in "$possible_cpus" 1; do
            set_to one submit_queues "$number"
            changes=$((changes + 1))
        done
    done
    touch "$WORK/done"
    for pid in $pids; do
        wait "$pid"
    done
    echo "$changes changes"
    power two 1
    has two power 1
    has one submit_queues 1
    for device in one two vda; do
        rmdir "$CONFIG/$device"
    done
}

expect_log 'vda: not made: EEXIST|sysfs: cannot create duplicate filename|kobject_add_internal failed for vda|Call Trace:$'
check "submit_queues under I/O" submit_queues_under_io irqmode=0
check "with timer completion" submit_queues_under_io irqmode=2
check "with read queues and softirq completion" with_read_queues
check "both numbers with poll queues" poll_queues_under_io 0
check "with poll queues and timer completion" poll_queues_under_io 2
check "under polled I/O" poll_queues_under_polled_io
check "two disks of one tag set" several_disks
check "with disks of the tag set that come and go, and somebody who looks" come_and_go
check "bad numbers of submit queues are refused" bad_submit_queues
check "bad numbers of poll queues are refused" bad_poll_queues
check "a disk that was made without poll queues gets none" none_becomes_some
finish
