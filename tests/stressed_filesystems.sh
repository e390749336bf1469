#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# ext4, xfs and btrfs under the load of a file server and of verified I/O at once, on a device that answers late and
# gives requests back now and then: all that was written is read, and fsck and the scrub of btrfs find no fault.
#   STRESS_SECONDS    for how long each (10)
plan 12

seconds=${STRESS_SECONDS:-10}
pick_seed
MNT=$(mount_dir mnt)

# A device of 320 MiB, the smallest that all of them take.
make() { # make TYPE
    new dut
    set_to dut size 320
    set_to dut irqmode 2
    set_to dut completion_nsec 50000
    set_to dut fault_seed "$seed"
    set_to dut requeue_inject 1,2,0,-1
    power dut 1
    "mkfs.$1" -q /dev/dut
    mount -t "$1" /dev/dut "$MNT"
}

stress() { # stress TYPE
    make "$1"
    mkdir "$MNT/clients"
    dbench -D "$MNT/clients" -t "$seconds" 4 >"$WORK/dbench.log" 2>&1 &
    dbench_pid=$!
    fio --name=verified --directory="$MNT" --ioengine=libaio --iodepth=16 --rw=randrw --bs=4k \
        --size=24m --numjobs=2 --fsync=32 --randseed="$seed" --time_based --runtime="$seconds" \
        --verify=crc32c --verify_fatal=1 --verify_backlog=64 >"$WORK/fio.log" 2>&1 || {
        cat "$WORK/fio.log"
        return 1
    }
    wait "$dbench_pid" || {
        cat "$WORK/dbench.log"
        return 1
    }
    grep '^Throughput' "$WORK/dbench.log"
    [ "$(counter requeues '' dut)" -gt 0 ]
    find "$MNT" -type f -exec sha256sum '{}' + >"$WORK/sums"
}

scrub() { btrfs scrub start -B "$MNT"; }
trim() { sync -f "$MNT" && fstrim "$MNT"; } # the other two cannot be scrubbed here

check_offline() { # check_offline TYPE
    umount "$MNT"
    fsck_finds_nothing "$1" /dev/dut
}

same_files() { # same_files TYPE
    mount -t "$1" /dev/dut "$MNT"
    sha256sum --quiet -c "$WORK/sums"
    umount "$MNT"
    rmdir "$CONFIG/dut"
}

load nr_devices=0
for type in ext4 xfs btrfs; do
    check "$type: a file server's load, and verified I/O" stress "$type"
    if [ "$type" = btrfs ]; then check "$type: scrub" scrub; else check "$type: trim" trim; fi
    check "$type: fsck finds no fault" check_offline "$type"
    check "$type: the files are the same after a remount" same_files "$type"
    ! mountpoint -q "$MNT" || umount "$MNT" # after a failure
done
finish
