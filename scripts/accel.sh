#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# accel.sh: prints the QEMU accelerator to use: kvm if a kernel really comes up with it (where
# /dev/kvm opens and guests hang, only trying tells), else tcg. The answer holds until reboot.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

kvm_boots() {
    [ -w /dev/kvm ] || return 1
    timeout --kill-after=1 15 "$SCRIPTS/qemu.sh" -accel kvm -cpu host -m 256 \
        -nodefaults -no-user-config -display none -serial stdio -no-reboot \
        -kernel "/host$STOCK_TREE/vmlinuz" -initrd "/host$STOCK_TREE/initramfs" \
        -append "console=ttyS0 panic=-1 rnullblk.probe" </dev/null 2>/dev/null |
        grep -q rnullblk-probe-alive
}

answer=$CACHE/accel-$(cat /proc/sys/kernel/random/boot_id)
if [ ! -e "$answer" ]; then
    echo "== trying KVM" >&2
    rm -f "$CACHE"/accel-*
    if kvm_boots; then
        echo kvm >"$answer.tmp"
    else
        echo "== KVM does not work here: using emulation (TCG)" >&2
        echo tcg,thread=multi >"$answer.tmp"
    fi
    mv "$answer.tmp" "$answer"
fi
cat "$answer"
