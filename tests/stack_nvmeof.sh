#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# A device is exported over NVMe-oF, by TCP on 127.0.0.1 and by loop; the initiator formats it, writes, and verifies.
command -v nvme >/dev/null || skip_all "there is no nvme"
modprobe -a nvmet nvmet-tcp nvme-tcp nvme-loop 2>/dev/null || skip_all "this kernel lacks nvmet, or its TCP or loop transport"
plan 5

MNT=$(mount_dir mnt)
NQN=nqn.2026-11.test.rnullblk:rblk0
HOSTNQN=nqn.2014-08.org.nvmexpress:uuid:4e6f7465-7374-6d61-6368-696e65000000
NVMET=/sys/kernel/config/nvmet
SUBSYSTEM=$NVMET/subsystems/$NQN

take_down() {
    nvme disconnect -n $NQN >/dev/null 2>&1 || true
    for port in 1 2; do
        [ ! -d $NVMET/ports/$port ] || {
            rm -f $NVMET/ports/$port/subsystems/$NQN
            rmdir $NVMET/ports/$port
        }
    done
    [ ! -d $SUBSYSTEM ] || {
        echo 0 >$SUBSYSTEM/namespaces/1/enable
        rmdir $SUBSYSTEM/namespaces/1 $SUBSYSTEM
    }
}
at_end take_down

exported() {
    mkdir -p $SUBSYSTEM/namespaces/1
    echo 1 >$SUBSYSTEM/attr_allow_any_host
    echo /dev/rblk0 >$SUBSYSTEM/namespaces/1/device_path
    echo 1 >$SUBSYSTEM/namespaces/1/enable

    mkdir $NVMET/ports/1
    echo tcp >$NVMET/ports/1/addr_trtype
    echo ipv4 >$NVMET/ports/1/addr_adrfam
    echo 127.0.0.1 >$NVMET/ports/1/addr_traddr
    echo 4420 >$NVMET/ports/1/addr_trsvcid
    ln -s $SUBSYSTEM $NVMET/ports/1/subsystems/

    mkdir $NVMET/ports/2
    echo loop >$NVMET/ports/2/addr_trtype
    ln -s $SUBSYSTEM $NVMET/ports/2/subsystems/
}

# node: the block device of the initiator
node() {
    for subsystem in /sys/class/nvme-subsystem/*/; do
        [ "$(cat "$subsystem/subsysnqn" 2>/dev/null)" != $NQN ] ||
            find "$subsystem" -maxdepth 1 -name 'nvme*n1' -printf '/dev/%f\n'
    done | head -n 1
}
is_there() { [ -b "$(node)" ]; }
is_gone() { [ -z "$(node)" ]; }

connect() { # connect OPTION...
    nvme connect --hostnqn=$HOSTNQN --hostid="${HOSTNQN##*:}" -n $NQN "$@"
    wait_for 10 is_there
    [ "$(blockdev --getsize64 "$(node)")" -eq "$(blockdev --getsize64 /dev/rblk0)" ]
}

tcp() {
    nvme discover --hostnqn=$HOSTNQN --hostid="${HOSTNQN##*:}" -t tcp -a 127.0.0.1 -s 4420 | grep -F "$NQN"
    connect -t tcp -a 127.0.0.1 -s 4420
    before=$(counter writes)
    verified_io "$(node)"
    [ $(($(counter writes) - before)) -ge 500 ] # neighbours are merged
    [ "$(counter errors)" -eq 0 ]
    grep -E "err=|READ:|WRITE:" "$WORK/fio.log"
}

files() {
    mkfs.ext4 -q "$(node)"
    mount "$(node)" "$MNT"
    noise 4 >"$MNT/file"
    fio --name=files --directory="$MNT" --rw=randwrite --bs=4k --size=4m --numjobs=2 --direct=1 --ioengine=libaio \
        --iodepth=16 --verify=crc32c --verify_fatal=1 --randseed="$seed"
    before=$(counter discards)
    fstrim "$MNT"
    [ "$(counter discards)" -gt "$before" ]
    umount "$MNT"
    fsck_finds_nothing ext4 "$(node)"
    [ "$(sum_of "$(node)")" = "$(sum_of /dev/rblk0)" ]
}

# It grows under the initiator.
grown() {
    echo 48 >"$DEBUGFS/rblk0/size"
    echo 1 >$SUBSYSTEM/namespaces/1/revalidate_size
    wait_for 10 has_size $((48 << 20))
    # It wants that of what was mounted in another second than that of mkfs.
    e2fsck -fp "$(node)"
    resize2fs "$(node)"
    mount "$(node)" "$MNT"
    noise 4 | cmp - "$MNT/file"
    umount "$MNT"
}
has_size() { [ "$(blockdev --getsize64 "$(node)")" -eq "$1" ]; }

by_loop() {
    nvme disconnect -n $NQN
    wait_for 10 is_gone
    connect -t loop
    fsck_finds_nothing ext4 "$(node)"
    verified_io "$(node)"
    nvme disconnect -n $NQN
    wait_for 10 is_gone
    [ "$(counter errors)" -eq 0 ]
}

pick_seed
load size=32
check "the target is set up" exported
check "connected by TCP, written and verified" tcp
check "a file system on it" files
check "it grows" grown
check "connected by loop, written and verified" by_loop
finish
