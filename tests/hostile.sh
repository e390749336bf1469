#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Whatever is written, asked for or sent: an errno comes of it, and the device works as before.
plan 11
pick_seed

hostile() { # hostile WHAT ARGUMENT...
    echo "seed $seed"
    python3 "$TESTS/hostile.py" "$@" >"$WORK/hostile"
    cat "$WORK/hostile"
    echo "# $(cat "$WORK/hostile")" >&3
}
exec 3>&1

works() { # works DEVICE
    noise 1 | dd of="/dev/$1" bs=64k iflag=fullblock oflag=direct status=none
    noise 1 | cmp -n $((1 << 20)) - "/dev/$1"
}

attributes() {
    new dut
    hostile attributes "$seed" "$(scaled 10000)" "$CONFIG/dut"
    rmdir "$CONFIG/dut"
    new dut
    power dut 1
    works dut
    rmdir "$CONFIG/dut"
}

reads_go_on() { [ "$(counter reads '' dut)" -gt 100 ]; }

# Whatever faults the writes bring about, the load goes on; what they make it wait for, power off ends.
files_in_use() {
    new dut
    set_to dut size 4
    power dut 1
    echo 200 >/sys/block/dut/queue/io_timeout # in ms: forgotten requests are waited for
    python3 "$TESTS/hostile.py" load /dev/dut &
    load=$!
    trap 'kill -KILL "$load"' EXIT # of this check
    wait_for 20 reads_go_on
    hostile in_use "$seed" "$(scaled 1000)" "$CONFIG/dut" "$DEBUGFS/dut"
    kill -0 "$load" # still there
    kill -KILL "$load"
    trap - EXIT
    rmdir "$CONFIG/dut"
    wait "$load" || true
    new dut
    power dut 1
    works dut
    rmdir "$CONFIG/dut"
}

parameters() {
    unload
    hostile parameters "$seed" "$(scaled 200)" "$RNULLBLK_KO"
    load size=2
    works rblk0
}

ioctls() {
    hostile ioctls "$seed" "$(scaled 20000)" /dev/rblk0
    works rblk0
}

transfers() {
    blkdiscard -f /dev/rblk0
    hostile transfers "$seed" /dev/rblk0
}

opens() {
    hostile opens /dev/rblk0
    works rblk0
}

# Sent past all checks of the block layer: the driver refuses what it does not know.
passthrough() {
    for op in 34 35 34 35; do # REQ_OP_DRV_IN, REQ_OP_DRV_OUT
        fails_with "Operation not supported" insmod "$TESTS/kmod/poke.ko" device=/dev/rblk0 "op=$op"
    done
    works rblk0
}

# Root alone is not enough, nor are the files' modes.
without_privilege() {
    new dut
    for attempt in "mkdir $CONFIG/mine" "/bin/echo 1 >$CONFIG/dut/power" "/bin/echo 8 >$CONFIG/dut/size" \
        "/bin/echo +1-2 >$CONFIG/dut/badblocks" "/bin/echo 8 >$DEBUGFS/rblk0/size" \
        "/bin/echo 1 >$DEBUGFS/rblk0/pull_out"; do
        fails_with "not permitted" setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin sh -c "$attempt"
    done
    has dut power 0
    rmdir "$CONFIG/dut"
    works rblk0
}

nobody() {
    new dut
    power dut 1
    for attempt in "mkdir $CONFIG/mine" "echo 0 >$CONFIG/dut/power" "cat $CONFIG/dut/size" "rmdir $CONFIG/dut" \
        "cat $DEBUGFS/dut/queues" "head -c 1 /dev/dut" "echo >/dev/dut"; do
        fails_with "ermission denied" setpriv --reuid=65534 --regid=65534 --clear-groups sh -c "$attempt"
    done
    rmdir "$CONFIG/dut"
}

# The mode and owner that the kernel gives every disk, for udev to change.
usual_rights() {
    modprobe brd rd_nr=1 rd_size=1024
    stat -c '%A %U %G' /dev/rblk0 /dev/ram0
    [ "$(stat -c '%A %U %G' /dev/rblk0)" = "$(stat -c '%A %U %G' /dev/ram0)" ]
    rmmod brd
}

load size=2
check "malformed writes to every attribute" attributes
check "and to every file of a device in use" files_in_use
check "malformed parameters" parameters
check "every ioctl, with wild arguments" ioctls
check "every offset, address and length" transfers
check "every way to open it" opens
check "passthrough requests" passthrough
check "without CAP_SYS_ADMIN nothing is made or changed" without_privilege
check "nobody may read, write or change" nobody
check "device nodes have the usual rights" usual_rights
check "the module goes" unload
finish
