#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# The module loads, unloads, and gives back all memory it took, time and again.
plan 6

cycle() { # cycle TIMES
    for _ in $(seq "$1"); do
        load size=16
        unload
    done
}

time_and_again() {
    cycle 5 # caches of the kernel's own fill up at first
    before=$(used_kib)
    cycle "$(scaled 50)"
    memory_is_back "$before" 200 # one page leaked in each of fifty cycles would be as much
}

# insmod, unlike modprobe, loads nothing else: the devices of the parameters are there all the same.
without_configfs() {
    umount /sys/kernel/config
    rmmod configfs
    load size=4 nr_devices=2
    log_has 'rnullblk: without configfs: for devices at run time, modprobe configfs and load this again'
    dd if=/dev/zero of=/dev/rblk1 bs=1M count=4 oflag=direct status=none
    unload
    modprobe configfs
    mount -t configfs configfs /sys/kernel/config
    load nr_devices=0
    [ -e "$CONFIG/features" ]
    fails_with "in use" rmmod configfs
    unload
}

# The kernel's own abstraction of a subsystem unregisters also what it could not register.
without_its_name() {
    insmod "$TESTS/kmod/taken.ko"
    load size=4
    log_has 'rnullblk: no devices at run time: EEXIST'
    dd if=/dev/zero of=/dev/rblk0 bs=1M count=4 oflag=direct status=none
    unload
    rmmod taken
    load nr_devices=0
    [ -e "$CONFIG/features" ]
    unload
}

check "the module loads" load
check "its devices are there" test -b /dev/rblk0
check "it unloads, and its devices go" sh -c 'rmmod rnullblk && test ! -e /dev/rblk0'
if [ -e /sys/module/configfs/initstate ]; then
    check "it does without configfs" without_configfs
else
    skip "it does without configfs" "configfs is no module of this kernel"
fi
check "it does without its name in configfs" without_its_name
check "$(scaled 50) times loaded and unloaded, memory is back where it was" time_and_again
finish
