#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# The module loads, unloads, and gives back all memory it took, time and again.
plan 9

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

# What is open keeps the module, also when its device is gone; it says errors then, and closing it is no use of what was freed.
open_files_keep_it() {
    load size=4
    exec 3<"$DEBUGFS/rblk0/queues"
    fails_with "in use" rmmod rnullblk
    exec 3<&-
    new dut
    set_to dut size 4
    power dut 1
    exec 3<"$DEBUGFS/dut/in_flight" 4<>"$DEBUGFS/dut/size" 5<>"$CONFIG/dut/size" 6</sys/block/dut/inflight
    rmdir "$CONFIG/dut"
    for file in 3 4 5 6; do
        fails_with "" cat <&$file
    done
    fails_with "" sh -c '/bin/echo 8 >&4'
    fails_with "" sh -c '/bin/echo 8 >&5'
    fails_with "in use" rmmod rnullblk
    exec 3<&- 4>&-
    rmmod rnullblk
    # What is not the module's own does not keep it, and does not look for it.
    fails_with "" cat <&5
    fails_with "" cat <&6
    exec 5>&- 6<&-
}

# The last one of many devices cannot be made while somebody has the first one open: loading fails when he has closed it.
failing_waits_for_users() {
    modprobe null_blk nr_devices=0
    mkdir /sys/kernel/config/nullb/rblk40
    echo 1 >/sys/kernel/config/nullb/rblk40/power
    rm -f "$WORK/ready" "$WORK/closes"
    python3 - "$WORK" <<'END' & # udev is as quick as this at times
import os, pathlib, sys, time
work = pathlib.Path(sys.argv[1])
until = time.monotonic() + 60
(work / "ready").touch()
while True:
    try:
        disk = os.open("/dev/rblk0", os.O_RDONLY)
        break
    except OSError:
        if time.monotonic() > until:
            raise
time.sleep(10)
(work / "closes").touch()
os.close(disk)
END
    opener=$!
    wait_for 20 test -e "$WORK/ready"
    fails_with "File exists|resource busy" insmod "$RNULLBLK_KO" nr_devices=41 size=1
    [ -e "$WORK/closes" ]
    wait "$opener"
    rmdir /sys/kernel/config/nullb/rblk40
    rmmod null_blk
}

# So many that a table of them is more than the page allocator gives; the first one cannot be made.
as_many_as_can_be() {
    fails_with "Cannot allocate memory" insmod "$RNULLBLK_KO" nr_devices=65535 memory_backed=0 \
        init_hctx_fault_inject=1,100,0,-1
}

# The kernel says with a call trace that a name is taken.
expect_log 'sysfs: cannot create duplicate filename|kobject_add_internal failed for rblk40|Call Trace:$'
check "the module loads" load
check "its devices are there" test -b /dev/rblk0
check "it unloads, and its devices go" sh -c 'rmmod rnullblk && test ! -e /dev/rblk0'
if [ -e /sys/module/configfs/initstate ]; then
    check "it does without configfs" without_configfs
else
    skip "it does without configfs" "configfs is no module of this kernel"
fi
check "it does without its name in configfs" without_its_name
check "an open file keeps it, whatever becomes of its device" open_files_keep_it
check "loading that fails waits for who has a device open" failing_waits_for_users
check "so many devices that there is no memory for them" as_many_as_can_be
check "$(scaled 50) times loaded and unloaded, memory is back where it was" time_and_again
finish
