#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
TESTS=$(dirname "$0")/..
. "$TESTS/lib.sh"
# Memory that a module forgets is found by kmemleak: what it does not report here it would not report of ours.
plan 1

KMEMLEAK=/sys/kernel/debug/kmemleak

# It takes two scans, and some seconds before them: a register or a stack may still know it, and that for long.
finds_leaks() {
    insmod "$TESTS/kmod/rblk_planted.ko"
    echo clear >$KMEMLEAK
    echo 1 >/sys/kernel/debug/rblk_planted/plant/leak
    rmmod rblk_planted
    sleep 6
    echo scan >$KMEMLEAK
    echo scan >$KMEMLEAK
    found=$(grep -c 'unreferenced object .* (size 2[0-9]*)' $KMEMLEAK) || true
    echo "$found of 32 found"
    [ "$found" -ge 32 ]
    echo clear >$KMEMLEAK
}

expect_log 'new suspected memory leak'
check "kmemleak: a leak" finds_leaks
finish
