#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Request-based multipath over two devices that share one store: paths fail and come back under verified load, and no I/O
# of those above fails.
command -v dmsetup >/dev/null || skip_all "there is no dmsetup"
modprobe -a dm-multipath dm-round-robin 2>/dev/null || skip_all "this kernel has no dm-multipath"
plan 6

MP=rblk-mp
NODE=/dev/mapper/$MP

take_down() { ! dmsetup info $MP >/dev/null 2>&1 || dmsetup remove --retry $MP; }
at_end take_down

dev_of() { cat "/sys/block/$1/dev"; }

# table FEATURES GROUPS: each group is a path, or both in turn
table() {
    one="$(dev_of one) 1" two="$(dev_of two) 1"
    case $2 in
    together) groups="1 1 round-robin 0 2 1 $one $two" ;;
    two-alone) groups="1 1 round-robin 0 1 1 $two" ;;
    one-first) groups="2 1 round-robin 0 1 1 $one round-robin 0 1 1 $two" ;;
    esac
    echo "0 $(blockdev --getsz /dev/two) multipath $1 0 $groups"
}

paths() { # paths FEATURES GROUPS: two fresh devices with one store, and multipath over them
    take_down
    new two
    new one
    set_to one size 32
    power one 1
    set_to two share_store one
    power two 1
    dmsetup create $MP --table "$(table "$1" "$2")"
    dmsetup mknodes $MP
}

is_path() { dmsetup status $MP | grep -q "$(dev_of "$1") $2 "; } # is_path DEVICE A|F: active or failed

writes_of() { counter writes '' "$1"; }

both_used() {
    paths 0 together
    dmsetup table $MP
    verified_io $NODE
    [ "$(writes_of one)" -gt 100 ]
    [ "$(writes_of two)" -gt 100 ]
    [ "$(sum_of /dev/one)" = "$(sum_of $NODE)" ]
    [ "$(sum_of /dev/two)" = "$(sum_of $NODE)" ]
}

# A real medium error: multipath takes it for one of the path, and tries the other.
errors() {
    set_to two badblocks +0-65535
    wait_for 20 is_path two F
}
errors_under_load() {
    paths 0 together
    while_io $NODE errors
    is_path one A
    set_to two badblocks -0-65535
    dmsetup message $MP 0 reinstate_path "$(dev_of two)"
    before=$(writes_of two)
    verified_io $NODE
    is_path two A
    [ "$(writes_of two)" -gt "$before" ]
}

pull_out() {
    echo 1 >"$DEBUGFS/$1/pull_out"
    wait_for 20 is_path "$1" F
}
pulled_out_under_load() {
    paths 0 together
    while_io $NODE pull_out one
    verified_io $NODE
    is_path two A
}

# The path that was pulled out comes back as a new disk with the same data.
change_to() {
    dmsetup reload $MP --table "$(table 0 "$1")"
    dmsetup resume $MP
}
back() {
    change_to two-alone # two disks of one name do not fit below /sys/block/dm-*/slaves
    power one 0
    power one 1
    change_to together
}
back_under_load() {
    while_io $NODE back
    before=$(writes_of one)
    verified_io $NODE
    [ "$(writes_of one)" -gt "$before" ]
    [ "$(sum_of /dev/one)" = "$(sum_of $NODE)" ]
}

# Of two groups the second is used only when the first one fails.
fail_over() {
    [ "$(writes_of two)" -eq 0 ]
    set_to one badblocks +0-65535
    wait_for 20 is_path one F
}
failover_under_load() {
    paths 0 one-first
    while_io $NODE fail_over
    [ "$(writes_of two)" -gt 0 ]
    set_to one badblocks -0-65535
}

# With no path left I/O waits for one.
no_path() {
    for device in one two; do
        dmsetup message $MP 0 fail_path "$(dev_of $device)"
    done
    sleep 1
    before=$(sectors_written $NODE)
    sleep 1
    [ "$(sectors_written $NODE)" -eq "$before" ]
    dmsetup message $MP 0 reinstate_path "$(dev_of two)"
}
queued_under_load() {
    paths "1 queue_if_no_path" together
    while_io $NODE no_path
}

pick_seed
load nr_devices=0
check "both paths are used, and lead to the same data" both_used
check "a path with errors fails and is reinstated" errors_under_load
check "a path is pulled out" pulled_out_under_load
check "and comes back" back_under_load
check "failover to the second group" failover_under_load
check "without any path I/O waits" queued_under_load
finish
