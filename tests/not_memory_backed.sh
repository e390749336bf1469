#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Without memory behind it a disk completes all requests, moves no data, and costs nothing whatever its size.
plan 8

TIB=$((1 << 40))

available_mib() { awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo; }

available_before=$(available_mib)

# Less than 64 MiB are gone: programs and requests, not data.
memory_is_not_used() {
    available=$(available_mib)
    echo "MemAvailable was $available_before MiB, is $available MiB"
    [ $((available_before - available)) -lt 64 ]
}

# counts KIND NUMBER COMMAND...: COMMAND makes so many requests of that kind, and no error.
counts() {
    kind=$1 number=$2
    shift 2
    before=$(counter "$kind")
    "$@"
    cat "$DEBUGFS/rblk0/queues"
    [ $(($(counter "$kind") - before)) -eq "$number" ]
    [ "$(counter errors)" -eq 0 ]
}

loads() {
    load memory_backed=0 size=$((16 << 20)) # 16 TiB
    [ "$(blockdev --getsize64 /dev/rblk0)" -eq $((16 * TIB)) ]
    memory_is_not_used
}

writes_complete() {
    echo 1024 >/sys/block/rblk0/queue/max_sectors_kb
    counts writes 256 dd if=/dev/zero of=/dev/rblk0 oflag=direct,seek_bytes seek=$((9 * TIB)) bs=1M count=256
}

reads_complete() {
    counts reads 256 dd if=/dev/rblk0 of=/dev/null iflag=direct,skip_bytes skip=$((9 * TIB)) bs=1M count=256
}

discards_complete() {
    counts discards 64 blkdiscard --offset $((3 * TIB)) --length $((2 << 30)) /dev/rblk0
    counts write_zeroes 64 blkdiscard --zeroout --offset $((5 * TIB)) --length $((2 << 30)) /dev/rblk0
}

# The reader's buffer is left as it was: neither filled with what was written there, nor cleared.
data_is_not_moved() {
    python3 - <<'EOF'
import os

disk = os.open("/dev/rblk0", os.O_RDWR | os.O_DIRECT)
assert os.pwrite(disk, b"\x55" * 65536, 1 << 40) == 65536
buffer = bytearray(b"\xaa" * 65536)
assert os.preadv(disk, [buffer], 1 << 40) == 65536
assert buffer == b"\xaa" * 65536, "the buffer was changed"
EOF
}

random_io_completes() {
    fio --name=load --filename=/dev/rblk0 --direct=1 --ioengine=libaio --iodepth=32 --numjobs=2 \
        --rw=randrw --bs=4k --number_ios=1000 --norandommap --offset=12t --size=64g --group_reporting \
        --output-format=json --output="$WORK/fio.json"
    jq -e '.jobs[0] | .error == 0 and .read.total_ios + .write.total_ios >= 2000' "$WORK/fio.json"
    [ "$(counter errors)" -eq 0 ]
}

check "16 TiB load into 2 GiB of memory" loads
check "writes complete" writes_complete
check "reads complete" reads_complete
check "discards and write zeroes complete" discards_complete
check "random I/O completes" random_io_completes
check "no data is moved" data_is_not_moved
check "no memory was used" memory_is_not_used
check "it unloads" unload
finish
