# SPDX-License-Identifier: GPL-2.0
# Which kernel the default machine runs, and what builds modules for it. FLAVOUR=debug is none of Debian's: it is
# made by debug-kernel.sh.
# shellcheck shell=sh disable=SC2034

KERNEL=${KERNEL:-trixie-backports}
FLAVOUR=${FLAVOUR:-cloud-amd64}

case $KERNEL in
trixie-backports)
    SUITE=trixie
    POCKETS="trixie trixie-updates trixie-backports"
    COMPILER=gcc-14 # the one that built this kernel
    LLVM=19         # that of its rustc
    ;;
*)
    die "KERNEL=$KERNEL is not known; known is: trixie-backports"
    ;;
esac

CC=x86_64-linux-gnu-$COMPILER # spelled as in CONFIG_CC_VERSION_TEXT
STOCK_FLAVOUR=$FLAVOUR
[ "$FLAVOUR" != debug ] || STOCK_FLAVOUR=cloud-amd64

# What the cache holds. Each name changes with the scripts that make it.
BUILDER=$CACHE/builder-$KERNEL-$(hash_of builder-root.sh debian-root.sh)
STOCK_TREE=$CACHE/kernel-$KERNEL-$STOCK_FLAVOUR-$(hash_of builder-root.sh debian-root.sh \
    kernel-tree.sh kernel-metadata.sh boot-files.sh initramfs-init.sh kernels.sh)
GUEST_IMAGE=$CACHE/guest-$SUITE-$(hash_of guest-image.sh debian-root.sh)

# What compiles, in which root, and how Kbuild is told so.
if [ "$FLAVOUR" = debug ]; then
    COMPILER_ROOT=$CACHE/builder-$KERNEL-llvm-$(hash_of builder-root.sh debian-root.sh)
    KERNEL_TREE=$STOCK_TREE-debug-$(hash_of debug-kernel.sh debug.config)
    KBUILD_COMPILER="LLVM=-$LLVM"
else
    COMPILER_ROOT=$BUILDER
    KERNEL_TREE=$STOCK_TREE
    KBUILD_COMPILER="CC=$CC HOSTCC=$CC"
fi
