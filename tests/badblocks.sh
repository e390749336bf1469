#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Bad blocks: what touches one fails, all else does not; they can be met once, or leave what lies before them.
plan 12

expect_log 'I/O error, dev dut|Buffer I/O error on dev(ice)? dut|lost async page write'
pick_seed
RAM=$(mount_dir ram)
mount -t tmpfs tmpfs "$RAM"
noise 4 >"$RAM/noise"

bad() { set_to dut badblocks "$1"; } # bad +FIRST-LAST | -FIRST-LAST

lists() { # lists "FIRST COUNT"...
    printf '%s\n' "$@" | diff - "$CONFIG/dut/badblocks"
}

none() { [ -z "$(cat "$CONFIG/dut/badblocks")" ]; }

io() { # io read|write SECTOR COUNT: as one request
    case $1 in
    read) dd if=/dev/dut of="$RAM/read" bs=$(($3 * 512)) skip=$(($2 * 512)) count=1 iflag=direct,skip_bytes status=none ;;
    write) dd if="$RAM/noise" of=/dev/dut bs=$(($3 * 512)) seek=$(($2 * 512)) count=1 oflag=direct,seek_bytes \
        conv=notrunc status=none ;;
    esac
}

fails() { fails_with "Input/output error" "$@"; }

listed() {
    none
    bad +0-0
    bad +8-15
    bad +1000-1999
    lists "0 1" "8 8" "1000 512" "1512 488"
    bad -1100-1199
    lists "0 1" "8 8" "1000 100" "1200 312" "1512 488"
    bad -0-5000
    none
    bad -7-7 # there is none
    bad " +3-4 "
    lists "3 2"
    bad +18014398509481983-18014398509481983
    bad -0-18014398509481983
    none
}

refused() {
    for text in '' 1 1-2 '*1-2' + +1 +1- +-1 +2-1 +a-b +1-2-3 '+-1--2' +18014398509481984-18014398509481985 \
        +0-18446744073709551616; do
        fails_with "Invalid argument|out of range" bad "$text"
    done
    log_has 'rnullblk: dut: badblocks=\+2-1 refused: allowed is \+FIRST-LAST or -FIRST-LAST, sectors from 0 to 2\^54-1'
    none
}

# The list has 512 places. It is shown as far as a page goes, and never by half a line.
full() {
    for i in $(seq 512); do
        bad "+$((i * 1000000000))-$((i * 1000000000))"
    done
    fails_with "No space left" bad +1-1
    fails_with "No space left" bad +0-18014398509481983
    log_has 'badblocks=\+1-1 refused: allowed is what fits into a list of 512 ranges'
    [ "$(tail -c 3 "$CONFIG/dut/badblocks")" = " 1" ]
    [ "$(wc -l <"$CONFIG/dut/badblocks")" -gt 200 ]
    bad -0-600000000000
    none
}

# Requests that touch sectors 64 to 71, and those that only come near them.
touched() {
    power dut 1
    dd if="$RAM/noise" of=/dev/dut bs=1M oflag=direct status=none
    bad +64-71
    for range in "64 1" "71 1" "60 5" "71 2" "0 1024"; do
        # shellcheck disable=SC2086 # two numbers
        {
            fails io read $range
            fails io write $range
        }
    done
    for range in "63 1" "72 1" "0 64" "72 1024"; do
        # shellcheck disable=SC2086
        {
            io read $range
            io write $range
        }
    done
    fails blkdiscard -f -o $((64 * 512)) -l 4096 /dev/dut
    fails blkdiscard -f -z -o $((64 * 512)) -l 4096 /dev/dut
    blkdiscard -f -o $((72 * 512)) -l 4096 /dev/dut
    sync /dev/dut
    bad -64-71
    io read 0 1024
    cmp -n $((72 * 512 - 64 * 512)) -i $((64 * 512)) "$RAM/noise" /dev/dut # nothing was written there
    power dut 0
}

# Put there while the power is off, they are there when it is on, and stay when it goes.
across_power() {
    bad +100-107
    power dut 1
    fails io read 96 8
    bad +200-207
    power dut 0
    lists "100 8" "200 8"
    power dut 1
    fails io read 96 8
    fails io write 200 8
    bad -0-1000
    io read 96 8
    io write 200 8
    power dut 0
}

met_once() {
    set_to dut badblocks_once 1
    bad +16-31
    power dut 1
    fails io read 24 16
    none
    io read 24 16
    bad +16-19
    bad +40-43
    fails io write 0 64
    lists "40 4" # only the first one was met
    fails io write 0 64
    io write 0 64
    none
    # 1024 sectors are two ranges in the list, and the second one was not met.
    bad +0-1023
    fails io read 0 8
    lists "512 512"
    bad -0-1023
    set_to dut badblocks_once 0
    bad +16-19
    fails io read 16 4
    fails io read 16 4
    bad -0-100
    power dut 0
}

# Of a write over sectors 0 to 63 with 32 bad, the first 32 arrive, and only with badblocks_partial_io.
partial() {
    set_to dut badblocks_partial_io "$1"
    power dut 1
    blkdiscard -f /dev/dut
    bad +32-33
    fails io write 0 64
    bad -32-33
    cmp -n 32768 -i 16384:0 /dev/dut /dev/zero
    if [ "$1" -eq 1 ]; then
        cmp -n 16384 /dev/dut "$RAM/noise"
    else
        cmp -n 16384 /dev/dut /dev/zero
    fi
    # It can change with the power on.
    set_to dut badblocks_partial_io $((1 - $1))
    has dut badblocks_partial_io $((1 - $1))
    power dut 0
    set_to dut badblocks_partial_io 0
}

# Whole blocks only: with blocks of 4 KiB the bad sector 37 spoils those from 32 on.
whole_blocks() {
    set_to dut blocksize 4096
    set_to dut badblocks_partial_io 1
    power dut 1
    blkdiscard -f /dev/dut
    bad +37-37
    fails io write 0 64
    bad -37-37
    cmp -n 16384 /dev/dut "$RAM/noise"
    cmp -n 16384 -i 16384:0 /dev/dut /dev/zero
    power dut 0
    set_to dut blocksize 512
    set_to dut badblocks_partial_io 0
}

# What found room of a range that does not fit as a whole is there, and in force at once.
partly_full() {
    power dut 1
    dd if=/dev/dut of=/dev/null bs=4k count=1 status=none
    for i in $(seq 510); do
        bad "+$((i * 1000000))-$((i * 1000000))"
    done
    io read 0 8
    fails_with "No space left" bad +0-5000
    head -n 2 "$CONFIG/dut/badblocks"
    if [ "$(head -c 2 "$CONFIG/dut/badblocks")" = "0 " ]; then
        fails io read 0 8
    fi
    power dut 0
}

hexadecimal() {
    bad +0x10-0x1f
    lists "16 16"
    bad -020-0x1F
    none
}

# However requests are completed; and a device that has none left is as fast as it was: no detour.
completed_by() {
    for mode in "irqmode 1" "irqmode 2" "memory_backed 0" "poll_queues 1" "blocking 1"; do
        # shellcheck disable=SC2086 # two words
        set_to dut $mode
        power dut 1
        bad +64-71
        fails io read 64 8
        io read 72 8
        [ "$(counter errors '' dut)" -ge 1 ]
        bad -64-71
        io read 64 8
        power dut 0
        # shellcheck disable=SC2086
        set_to dut ${mode% *} "$(echo "${mode% *}" | sed 's/memory_backed/1/; t; s/.*/0/')"
    done
}

on_a_new_one() {
    new dut
    set_to dut size 4
    "$@"
}

load nr_devices=0
check "ranges are added, cleared and listed" on_a_new_one listed
check "what is no range is refused" on_a_new_one refused
check "a list that is full" on_a_new_one full
check "only what touches one fails" on_a_new_one touched
check "they stay when the power goes" on_a_new_one across_power
check "met once" on_a_new_one met_once
check "without badblocks_partial_io nothing is written" on_a_new_one partial 0
check "with it what lies before is" on_a_new_one partial 1
check "in whole blocks" on_a_new_one whole_blocks
check "a range for which there is not room enough" on_a_new_one partly_full
check "hexadecimal" on_a_new_one hexadecimal
check "in each way of completion" on_a_new_one completed_by
finish
