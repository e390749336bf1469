#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The guest's init: makes a plain Linux environment, runs /payload/command on the user's console,
# writes /results and the exit status to the last disk, and ends the machine.

export PATH=/payload:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-linux}" LC_ALL=C.UTF-8
export RNULLBLK_KO=/payload/rnullblk.ko KTAP_HELPERS=/payload/ktap_helpers.sh

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t debugfs debugfs /sys/kernel/debug
[ -d /sys/kernel/config ] || modprobe configfs
mount -t configfs configfs /sys/kernel/config
mkdir -p /dev/pts /dev/shm /results
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /results
hostname -F /etc/hostname
busybox ip link set lo up

# Emulation on a loaded host is slow, not stuck.
echo 30 >/proc/sys/kernel/watchdog_thresh
echo 90 >/proc/sys/kernel/hung_task_timeout_secs

cd /payload || exit
setsid --ctty --wait bash -c 'exec bash /payload/command' </dev/hvc0 >/dev/hvc0 2>&1
echo $? >/results/exit-status

tar -c -f /dev/vdd -C /results .
sync
exec busybox reboot -f # which ends the emulator, also where the kernel has no ACPI to switch it off
