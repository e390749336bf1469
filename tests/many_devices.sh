#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# 500 devices one after another and 64 at once, from four processes at a time: each works, none leaves anything.
#   DEVICES    another number than 500
plan 4

devices=${DEVICES:-$(scaled 500)}
pick_seed

make_and_remove() { # make_and_remove NAME
    mkdir "$CONFIG/$1"
    set_to "$1" size 1
    set_to "$1" submit_queues 1
    set_to "$1" hw_queue_depth 8
    set_to "$1" power 1
    [ -e "/sys/block/$1" ]
    rmdir "$CONFIG/$1"
    [ ! -e "/sys/block/$1" ]
}

in_a_loop() { # in_a_loop PROCESS COUNT
    for i in $(seq "$2"); do
        make_and_remove "loop$1.$i"
        # Whoever waits for ten thousand wants to see something.
        [ "$1" -ne 1 ] || [ $((i % 250)) -ne 0 ] || ktap_print_msg "about $((4 * i)) devices" >&3
    done
}

# four FUNCTION [ARGUMENT...]: by four processes at once, which get their number.
four() {
    pids=
    for process in 1 2 3 4; do
        "$1" "$process" "${2-}" &
        pids="$pids $!"
    done
    for pid in $pids; do
        wait "$pid"
    done
}

nothing_is_left() {
    [ -z "$(find "$CONFIG" -mindepth 1 -type d)" ]
    [ -z "$(find /sys/block "$DEBUGFS" -mindepth 1 -maxdepth 1 -name '*.*')" ]
}

in_a_row() {
    four in_a_loop 15 # the kernel's own caches fill up at first
    before=$(used_kib)
    four in_a_loop $((devices / 4))
    nothing_is_left
    memory_is_back "$before" 6144
}

make_16() { # make_16 PROCESS
    for i in $(seq 16); do
        name=all$1.$i
        mkdir "$CONFIG/$name"
        set_to "$name" size 1
        set_to "$name" hw_queue_depth 8
        set_to "$name" power 1
    done
}

write_16() { # write_16 PROCESS: each has its own content
    for i in $(seq 16); do
        wait_for 5 test -b "/dev/all$1.$i"
        seq "$1$i" "$((${1}${i} + 100000))" | head -c $((1 << 20)) | dd of="/dev/all$1.$i" bs=64k iflag=fullblock oflag=direct status=none
    done
}

read_16() { # read_16 PROCESS
    for i in $(seq 16); do
        seq "$1$i" "$((${1}${i} + 100000))" | head -c $((1 << 20)) | cmp -n $((1 << 19)) - "/dev/all$1.$i" || return 1
    done
}

remove_16() { # remove_16 PROCESS
    for i in $(seq 16); do
        rmdir "$CONFIG/all$1.$i" || return 1
    done
}

sixty_four() {
    four make_16
    [ "$(find /sys/block -name 'all*' | wc -l)" -eq 64 ]
    # All numbers are there once.
    cat "$CONFIG"/all*/index | sort -n >"$WORK/indices"
    seq 0 63 | diff - "$WORK/indices"
    four write_16
    four read_16
    four remove_16
    nothing_is_left
}

# All processes on one device: whoever comes too late is told so, and nothing breaks.
quarrel() { # quarrel PROCESS
    for i in $(seq 40); do
        mkdir "$CONFIG/one" 2>/dev/null || true
        for change in "size $i" "submit_queues $((i % 2 + 1))" "irqmode $((i % 3))" "power $((i % 2))" "size $((i + 1)) force" \
            "badblocks +$i-$i" "timeout_inject 1,0,0,0" "power $(((i + 1) % 2))"; do
            # shellcheck disable=SC2086 # words
            set -- "$1" $change
            echo "$3${4+ $4}" >"$CONFIG/one/$2" || true
        done 2>/dev/null
        cat "$CONFIG/one/power" "$CONFIG/one/size" "$DEBUGFS/one/queues" >/dev/null 2>&1 || true
        rmdir "$CONFIG/one" 2>/dev/null || true
    done
}

in_dispute() {
    four quarrel
    rmdir "$CONFIG/one" 2>/dev/null || true
    nothing_is_left
    make_and_remove one
}

at_unload() {
    four make_16
    for process in 1 2 3 4; do
        remove_16 "$process"
    done
    rmmod rnullblk
    [ ! -e "$DEBUGFS" ]
    load nr_devices=0
}

exec 3>&1
load nr_devices=0
check "$devices, one after another by four processes" in_a_row
check "64 at once" sixty_four
check "four processes about one device" in_dispute
check "the module goes after them" at_unload
finish
