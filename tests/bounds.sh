#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# The last sector can be used, nothing beyond it: the block layer sees to that, and so does the driver.
plan 18

SECTORS=2048 # of the smallest disk, 1 MiB
END=$((SECTORS * 512))
SPAN=$((END - 2048)) # where a range of 4096 bytes begins that spans the end

# poke PARAMETER=VALUE...: always fails; the log and its exit say how. See kmod/poke.c.
poke() { insmod "$TESTS/kmod/poke.ko" device=/dev/rblk0 "$@"; }

# seem_to_have SECTORS: makes the block layer believe it.
seem_to_have() {
    fails_with "Operation canceled" poke "capacity=$1"
    [ "$(cat /sys/block/rblk0/size)" -eq "$1" ]
}

# fails_in_driver KIND COMMAND...: COMMAND ends with EIO, and it was the driver that said so.
fails_in_driver() {
    kind=$1
    shift
    failed=$(counter errors) asked=$(counter "$kind")
    fails_with "Input/output error" "$@"
    echo "$kind: $asked, now $(counter "$kind"); errors: $failed, now $(counter errors)"
    [ "$(counter errors)" -gt "$failed" ]
    [ "$(counter "$kind")" -gt "$asked" ]
}

read_at() { # read_at BYTE LENGTH
    dd if=/dev/rblk0 of="$WORK/read" iflag=direct,skip_bytes skip="$1" bs="$2" count=1
}

write_at() { # write_at BYTE LENGTH
    dd if=/dev/zero of=/dev/rblk0 oflag=direct,seek_bytes seek="$1" bs="$2" count=1
}

# The whole disk holds known data from here on.
fill() {
    seq -w 1 1000000 | head -c "$END" >"$WORK/filled"
    dd if="$WORK/filled" of=/dev/rblk0 oflag=direct bs=64k
}

is_as_filled() {
    dd if=/dev/rblk0 of="$WORK/now" iflag=direct bs=64k count=$((END / 65536))
    cmp "$WORK/filled" "$WORK/now"
}

last_sector() {
    head -c 512 /dev/urandom >"$WORK/sector"
    dd if="$WORK/sector" of=/dev/rblk0 oflag=direct bs=512 seek=$((SECTORS - 1))
    dd if=/dev/rblk0 of="$WORK/back" iflag=direct bs=512 skip=$((SECTORS - 1))
    cmp "$WORK/sector" "$WORK/back"
    blkdiscard --offset $((END - 512)) --length 512 /dev/rblk0
    dd if=/dev/rblk0 of="$WORK/back" iflag=direct bs=512 skip=$((SECTORS - 1))
    cmp -n 512 "$WORK/back" /dev/zero
}

one_beyond() {
    fill
    [ "$(dd if=/dev/rblk0 iflag=direct bs=512 skip="$SECTORS" | wc -c)" -eq 0 ]
    fails_with "No space left on device" write_at "$END" 512
    # blkdiscard would cut such a range itself.
    fails_with "Invalid argument" fallocate --punch-hole --offset "$END" --length 512 /dev/rblk0
    fails_with "Invalid argument" fallocate --zero-range --offset "$END" --length 512 /dev/rblk0
    is_as_filled
    [ "$(counter errors)" -eq 0 ] # the driver was not asked
}

prepare() { # prepare PARAMETER=VALUE...
    reload size=1 "$@"
    fill
    seem_to_have $((SECTORS * 2))
}

last_sector_still() {
    read_at $((END - 512)) 512
    cmp -n 512 "$WORK/read" "$WORK/filled" 0 $((END - 512))
}

discard_at() { # discard_at BYTE LENGTH
    fails_in_driver discards blkdiscard --force --offset "$1" --length "$2" /dev/rblk0
}

zero_at() { # zero_at BYTE LENGTH
    fails_in_driver write_zeroes blkdiscard --force --zeroout --offset "$1" --length "$2" /dev/rblk0
}

reads_beyond() {
    fails_in_driver reads read_at "$END" 512
    fails_in_driver reads read_at "$SPAN" 4096
    fails_in_driver reads read_at $((END - 262144)) 524288
}

writes_beyond() {
    fails_in_driver writes write_at "$END" 512
    fails_in_driver writes write_at "$SPAN" 4096
    # Whole segments lie inside, and none of them may be written.
    fails_in_driver writes write_at $((END - 262144)) 524288
}

discards_beyond() {
    discard_at "$END" 512
    discard_at "$SPAN" 4096
    discard_at 0 $((END + 512))
}

write_zeroes_beyond() {
    zero_at "$END" 512
    zero_at "$SPAN" 4096
    zero_at 0 $((END + 512))
}

# Positions that a careless conversion would wrap into the disk.
far_beyond() {
    seem_to_have $(((1 << 54) - 1))
    for byte in $((1 << 32)) $((1 << 41)) $(((1 << 63) - 1024)); do
        fails_in_driver writes write_at "$byte" 512
        zero_at "$byte" 512
    done
    seem_to_have "$SECTORS"
}

all_beyond_unbacked() {
    for byte in "$END" "$SPAN"; do
        fails_in_driver reads read_at "$byte" 4096
        fails_in_driver writes write_at "$byte" 4096
        discard_at "$byte" 4096
        zero_at "$byte" 4096
    done
}

# passthrough OPERATION: its number in enum req_op
passthrough() {
    failed=$(counter errors)
    fails_with "Operation not supported" poke "op=$1"
    log_has "poke: rblk0: operation $1 ended with -95"
    [ "$(counter errors)" -eq $((failed + 1)) ]
}

load size=1
check "the last sector can be written, read and discarded" last_sector
check "the block layer lets nothing beyond it through" one_beyond
check "then it is made to believe that the disk is larger" prepare
check "the last sector can be read as before" last_sector_still
check "the driver refuses reads beyond the end" reads_beyond
check "it refuses writes" writes_beyond
check "not one byte was touched" is_as_filled
check "it refuses discards" discards_beyond
check "not one byte was discarded" is_as_filled
check "it refuses write zeroes" write_zeroes_beyond
check "not one byte was zeroed" is_as_filled
check "it refuses what is far beyond" far_beyond
check "nothing was touched by that" is_as_filled
check "it does not know driver-private reads" passthrough 34
check "it does not know driver-private writes" passthrough 35
check "and goes on working" is_as_filled
check "a disk not backed by memory is made larger" prepare memory_backed=0
check "it refuses all the same" all_beyond_unbacked
finish
