#!/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# First process of the virtual machine: finds the disks, hands over to the payload's guest-init.sh.
#   vda  guest image    vdb  kernel modules    vdc  payload (a tar)    vdd  results (a tar)
b=/busybox

$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev

# What accel.sh waits for: this kernel came up.
if $b grep -q rnullblk.probe /proc/cmdline; then
    echo rnullblk-probe-alive
    $b poweroff -f
fi

while read -r module; do $b insmod "/modules/$module"; done </modules/order
$b mount -t ext4 -o noatime,noinit_itable /dev/vda /root
$b mount -t ext4 -o ro /dev/vdb /root/usr/lib/modules
$b mkdir -p /root/payload
$b tar -x -f /dev/vdc -C /root/payload
$b mount --move /dev /root/dev
$b umount /proc
exec $b switch_root /root /payload/scripts/guest-init.sh
