# SPDX-License-Identifier: GPL-2.0
# Which stock kernel the default machine runs, and what builds modules for it.
# shellcheck shell=sh disable=SC2034

KERNEL=${KERNEL:-trixie-backports}
FLAVOUR=${FLAVOUR:-cloud-amd64}

case $KERNEL in
trixie-backports)
    SUITE=trixie
    POCKETS="trixie trixie-updates trixie-backports"
    COMPILER=gcc-14 # the one that built this kernel
    ;;
*)
    die "KERNEL=$KERNEL is not known; known is: trixie-backports"
    ;;
esac

CC=x86_64-linux-gnu-$COMPILER # spelled as in CONFIG_CC_VERSION_TEXT

# What the cache holds. Each name changes with the scripts that make it.
BUILDER=$CACHE/builder-$KERNEL-$(hash_of builder-root.sh debian-root.sh)
KERNEL_TREE=$CACHE/kernel-$KERNEL-$FLAVOUR-$(hash_of builder-root.sh debian-root.sh \
    kernel-tree.sh kernel-metadata.sh initramfs-init.sh kernels.sh)
GUEST_IMAGE=$CACHE/guest-$SUITE-$(hash_of guest-image.sh debian-root.sh)
