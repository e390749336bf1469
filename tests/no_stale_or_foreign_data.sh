#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# A read returns what was last written to these blocks of this device, and zeroes where nothing was:
# never data of another block, of an older write, or of a device that is gone.
plan 5

pick_seed

reads_zeroes() { # reads_zeroes DEVICE
    cmp -n "$(blockdev --getsize64 "$1")" "$1" /dev/zero
}

# The new devices most likely get memory that the old one just gave back.
fresh_after_reload() {
    load size=64
    reads_zeroes /dev/rblk0
    xfs_io -d -c "pwrite -q -S 0xa5 -b 1m 0 64m" /dev/rblk0
    fails_with "differ: byte 1," reads_zeroes /dev/rblk0
    reload size=32 nr_devices=2
    reads_zeroes /dev/rblk0
    reads_zeroes /dev/rblk1
}

stamped() { # stamped MODULE-PARAMETERS... -- OPTIONS...
    parameters=
    while [ "$1" != -- ]; do
        parameters="$parameters $1"
        shift
    done
    shift
    # shellcheck disable=SC2086 # several words
    reload $parameters
    python3 "$TESTS/stamp.py" /dev/rblk0 --seed "$seed" "$@"
}

check "a fresh device reads all zeroes, also in memory that an earlier one had filled" fresh_after_reload
check "no stale or foreign data: blocks of 512 bytes" \
    stamped size=4 -- --processes 4 --operations 300
check "no stale or foreign data: blocks of 4096 bytes" \
    stamped size=8 blocksize=4096 -- --block-size 4096 --processes 3 --operations 150
check "no stale or foreign data: one queue of depth 1 for all processes" \
    stamped size=2 submit_queues=1 hw_queue_depth=1 -- --processes 4 --operations 100
check "no stale or foreign data: I/O of up to 3 MiB, in several requests" \
    stamped size=12 -- --processes 2 --operations 8 --max-bytes 3145728
finish
