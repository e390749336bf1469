#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# ext4, xfs and btrfs each keep a tree of files byte for byte, on blocks of 512 and 4096 bytes, past
# the page cache, through a trim and a remount, and their own check finds no fault.
plan 24

pick_seed

RAM=$(mount_dir ram)
mount -t tmpfs tmpfs "$RAM"
MNT=$(mount_dir)

# Makes the same tree wherever it is run: so the one in memory says what the others must be.
cat >"$WORK/make_tree.py" <<'END_OF_PROGRAM'
import os, random, sys

chance = random.Random(int(sys.argv[1]))
os.chdir(sys.argv[2])
noise = chance.randbytes(1 << 20)


def some(length):
    start = chance.randrange(len(noise) - length + 1)
    return noise[start : start + length]


with open("big", "wb") as big:
    for _ in range(12):
        big.write(some(900_000))
    for _ in range(40):
        big.seek(chance.randrange(10_000_000))
        big.write(some(chance.randrange(20_000)))
    big.truncate(10_500_001)

names = []
for number in range(120):
    directory = f"d{chance.randrange(6)}/e{chance.randrange(3)}"
    os.makedirs(directory, exist_ok=True)
    names.append(f"{directory}/file{number}")
    with open(names[-1], "wb") as file:
        file.write(some(chance.choice((0, 1, 511, 513, 4095, 4097, chance.randrange(60_000)))))

chance.shuffle(names)
for number, name in enumerate(names):
    if number % 4 == 0:
        os.unlink(name)
    elif number % 4 == 1:
        os.rename(name, f"d0/renamed{number}")
    elif number % 4 == 2:
        with open(name, "ab") as file:
            file.write(some(chance.randrange(9_000)))

# Out of the page cache; dropping all of it would slow everything down that comes after.
os.sync()
for directory, _, files in os.walk("."):
    for name in files:
        with open(os.path.join(directory, name), "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
END_OF_PROGRAM

make_tree() { # make_tree DIRECTORY
    python3 "$WORK/make_tree.py" "$seed" "$1"
}

# ext4 puts a directory of its own there.
tree_is_right() { diff -r --exclude=lost+found "$RAM/tree" "$MNT"; }

sectors_read() { awk '{ print $3 }' /sys/block/rblk0/stat; }

make_and_fill() { # make_and_fill TYPE
    case $1 in
    ext4) mkfs.ext4 -q /dev/rblk0 ;;
    xfs) mkfs.xfs -q /dev/rblk0 ;;
    btrfs) mkfs.btrfs -q /dev/rblk0 ;;
    esac
    mount -t "$1" /dev/rblk0 "$MNT"
    make_tree "$MNT"
    before=$(sectors_read)
    tree_is_right
    # It was not the page cache that answered.
    [ $((($(sectors_read) - before) * 512)) -ge "$(stat -c %s "$MNT/big")" ]
}


# What it did to the files shows after the remount.
trim() {
    # Something to forget, which was on the device once.
    cp "$MNT/big" "$MNT/gone"
    sync -f "$MNT"
    rm "$MNT/gone"
    sync -f "$MNT"
    before=$(counter discards)
    fstrim -v "$MNT"
    [ "$(counter discards)" -gt "$before" ]
}

remount() { # remount TYPE
    umount "$MNT"
    mount -t "$1" /dev/rblk0 "$MNT"
    tree_is_right
}

fault_free() { # fault_free TYPE
    umount "$MNT"
    fsck_finds_nothing "$1" /dev/rblk0
}

mkdir "$RAM/tree"
make_tree "$RAM/tree"
for block_size in 512 4096; do
    for of_type in ext4:64 xfs:300 btrfs:128; do # with the smallest MiB for mkfs.xfs
        type=${of_type%:*}
        what="$type, blocks of $block_size"
        load "size=${of_type#*:}" "blocksize=$block_size"
        check "$what: files are as they were written, read from the device" make_and_fill "$type"
        check "$what: a trim reaches the device" trim
        check "$what: files are as they were after trim and remount" remount "$type"
        check "$what: the file system's own check finds no fault" fault_free "$type"
        ! mountpoint -q "$MNT" || umount "$MNT" # after a failure
        unload
    done
done
finish
