#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Swap on a device, used under memory pressure, alone and with zram beside it; and a file system on a loop device on one.
plan 3

MNT=$(mount_dir mnt)
GROUP=$(mount_dir cgroup)/rnullblk-test
ZRAM=

take_down() {
    for swap in /dev/rblk0 "$ZRAM"; do
        ! grep -q "^$swap " /proc/swaps || swapoff "$swap"
    done
    [ -z "$ZRAM" ] || echo 1 >"/sys/block/${ZRAM#/dev/}/reset"
    losetup -n -O NAME -l 2>/dev/null | while read -r loop; do
        [ "$(losetup -n -O BACK-FILE "$loop")" != /dev/rblk1 ] || losetup -d "$loop"
    done
}
at_end take_down

# A program in a group that has not the memory for its pages, each of which is another one, finds them all again.
press() { # press MIB LIMIT_MIB
    echo +memory >"${GROUP%/*}/cgroup.subtree_control"
    mkdir -p "$GROUP"
    echo "$2M" >"$GROUP/memory.max"
    status=0
    # shellcheck disable=SC2016 # expanded by the shell inside
    sh -euc 'echo $$ >"$1/cgroup.procs"; exec python3 -c "$2" "$3" "$4"' sh "$GROUP" '
import random, sys
pages, seed = int(sys.argv[1]) << 8, int(sys.argv[2])
page = random.Random(seed).randbytes(4088)
memory = bytearray(pages << 12)
for i in range(pages):
    memory[i << 12:(i + 1) << 12] = i.to_bytes(8, "little") + page
for i in range(pages):
    if memory[i << 12:(i + 1) << 12] != i.to_bytes(8, "little") + page:
        sys.exit(f"page {i} is another one")
' "$1" "$seed" || status=$?
    cat "$GROUP/memory.stat" "$GROUP/memory.events" | grep -E "swap|pgsteal |^max|^oom"
    rmdir "$GROUP"
    return "$status"
}

swap() {
    mkswap /dev/rblk0
    swapon --discard /dev/rblk0
    before=$(counter writes)
    press 64 24
    echo "$(($(counter writes) - before)) writes"
    [ $(($(counter writes) - before)) -gt 100 ]
    [ "$(counter errors)" -eq 0 ]
    swapoff /dev/rblk0
}

zram_beside() {
    echo 64M >"/sys/block/${ZRAM#/dev/}/disksize"
    for device in /dev/rblk0 "$ZRAM"; do
        mkswap "$device"
        swapon --priority 5 "$device" # the same, so both are used by turns
    done
    before=$(counter writes)
    press 64 24
    [ "$(counter writes)" -gt "$before" ]
    awk '{ print; exit !($5 > 100) }' "/sys/block/${ZRAM#/dev/}/stat" # writes
    swapoff "$ZRAM"
    swapoff /dev/rblk0
}

loop() {
    loop=$(losetup --find --show --direct-io=on /dev/rblk1)
    verified_io "$loop"
    mkfs.ext4 -q "$loop"
    mount "$loop" "$MNT"
    noise 8 >"$MNT/file"
    umount "$MNT"
    losetup --detach "$loop"
    mount /dev/rblk1 "$MNT"
    noise 8 | cmp - "$MNT/file"
    umount "$MNT"
    fsck_finds_nothing ext4 /dev/rblk1
}

pick_seed
load nr_devices=2 size=96
if mount -t cgroup2 cgroup2 "${GROUP%/*}" && grep -qw memory "${GROUP%/*}/cgroup.controllers"; then
    check "swap under memory pressure" swap
    modprobe zram num_devices=0 2>/dev/null && ZRAM=/dev/zram$(cat /sys/class/zram-control/hot_add)
    if [ -n "$ZRAM" ]; then
        check "zram beside it" zram_beside
    else
        skip "zram beside it" "this kernel has no zram"
    fi
else
    skip "swap under memory pressure" "this kernel has no memory control groups"
    skip "zram beside it" "this kernel has no memory control groups"
fi
if modprobe loop 2>/dev/null; then
    check "a loop device" loop
else
    skip "a loop device" "this kernel has no loop"
fi
finish
