#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Devices do not share a byte: what is written to or discarded from one is never seen on another.
plan 4

pick_seed

DEVICE_MIB=8
DEVICES="0 1 2"

RAM=$(mount_dir ram)
mount -t tmpfs tmpfs "$RAM"

# pattern-N, as long as a device.
make_patterns() {
    # shellcheck disable=SC2086 # several words
    python3 -c '
import random, sys
seed, mib, directory = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
for number in sys.argv[4:]:
    with open(f"{directory}/pattern-{number}", "wb") as file:
        noise = random.Random(f"{seed} {number}")
        for _ in range(mib):
            file.write(noise.randbytes(1 << 20))
' "$seed" "$DEVICE_MIB" "$RAM" $DEVICES
}

# on_all_at_once COMMAND...: runs it with each device number, all at the same time.
on_all_at_once() {
    pids=
    for number in $DEVICES; do
        "$@" "$number" &
        pids="$pids $!"
    done
    all_status=0
    for pid in $pids; do
        wait "$pid" || all_status=1
    done
    return "$all_status"
}

write_pattern() { # write_pattern NUMBER: in pieces that differ, so that the devices take turns
    dd if="$RAM/pattern-$1" of="/dev/rblk$1" bs="$((64 + 4 * $1))k" oflag=direct conv=notrunc status=none
}

has_pattern() { # has_pattern NUMBER
    dd if="/dev/rblk$1" of="$RAM/now-$1" bs=1M iflag=direct status=none
    cmp "$RAM/pattern-$1" "$RAM/now-$1"
}

keep_their_patterns() {
    on_all_at_once write_pattern
    on_all_at_once has_pattern
}

# Every process stamps its blocks with the run, and the run is another one on each device.
stamp() { # stamp NUMBER
    python3 "$TESTS/stamp.py" "/dev/rblk$1" --seed "$((seed + $1))" --processes 2 --operations 60
}

discard_touches_one() {
    blkdiscard /dev/rblk1
    cmp -n $((DEVICE_MIB << 20)) /dev/rblk1 /dev/zero
    has_pattern 0
    has_pattern 2
}

check "three patterns are made" make_patterns
load "size=$DEVICE_MIB" nr_devices=3
check "each of three devices keeps its own pattern, all written at the same time" keep_their_patterns
check "discarding all of one leaves the others as they are" discard_touches_one
reload size=1 nr_devices=3
check "random writes and reads on all at the same time see only their own device" \
    on_all_at_once stamp
finish
