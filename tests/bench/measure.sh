#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# measure.sh: in the guest, measures the drivers one after the other with biogen.ko, and prints a line for each
# figure: driver, work, nanoseconds for one I/O (instructions, in a machine that counts these).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
MIB=64
# work operation bytes depth count
WORKS="
4k-randread-qd32 read 4096 32 8000
4k-randwrite-qd32 write 4096 32 8000
4k-randread-qd1 read 4096 1 4000
4k-randwrite-qd1 write 4096 1 4000
4k-randread-qd128 read 4096 128 8000
512-randread-qd32 read 512 32 8000
128k-read-qd8 read 131072 8 400
128k-write-qd8 write 131072 8 400
1m-read-qd1 read 1048576 1 64
1m-write-qd1 write 1048576 1 64"

fail() {
    echo "error: $*" >&2
    exit 1
}

# figure DRIVER DISK WORK OPERATION BYTES DEPTH COUNT
figure() {
    mark="measure.sh: $1 $3"
    echo "$mark" >/dev/kmsg
    if said=$(insmod "$here/biogen.ko" "device=/dev/$2" "op=$4" "bytes=$5" "depth=$6" "count=$7" "mib=$MIB" 2>&1); then
        fail "biogen stayed loaded"
    fi
    dmesg | awk -v mark="$mark" -v driver="$1" -v work="$3" '
        index($0, mark) { line = ""; next }
        / biogen: / { line = $0 }
        END {
            if (!match(line, /: [0-9]+ I\/Os in [0-9]+ ns$/)) exit 1
            split(substr(line, RSTART), part, " ")
            printf "figure\t%s\t%s\t%.0f\n", driver, work, part[5] / part[2]
        }' || fail "$1, $3: $said"
}

measure() { # measure DRIVER DISK
    [ ! -e "/sys/block/$2/queue/scheduler" ] || echo none >"/sys/block/$2/queue/scheduler"
    # What is not there yet is allocated now.
    dd if=/dev/zero "of=/dev/$2" bs=1M count="$MIB" oflag=direct status=none
    echo "$WORKS" | while read -r work; do
        # shellcheck disable=SC2086 # words
        [ -z "$work" ] || figure "$1" "$2" $work
    done
}

measure_rnullblk() { # measure_rnullblk DRIVER PARAMETER=VALUE...
    driver=$1
    shift
    insmod "$here/../../rnullblk.ko" "size=$MIB" submit_queues=1 "$@"
    measure "$driver" rblk0
    rmmod rnullblk
}

measure_null_blk() { # measure_null_blk DRIVER PARAMETER=VALUE...
    driver=$1
    shift
    modprobe null_blk nr_devices=1 gb=1 bs=512 submit_queues=1 irqmode=0 "$@"
    measure "$driver" nullb0
    rmmod null_blk
}

measure_rnullblk rnullblk
measure_null_blk null_blk memory_backed=1
modprobe brd rd_nr=1 rd_size=$((MIB << 10))
measure brd ram0
rmmod brd
measure_rnullblk rnullblk-no-data memory_backed=0
measure_null_blk null_blk-no-data
