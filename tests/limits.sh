#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# The limits that parameters set are in force: longer or gapped I/O is split, and loses no byte.
plan 7

pick_seed

QUEUE=/sys/block/rblk0/queue
PAGE_SIZE=$(getconf PAGESIZE)
PAGE_SECTORS=$((PAGE_SIZE / 512))

queue_shows() { # queue_shows FILE VALUE
    echo "queue/$1 shows $(cat "$QUEUE/$1"), expected $2"
    [ "$(cat "$QUEUE/$1")" = "$2" ]
}

keeps_data() { python3 "$TESTS/stamp.py" /dev/rblk0 --seed "$seed" --processes 2 --operations 60; }

# takes_writes NUMBER COMMAND...: so many requests to write
takes_writes() {
    before=$(counter writes)
    expected=$1
    shift
    "$@"
    echo "$*: $(($(counter writes) - before)) requests, expected $expected"
    [ $(($(counter writes) - before)) -eq "$expected" ]
}

# write_pieces OFFSET LENGTH...: one write whose pieces lie so far from the beginnings of pages.
write_pieces() {
    python3 -c '
import mmap, os, sys
page = mmap.PAGESIZE
offset, lengths = int(sys.argv[1]), [int(length) for length in sys.argv[2:]]
fd = os.open("/dev/rblk0", os.O_RDWR | os.O_DIRECT)
# Two pages a piece, the second one unused, so that no two pieces touch.
memory = memoryview(mmap.mmap(-1, 2 * page * len(lengths)))
pieces = [memory[2 * page * i + offset:][:length] for i, length in enumerate(lengths)]
for i, piece in enumerate(pieces):
    piece[:] = bytes([i + 1]) * len(piece)
assert os.pwritev(fd, pieces, 0) == sum(lengths)
wanted = b"".join(pieces)
assert os.pread(os.open("/dev/rblk0", os.O_RDONLY), len(wanted), 0) == wanted
' "$@"
}

write_of() { dd if=/dev/zero of=/dev/rblk0 oflag=direct "bs=$1" count=1 status=none; } # write_of BYTES

no_virt_boundary() {
    reload size=16
    queue_shows virt_boundary_mask 0
    takes_writes 1 write_pieces 0 512 512 512 512
}

virt_boundary() {
    reload size=16 virt_boundary=1
    queue_shows virt_boundary_mask $((PAGE_SIZE - 1))
    takes_writes 4 write_pieces 0 512 512 512 512 # each gap ends one
    takes_writes 1 write_pieces 0 "$PAGE_SIZE" "$PAGE_SIZE" "$PAGE_SIZE" 512 # there is no gap
    takes_writes 2 write_pieces 512 $((PAGE_SIZE - 512)) "$PAGE_SIZE" # the second begins within a page
    keeps_data
}

max_sectors() { # max_sectors SECTORS KIB: what is in force
    reload size=64 "max_sectors=$1"
    queue_shows max_hw_sectors_kb "$2"
    echo $(($2 + 4)) >"$QUEUE/max_sectors_kb" # users get no more
    queue_shows max_sectors_kb "$2"
    for kib in "$2" $(($2 + 4)) $(($2 * 3)); do
        [ "$kib" -le 65536 ] || continue
        takes_writes $(((kib + $2 - 1) / $2)) write_of $((kib << 10))
    done
}

small_max_sectors() {
    max_sectors "$PAGE_SECTORS" $((PAGE_SIZE >> 10))
    keeps_data
    max_sectors 256 128
    keeps_data
}

# Above what the driver serves in one go, its own limit holds.
large_max_sectors() {
    max_sectors 65536 32768
    max_sectors 65537 32768
    max_sectors 2147483647 32768
    max_sectors 0 32768
}

refuses() { # refuses VALUE ALLOWED
    unload
    said_before=$(log_since_start | grep -c 'rnullblk: ' || true)
    fails_with "Invalid parameters" insmod "$RNULLBLK_KO" "max_sectors=$1"
    log_since_start | sed -n 's/^[^]]*\] rnullblk: //p' | tail -n +$((said_before + 1)) >"$WORK/said"
    echo "max_sectors=$1 refused: allowed is $2" | diff - "$WORK/said"
    ! is_loaded
}

bad_max_sectors() {
    refuses 1 "0, or $PAGE_SECTORS to 2147483647"
    refuses $((PAGE_SECTORS - 1)) "0, or $PAGE_SECTORS to 2147483647"
    refuses -1 "0, or $PAGE_SECTORS to 2147483647"
    refuses 2147483648 "0, or $PAGE_SECTORS to 2147483647"
    refuses many "0, or $PAGE_SECTORS to 2147483647"
}

rotational() {
    for yes in 0 1; do
        reload size=16 "rotational=$yes"
        queue_shows rotational "$yes"
        [ "$(lsblk -dno ROTA /dev/rblk0 | tr -d ' ')" = "$yes" ]
    done
}

all_of_them() {
    reload size=16 rotational=1 virt_boundary=1 "max_sectors=$((PAGE_SECTORS + 1))" blocksize=4096 irqmode=2
    queue_shows rotational 1
    queue_shows virt_boundary_mask $((PAGE_SIZE - 1))
    queue_shows max_hw_sectors_kb $((PAGE_SIZE >> 10)) # whole blocks
    python3 "$TESTS/stamp.py" /dev/rblk0 --seed "$seed" --processes 2 --operations 30 --block-size 4096
}

check "by default pieces may lie anywhere" no_virt_boundary
check "with virt_boundary a gap ends a request" virt_boundary
check "a small max_sectors splits longer I/O" small_max_sectors
check "a large max_sectors ends at the driver's own" large_max_sectors
check "a bad max_sectors is refused" bad_max_sectors
check "rotational is shown" rotational
check "all of them together" all_of_them
finish
