#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# LVM on two devices: linear and striped volumes, a snapshot, a thin volume, and pvmove from one device to the other under
# load; what was written is read.
command -v lvm >/dev/null || skip_all "there is no lvm"
modprobe -a dm-mod dm-snapshot dm-thin-pool dm-mirror 2>/dev/null || skip_all "this kernel lacks targets of device mapper"
plan 5

VG=rblktest
MNT=$(mount_dir mnt)

# This machine's own volume groups are none of this test's business, and without udev nobody else makes nodes.
export LVM_SYSTEM_DIR="$WORK/lvm" LVM_SUPPRESS_FD_WARNINGS=1
mkdir "$LVM_SYSTEM_DIR"
cat >"$LVM_SYSTEM_DIR/lvm.conf" <<'CONF'
devices { use_devicesfile = 0 global_filter = [ "a|^/dev/rblk[01]$|", "r|.*|" ] }
activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }
backup { backup = 0 archive = 0 }
global { use_lvmpolld = 0 thin_check_executable = "" }
CONF

take_down() {
    if lvm vgs $VG >/dev/null 2>&1; then
        lvm vgchange -qq -an $VG
        lvm vgremove -qq -f -y $VG
    fi
}
at_end take_down

# volumes PARAMETER=VALUE...: a fresh volume group on two fresh devices
volumes() {
    take_down
    reload nr_devices=2 size=96 "$@"
    lvm pvcreate -q /dev/rblk0 /dev/rblk1
    lvm vgcreate -q $VG /dev/rblk0 /dev/rblk1
}

create() { lvm lvcreate -q -y -W n "$@" $VG; } # create OPTION...

holds_files() { # holds_files NODE: an ext4 file system that is whole after a while of use
    mkfs.ext4 -q "$1"
    mount "$1" "$MNT"
    noise 8 >"$MNT/file"
    umount "$MNT"
    fsck_finds_nothing ext4 "$1"
    mount "$1" "$MNT"
    noise 8 | cmp - "$MNT/file"
}

linear() {
    volumes
    create -n linear -l 100%FREE # one device is not enough for it
    verified_io /dev/$VG/linear
    holds_files /dev/$VG/linear
    umount "$MNT"
}

striped() {
    volumes
    create -n striped -i 2 -I 64k -L 64M
    verified_io /dev/$VG/striped
    before0=$(sectors_written /dev/rblk0)
    before1=$(sectors_written /dev/rblk1)
    dd if=/dev/zero bs=1M count=64 of=/dev/$VG/striped oflag=direct status=none
    [ $(($(sectors_written /dev/rblk0) - before0)) -eq $((32 * 2048)) ] # half of it each
    [ $(($(sectors_written /dev/rblk1) - before1)) -eq $((32 * 2048)) ]
}

snapshot() {
    volumes
    create -n origin -L 32M
    noise 16 >/dev/$VG/origin
    lvm lvcreate -q -y -s -n old -L 32M $VG/origin
    verified_io /dev/$VG/origin
    noise 16 | cmp -n $((16 << 20)) - /dev/$VG/old
    if noise 16 | cmp -s -n $((16 << 20)) - /dev/$VG/origin; then return 1; fi
    lvm lvremove -qq -y $VG/old
}

# It promises more than both devices have, and gives back what is discarded.
thin() {
    volumes discard=1
    lvm lvcreate -q -y --type thin-pool -n pool -L 64M --poolmetadatasize 4M --discards passdown $VG
    lvm lvcreate -q -y -V 1G --thinpool pool -n thin $VG
    holds_files /dev/$VG/thin
    rm "$MNT/file"
    sync # or its blocks are not free yet
    before=$(lvm lvs --noheadings -o data_percent $VG/pool)
    fstrim "$MNT"
    umount "$MNT"
    after=$(lvm lvs --noheadings -o data_percent $VG/pool)
    echo "the pool is full to $before %, after fstrim to $after %"
    [ "${after%.*}" -lt "${before%.*}" ]
    [ $(($(counter discards '' rblk0) + $(counter discards '' rblk1))) -gt 0 ]
}

moved() {
    volumes
    lvm lvcreate -q -y -W n -n moving -L 32M $VG /dev/rblk0
    dd if=/dev/zero bs=1M count=32 of=/dev/$VG/moving oflag=direct status=none
    noise 8 | dd of=/dev/$VG/moving bs=1M seek=24 oflag=direct iflag=fullblock status=none
    while_io /dev/$VG/moving lvm pvmove -q -i 1 /dev/rblk0 /dev/rblk1
    [ "$(lvm lvs --noheadings -o devices $VG/moving | tr -d ' ')" = "/dev/rblk1(0)" ]
    noise 8 | cmp -n $((8 << 20)) -i 0:$((24 << 20)) - /dev/$VG/moving
    lvm vgreduce -q $VG /dev/rblk0 # so now it can go
}

pick_seed
check "a linear volume" linear
check "a striped one" striped
check "a snapshot" snapshot
check "a thin volume" thin
check "pvmove under load" moved
finish
