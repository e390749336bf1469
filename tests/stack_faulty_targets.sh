#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Device mapper's targets for tests of file systems: dm-flakey fails and drops writes and leaves the device as it was,
# dm-log-writes records writes on a second device, from which the state at a mark is made again.
command -v dmsetup >/dev/null || skip_all "there is no dmsetup"
plan 4

NAME=rblk-faulty
NODE=/dev/mapper/$NAME
MNT=$(mount_dir mnt)

take_down() { ! dmsetup info $NAME >/dev/null 2>&1 || dmsetup remove --retry $NAME; }
at_end take_down

put_on() { # put_on TARGET ARGUMENT...: over all of rblk0
    take_down
    dmsetup create $NAME --table "0 $(blockdev --getsz /dev/rblk0) $*"
    dmsetup mknodes $NAME
}

change_to() { # change_to TARGET ARGUMENT...
    dmsetup reload $NAME --table "0 $(blockdev --getsz /dev/rblk0) $*"
    dmsetup suspend --nolockfs $NAME
    dmsetup resume $NAME
}

errors() {
    put_on flakey /dev/rblk0 0 60 0 # up for the next minute
    verified_io $NODE
    change_to flakey /dev/rblk0 0 0 60
    fails_with "Input/output error" dd if=$NODE of=/dev/null bs=4k count=1 iflag=direct
    fails_with "Input/output error" dd if=/dev/zero of=$NODE bs=4k count=1 oflag=direct
    [ "$(counter errors)" -eq 0 ] # none of them is the device's
}

# As after a power cut: what was written since is not there, and the journal makes the file system whole.
dropped() {
    put_on flakey /dev/rblk0 0 60 0
    mkfs.ext4 -q $NODE
    mount $NODE "$MNT"
    noise 2 >"$MNT/before"
    sync
    change_to flakey /dev/rblk0 0 0 60 1 drop_writes
    before=$(counter writes)
    noise 2 >"$MNT/after"
    sync
    [ "$(counter writes)" -eq "$before" ]
    umount "$MNT"
    take_down
    mount /dev/rblk0 "$MNT"
    noise 2 | cmp - "$MNT/before"
    [ ! -e "$MNT/after" ]
    umount "$MNT"
    fsck_finds_nothing ext4 /dev/rblk0
}

logged() {
    mkfs.ext4 -q -F /dev/rblk0
    dd if=/dev/rblk0 of=/dev/rblk2 bs=1M iflag=direct oflag=direct status=none # where replay begins
    put_on log-writes /dev/rblk0 /dev/rblk1
    mount $NODE "$MNT"
    noise 2 >"$MNT/before"
    umount "$MNT"
    sum_of /dev/rblk0 >"$WORK/at-mark"
    dmsetup message $NAME 0 mark here
    mount $NODE "$MNT"
    noise 2 >"$MNT/after"
    umount "$MNT"
    take_down
}

replayed() {
    python3 "$TESTS/replay_log_writes.py" /dev/rblk1 /dev/rblk2 here
    sum_of /dev/rblk2 | diff "$WORK/at-mark" -
    fsck_finds_nothing ext4 /dev/rblk2
    mount /dev/rblk2 "$MNT"
    noise 2 | cmp - "$MNT/before"
    [ ! -e "$MNT/after" ]
    umount "$MNT"
}

pick_seed
load nr_devices=3 size=32
if modprobe dm-flakey 2>/dev/null; then
    check "dm-flakey fails I/O" errors
    check "dm-flakey drops writes" dropped
else
    skip "dm-flakey fails I/O" "this kernel has no dm-flakey"
    skip "dm-flakey drops writes" "this kernel has no dm-flakey"
fi
if modprobe dm-log-writes 2>/dev/null; then
    check "dm-log-writes records what is written" logged
    check "which is replayed up to a mark" replayed
else
    skip "dm-log-writes records what is written" "this kernel has no dm-log-writes"
    skip "which is replayed up to a mark" "this kernel has no dm-log-writes"
fi
finish
