#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# dm-crypt by cryptsetup: what is written is read with the right key alone, and the device has none of it in plain.
command -v cryptsetup >/dev/null || skip_all "there is no cryptsetup"
modprobe dm-crypt 2>/dev/null || skip_all "this kernel has no dm-crypt"
plan 4

NAME=rblk-secret
MNT=$(mount_dir mnt)
MARK="what nobody shall read on the device"

take_down() { [ ! -e /dev/mapper/$NAME ] || cryptsetup close $NAME; }
at_end take_down

# With few iterations: the key is no secret, and emulation is slow.
formatted() {
    cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/rblk0 "$WORK/key"
    cryptsetup isLuks /dev/rblk0
    cryptsetup open --key-file "$WORK/key" --allow-discards /dev/rblk0 $NAME
    verified_io /dev/mapper/$NAME
}

files() {
    mkfs.ext4 -q /dev/mapper/$NAME
    mount /dev/mapper/$NAME "$MNT"
    noise 4 >"$MNT/file"
    yes "$MARK" | head -n 1000 >"$MNT/marks"
    umount "$MNT"
    cryptsetup close $NAME
    if grep -c "$MARK" /dev/rblk0; then return 1; fi
    cryptsetup open --key-file "$WORK/key" --allow-discards /dev/rblk0 $NAME
    grep -c "$MARK" /dev/mapper/$NAME
    mount /dev/mapper/$NAME "$MNT"
    noise 4 | cmp - "$MNT/file"
    [ "$(grep -c "$MARK" "$MNT/marks")" -eq 1000 ]
}

trimmed() {
    rm "$MNT/file"
    before=$(counter discards)
    fstrim "$MNT"
    [ "$(counter discards)" -gt "$before" ]
    umount "$MNT"
    fsck_finds_nothing ext4 /dev/mapper/$NAME
}

wrong_key() {
    take_down
    printf %032d 0 >"$WORK/wrong"
    fails_with "No key available" cryptsetup open --key-file "$WORK/wrong" /dev/rblk0 $NAME
    [ ! -e /dev/mapper/$NAME ]
}

pick_seed
printf %032d "$seed" >"$WORK/key"
load size=64
check "formatted, opened, written and verified" formatted
check "files are read again, and none is there in plain" files
check "fstrim reaches the device" trimmed
check "not with another key" wrong_key
finish
