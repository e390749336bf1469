#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# power_cut: what was flushed stays, each other block is old or new, the same again for the same seed; file systems
# come back from it with all that they promised, unless the device lies about its flushes, and then that is found.
#   CUTS    under each file system (2)
plan 12

expect_log 'I/O error|Buffer I/O error|EXT4-fs|XFS|BTRFS|JBD2|lost async page write|metadata I/O error'
pick_seed
RAM=$(mount_dir ram)
mount -t tmpfs tmpfs "$RAM"
yes old | head -c $((2 << 20)) >"$RAM/old"
yes new | head -c $((2 << 20)) >"$RAM/new"

# cut HOW [ATTRIBUTE VALUE]...: over 1 MiB of flushed "old" there is 1 MiB of "new"; then the power is cut. What is
# left goes to RAM/left.
cut_over() {
    how=$1
    shift
    [ ! -d "$CONFIG/dut" ] || rmdir "$CONFIG/dut"
    mkdir "$CONFIG/dut"
    set_to dut size 8
    set_to dut cache_size 4
    while [ $# -gt 0 ]; do
        set_to dut "$1" "$2"
        shift 2
    done
    power dut 1
    dd if="$RAM/old" of=/dev/dut bs=64k oflag=direct status=none
    sync /dev/dut
    dd if="$RAM/new" of=/dev/dut bs=64k count=16 oflag=direct status=none
    set_to dut power_cut "$how"
    has dut power 0
    has dut power_cut "$how"
    power dut 1
    dd if=/dev/dut of="$RAM/left" bs=64k count=32 iflag=direct status=none
    cmp -n $((1 << 20)) -i $((1 << 20)) "$RAM/old" "$RAM/left"
}

# pieces BYTES: a line for each piece of so many bytes of the first MiB, "old" or "new".
pieces() {
    python3 - "$RAM/left" "$1" <<'END'
import sys
size = int(sys.argv[2])
data = open(sys.argv[1], "rb").read(1 << 20)
for at in range(0, len(data), size):
    piece = data[at:at + size]
    print({b"old\n" * (size // 4): "old", b"new\n" * (size // 4): "new"}[piece])
END
}

# About half of them, and never two of the same alone.
both_in() { # both_in BYTES
    pieces "$1" | sort | uniq -c
    pieces "$1" | sort | uniq -c | awk -v least=$(((1 << 20) / $1 / 3)) '
        $1 >= least { kinds++ } END { exit kinds != 2 }'
}

in_blocks() {
    cut_over "$seed blocks"
    both_in 512
    cut_over "$seed blocks" blocksize 4096
    both_in 4096
}

torn() {
    cut_over "$seed torn" blocksize 4096
    # In each page the new sectors come first, from none to all 8 of them.
    pieces 512 | paste -d ' ' - - - - - - - - | sort | uniq -c | tee "$RAM/kinds"
    [ "$(wc -l <"$RAM/kinds")" -eq 9 ]
    [ "$(grep -c 'old new' "$RAM/kinds")" -eq 0 ]
}

nothing_is_left() {
    cut_over "$seed nothing"
    cmp -n $((1 << 20)) "$RAM/old" "$RAM/left"
}

same_again() {
    cut_over "$seed blocks"
    cp "$RAM/left" "$RAM/first"
    cut_over "$seed blocks"
    cmp "$RAM/left" "$RAM/first"
    cut_over "$((seed + 1)) blocks"
    fails_with differ cmp "$RAM/left" "$RAM/first"
}

# It goes as if pulled: what is in flight fails, and nobody waits for it.
under_load() {
    new dut
    set_to dut cache_size 4
    set_to dut irqmode 2
    set_to dut completion_nsec 3000000000
    power dut 1
    fio --name=load --filename=/dev/dut --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bs=4k --time_based \
        --runtime=60 >"$RAM/fio.log" 2>&1 &
    fio_pid=$!
    wait_for 20 eight_in_flight
    started=$(date +%s)
    set_to dut power_cut "$seed"
    if wait "$fio_pid"; then
        return 1
    fi
    took=$(($(date +%s) - started))
    cat "$RAM/fio.log"
    echo "it took $took s"
    [ "$took" -lt $((3 * ${SLOWNESS:-1})) ]
    grep -qE 'Input/output error|No such device' "$RAM/fio.log"
    has dut power 0
}
eight_in_flight() { grep "^8 started" "$DEBUGFS/dut/in_flight"; }

refused() {
    new dut
    set_to dut cache_size 1
    fails_with "No such device" set_to dut power_cut 1
    power dut 1
    for bad in "" x "1 x" "torn" "-1" "1 torn x" 18446744073709551616; do
        fails_with "Invalid argument" set_to dut power_cut "$bad"
    done
    log_has 'dut: power_cut=1 x refused: allowed is SEED'
    has dut power 1
}

# Without a cache all is durable.
no_cache() {
    new dut
    set_to dut size 8
    power dut 1
    dd if="$RAM/new" of=/dev/dut bs=64k oflag=direct status=none
    set_to dut power_cut "$seed"
    power dut 1
    cmp "$RAM/new" /dev/dut -n $((2 << 20))
}

lies() {
    cut_over "$seed nothing" lie_about_flush 1 || true
    cmp -n $((1 << 20)) /dev/zero "$RAM/left"
}

# Its progress is seen at once: a machine that says nothing for long is taken for dead.
campaign() { # campaign FILE-SYSTEM
    rm -f "$RAM/failed"
    {
        "$TESTS/../tools/crash-campaign" --fs="$1" --cuts="${CUTS:-$(scaled 2)}" --seed="$seed" --device=dut \
            --json="$RAM/$1.json" >"$RAM/out" || touch "$RAM/failed"
    } 2>&1 | sed -u 's/^/# /' >&3
    sed 's/^/# /' "$RAM/out" >&3
    [ ! -e "$RAM/failed" ]
}

# The file system loses what it promised, and that does not take long to find.
finds_the_lie() {
    if "$TESTS/../tools/crash-campaign" --fs=ext4 --cuts=20 --stop --lie --seed="$seed" --device=dut \
        --html="$RAM/lie.html" >"$RAM/lie" 2>&1; then
        return 1
    fi
    cat "$RAM/lie"
    grep -q '1 failed' "$RAM/lie"
    grep -q 'again: .*--lie' "$RAM/lie"
    grep -q '1 of [0-9]* power cuts failed' "$RAM/lie.html"
    echo "# $(grep -m 1 'power cuts from seed' "$RAM/lie")" >&3
}

exec 3>&1
load nr_devices=0
check "each block is old or new" in_blocks
check "torn: new sectors, then old ones" torn
check "nothing: all is as at the last flush" nothing_is_left
check "the same seed leaves the same" same_again
check "under load, as if pulled out" under_load
check "what is no power cut is refused" refused
check "without a cache nothing is lost" no_cache
check "lie_about_flush" lies
[ ! -d "$CONFIG/dut" ] || rmdir "$CONFIG/dut"
for type in ext4 xfs btrfs; do
    check "$type comes back" campaign "$type"
done
check "a device that lies is found" finds_the_lie
finish
