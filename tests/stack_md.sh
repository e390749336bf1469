#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# md RAID1 on two devices: a leg fails under load and is re-added, and both legs have the same in the end.
command -v mdadm >/dev/null || skip_all "there is no mdadm"
modprobe raid1 2>/dev/null || skip_all "this kernel has no raid1"
plan 4

MD=/dev/md/rblktest
MNT=$(mount_dir mnt)

take_down() { [ ! -e $MD ] || mdadm --quiet --stop $MD; }
at_end take_down

md() { cat "/sys/block/$(basename "$(realpath $MD)")/md/$1"; } # md FILE
is_so() { [ "$(md "$1")" = "$2" ]; } # is_so FILE CONTENT

mirrored() {
    for device in one two; do
        new $device
        set_to $device size 40
        power $device 1
    done
    mdadm --create $MD --level=1 --raid-devices=2 --metadata=1.2 --bitmap=internal --run /dev/one /dev/two
    mdadm --wait $MD || true # it says so if there was nothing to wait for
    is_so degraded 0
    mkfs.ext4 -q $MD
    mount $MD "$MNT"
    noise 8 >"$MNT/file"
    umount "$MNT"
}

fail() {
    echo 1 >"$DEBUGFS/two/pull_out"
    wait_for 20 is_so degraded 1
}
failed() {
    while_io $MD fail
    mdadm --detail $MD
    mdadm $MD --remove failed || mdadm $MD --remove detached
}

# What was written meanwhile is copied to it, as the bitmap says, under load.
readd() {
    mdadm $MD --re-add /dev/two
    wait_for 60 is_so degraded 0
}
readded() {
    mkfs.ext4 -q -F $MD
    mount $MD "$MNT"
    noise 8 >"$MNT/file"
    umount "$MNT"
    power two 0
    power two 1
    while_io $MD readd
}

equal() {
    mdadm --wait $MD || true
    mdadm --action=check $MD
    mdadm --wait $MD || true
    is_so mismatch_cnt 0
    take_down
    # The data begins at the same offset on both.
    offset=$(mdadm --examine /dev/one | awk '/Data Offset/ { print $4 }')
    for device in one two; do
        tail -c +$((offset * 512 + 1)) /dev/$device | sha256sum
    done | sort -u >"$WORK/sums"
    [ "$(wc -l <"$WORK/sums")" -eq 1 ]
}

pick_seed
load nr_devices=0
check "a mirror is made and used" mirrored
check "a leg is pulled out under load" failed
check "and re-added under load" readded
check "both legs are equal" equal
finish
