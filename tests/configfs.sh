#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Devices come and go through configfs, with null_blk's words; their data is kept while the power is off.
plan 18

expect_log 'I/O error, dev dut|Buffer I/O error on dev(ice)? dut'
expect_log 'EXT4-fs.*dut|JBD2:.*dut|Aborting journal on device dut'
pick_seed
RAM=$(mount_dir ram)
mount -t tmpfs tmpfs "$RAM"
MNT=$(mount_dir)

# What null_blk's documentation and other test suites do, with nullb replaced.
transcript() {
    cd /sys/kernel/config/rnullblk
    mkdir rnullblk0
    cd rnullblk0
    echo 1 >memory_backed
    echo 100 >size
    echo 4096 >blocksize
    echo 1 >discard
    echo 2 >queue_mode
    echo 0 >irqmode
    echo 0 >use_per_node_hctx
    echo 1 >submit_queues
    echo 64 >hw_queue_depth
    echo 1 >power
    cat power index
    cd /
    mkfs.ext4 -q /dev/rnullblk0
    mount /dev/rnullblk0 "$MNT"
    noise 8 >"$MNT/file"
    umount "$MNT"
    echo 2 >/sys/kernel/config/rnullblk/rnullblk0/submit_queues
    cat /sys/kernel/config/rnullblk/rnullblk0/submit_queues
    mount /dev/rnullblk0 "$MNT"
    noise 8 | cmp - "$MNT/file"
    umount "$MNT"
    echo 0 >/sys/kernel/config/rnullblk/rnullblk0/power
    [ ! -e /dev/rnullblk0 ]
    rmdir /sys/kernel/config/rnullblk/rnullblk0
}

node_comes_and_goes() {
    new dut
    [ ! -e /sys/block/dut ]
    set_to dut size 32
    power dut 1
    [ -b /dev/dut ]
    [ "$(lsblk -dnbo SIZE /dev/dut)" -eq $((32 << 20)) ]
    [ -d "$DEBUGFS/dut" ]
    set_to dut power 1 # once more
    has dut power 1
    power dut 0
    [ ! -e /sys/block/dut ]
    wait_for 5 test ! -e /dev/dut
    [ ! -d "$DEBUGFS/dut" ]
    set_to dut power 0
    power dut 1
    rmdir "$CONFIG/dut"
    [ ! -e /sys/block/dut ]
}

data_is_kept() {
    new dut
    set_to dut size 16
    power dut 1
    noise 16 >"$RAM/noise"
    dd if="$RAM/noise" of=/dev/dut bs=1M oflag=direct status=none
    for _ in 1 2 3; do
        power dut 0
        power dut 1
        cmp "$RAM/noise" /dev/dut
    done
    # Also what is only in the page cache.
    dd if=/dev/zero of=/dev/dut bs=4k count=1 conv=notrunc status=none
    power dut 0
    power dut 1
    cmp -n 4096 /dev/dut /dev/zero
    cmp -i 4096 "$RAM/noise" /dev/dut
    dd if="$RAM/noise" of=/dev/dut bs=4k count=1 conv=notrunc oflag=direct status=none
}

# Another size while it is off: what both have is kept, what is new is zero.
data_of_another_size() {
    power dut 0
    set_to dut size 24
    set_to dut blocksize 4096
    power dut 1
    cmp -n $((16 << 20)) "$RAM/noise" /dev/dut
    cmp -n $((8 << 20)) -i $((16 << 20)):0 /dev/dut /dev/zero
    power dut 0
    set_to dut size 2
    power dut 1
    cmp -n $((2 << 20)) "$RAM/noise" /dev/dut
    power dut 0
    set_to dut size 8
    power dut 1
    cmp -n $((2 << 20)) "$RAM/noise" /dev/dut
    cmp -n $((6 << 20)) -i $((2 << 20)):0 /dev/dut /dev/zero
}

# A new description of the same name is another device: it has nothing of the old one.
nothing_is_inherited() {
    rmdir "$CONFIG/dut"
    new dut
    set_to dut size 8
    power dut 1
    cmp -n $((8 << 20)) /dev/dut /dev/zero
    rmdir "$CONFIG/dut"
}

names() {
    fails_with "File exists" mkdir "$CONFIG/rblk0" # made at load
    fails_with "File exists" mkdir "$CONFIG/rblk1"
    mkdir "$CONFIG/rblk2" "$CONFIG/rblk00" "$CONFIG/a b" "$CONFIG/1234567890123456789012345678901"
    fails_with "File exists" mkdir "$CONFIG/rblk2"
    fails_with "File name too long" mkdir "$CONFIG/12345678901234567890123456789012"
    for name in rblk2 1234567890123456789012345678901; do
        set_to "$name" size 1
        power "$name" 1
        [ -b "/dev/$name" ]
    done
    # Numbers are given anew.
    has rblk2 index 2
    has 1234567890123456789012345678901 index 3
    rmdir "$CONFIG/rblk2"
    set_to rblk00 size 1
    power rblk00 1
    has rblk00 index 2
    rmdir "$CONFIG"/*/
    [ "$(find "$CONFIG" -mindepth 1 -maxdepth 1 -type d | wc -l)" -eq 0 ]
}

# There is a disk of that name: everything is as it was, and kept data as well.
expect_log 'sysfs: cannot create duplicate filename'
expect_log 'Call Trace:'
name_is_taken() {
    new dut
    set_to dut size 4
    power dut 1
    noise 4 | dd of=/dev/dut bs=1M iflag=fullblock oflag=direct status=none
    power dut 0
    modprobe null_blk nr_devices=0
    mkdir /sys/kernel/config/nullb/dut /sys/kernel/config/nullb/dut2
    echo 1 >/sys/kernel/config/nullb/dut/power
    echo 1 >/sys/kernel/config/nullb/dut2/power
    new dut2
    fails_with "File exists" set_to dut2 power 1
    has dut2 memory_kib 0
    rmdir "$CONFIG/dut2" /sys/kernel/config/nullb/dut2
    fails_with "File exists" set_to dut power 1
    log_has 'rnullblk: dut: not made: EEXIST'
    has dut power 0
    # Settings that would have made less of the data.
    set_to dut size 1
    fails_with "File exists" set_to dut power 1
    set_to dut memory_backed 0
    fails_with "File exists" set_to dut power 1
    set_to dut memory_backed 1
    set_to dut size 4
    rmdir /sys/kernel/config/nullb/dut
    rmmod null_blk
    power dut 1
    noise 4 | cmp - /dev/dut
    rmdir "$CONFIG/dut"
}

too_large() {
    new dut
    set_to dut size 1000000
    fails_with "Cannot allocate memory" set_to dut power 1
    log_has 'rnullblk: dut: size=1000000 refused: allowed is at most [0-9]+ MiB, the memory that is available now$'
    has dut power 0
    set_to dut size 1
    power dut 1
    rmdir "$CONFIG/dut"
}

module_is_held() {
    new dut
    fails_with "in use" rmmod rnullblk
    set_to dut size 1
    power dut 1
    fails_with "in use" rmmod rnullblk
    rmdir "$CONFIG/dut"
    rmmod rnullblk
    [ ! -e "$CONFIG" ]
    load nr_devices=2 size=1
}

# Power off under a file system is no power cut: what was written is there.
power_off_under_a_file_system() {
    new dut
    set_to dut size 32
    power dut 1
    mkfs.ext4 -q /dev/dut
    mount /dev/dut "$MNT"
    noise 4 >"$MNT/file"
    power dut 0
    umount "$MNT"
    power dut 1
    e2fsck -fy /dev/dut || [ $? -eq 1 ]
    mount /dev/dut "$MNT"
    noise 4 | cmp - "$MNT/file"
    umount "$MNT"
    rmdir "$CONFIG/dut"
}

no_data() { [ "$(dd bs=4k count=1 iflag=direct | wc -c)" -eq 0 ]; }

# The last one who has it open keeps the old disk's remains, not the new disk's name.
open_across_power() {
    new dut
    set_to dut size 4
    power dut 1
    noise 4 | dd of=/dev/dut bs=1M iflag=fullblock oflag=direct status=none
    exec 5<>/dev/dut
    power dut 0
    no_data <&5
    power dut 1
    no_data <&5
    noise 4 | cmp - /dev/dut
    exec 5<&-
    rmdir "$CONFIG/dut"
}

# debugfs knows the size, too: no data is cut off when the power goes and comes.
resized_elsewhere() {
    new dut
    set_to dut size 4
    power dut 1
    echo 8 >"$DEBUGFS/dut/size"
    noise 8 | dd of=/dev/dut bs=1M iflag=fullblock oflag=direct status=none
    echo 1 >"$DEBUGFS/dut/pull_out"
    power dut 0
    has dut size 8
    power dut 1
    noise 8 | cmp - /dev/dut
    rmdir "$CONFIG/dut"
}

# under_faults MILLISECONDS SETTING=VALUE...: requests that would come back for ever, or after a timeout of so long, do not
# keep the power on.
under_faults() {
    milliseconds=$1
    shift
    new dut
    set_to dut size 8
    power dut 1
    : </dev/dut # looks for partitions
    for pair in "$@"; do
        set_to dut "${pair%%=*}" "${pair#*=}" || {
            power dut 0
            set_to dut "${pair%%=*}" "${pair#*=}"
            power dut 1
        }
    done
    echo "$milliseconds" >/sys/block/dut/queue/io_timeout
    dd if=/dev/zero of=/dev/dut bs=4k count=4 oflag=direct conv=nocreat status=none &
    dd_pid=$!
    sleep 1
    quick_power_off dut 10
    wait "$dd_pid" || true
    rmdir "$CONFIG/dut"
}

power_off_under_faults() {
    under_faults 5000 requeue_inject=1,100,0,-1
    under_faults 100 timeout_retry=1 timeout_inject=1,100,0,-1
    under_faults 60000 timeout_inject=1,100,0,-1
    under_faults 60000 irqmode=2 completion_nsec=60000000000
}

# Requests that come back for ever do not keep a disk from being changed.
change_under_faults() {
    new dut
    set_to dut size 8
    set_to dut submit_queues 1
    power dut 1
    : </dev/dut
    set_to dut requeue_inject 1,100,0,-1
    dd if=/dev/dut of=/dev/null bs=4k iflag=direct status=none &
    dd_pid=$!
    sleep 1
    for change in "size 16" "submit_queues 2" "read_only 1" "read_only 0"; do
        timeout 20 sh -c "echo ${change#* } >$CONFIG/dut/${change% *}"
    done
    has dut size 16
    kill -0 "$dd_pid"
    [ "$(counter requeues '' dut)" -gt 0 ]
    quick_power_off dut 10
    wait "$dd_pid" || true
    rmdir "$CONFIG/dut"
}

# Who still has a disk open that is gone keeps no memory.
memory_comes_back() {
    before=$(used_kib)
    new dut
    set_to dut size 128
    power dut 1
    exec 5</dev/dut
    rmdir "$CONFIG/dut"
    after=$(used_kib)
    exec 5<&-
    echo "before $before KiB, after $after KiB"
    [ $((after - before)) -lt $((64 << 10)) ]
}

pulled_out_and_back() {
    new dut
    set_to dut size 4
    power dut 1
    noise 4 | dd of=/dev/dut bs=1M iflag=fullblock oflag=direct status=none
    echo 1 >"$DEBUGFS/dut/pull_out"
    no_data </dev/dut
    power dut 0
    has dut size 4
    power dut 1
    noise 4 | cmp - /dev/dut
    rmdir "$CONFIG/dut"
}

under_load() {
    new dut
    set_to dut size 32
    for off in power rmdir; do
        [ -d "$CONFIG/dut" ] || new dut
        for irqmode in 0 1 2; do
            set_to dut irqmode "$irqmode"
            power dut 1
            fio --name=load --filename=/dev/dut --direct=1 --ioengine=io_uring --iodepth=32 --numjobs=2 --thread \
                --rw=randwrite --bs=4k --randseed="$seed" --time_based --runtime=60 --size=32m >"$WORK/fio.log" 2>&1 &
            fio_pid=$!
            wait_for 20 some_writes
            power dut 0
            wait "$fio_pid" || true
        done
        [ "$off" = power ] || rmdir "$CONFIG/dut"
    done
}

some_writes() { [ "$(counter writes '' dut)" -gt 500 ]; }

# Nobody but root.
only_root() {
    new dut
    for attempt in "echo 1 >$CONFIG/dut/power" "cat $CONFIG/dut/size" "mkdir $CONFIG/mine" "rmdir $CONFIG/dut"; do
        fails_with "ermission denied" setpriv --reuid=65534 --regid=65534 --clear-groups sh -c "$attempt"
    done
    rmdir "$CONFIG/dut"
}

load nr_devices=2 size=1
check "null_blk's words do what they do there" transcript
check "power makes a disk, and removes it" node_comes_and_goes
check "data is kept while the power is off" data_is_kept
check "also when the size changes meanwhile" data_of_another_size
check "but not from one description to the next" nothing_is_inherited
check "names and numbers" names
check "a name that another driver's disk has" name_is_taken
check "more than there is memory" too_large
check "a description holds the module" module_is_held
check "power off under a file system loses nothing" power_off_under_a_file_system
check "who has it open does not see the next one" open_across_power
check "pulled out, and put back" pulled_out_and_back
check "resized by way of debugfs, and pulled out" resized_elsewhere
check "power off under endless faults" power_off_under_faults
check "changes under endless faults" change_under_faults
check "a stale descriptor keeps no memory" memory_comes_back
check "power off and rmdir under load" under_load
check "only root may" only_root
finish
