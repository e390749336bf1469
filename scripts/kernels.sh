# SPDX-License-Identifier: GPL-2.0
# Which kernel, and what builds modules for it and runs it.
#   KERNEL     a suite of Debian: the stock kernel that it offers today (trixie-backports); or one of Debian's kernels
#              as uname -r names it, which brings its flavour
#   FLAVOUR    cloud-amd64, amd64 or rt-amd64; debug is none of Debian's: it is made by debug-kernel.sh
# shellcheck shell=sh disable=SC2034

# The one whose builder root has all other tools as well, and what the guest is made of.
TOOLS_SUITE=trixie-backports
SUITE=trixie

KERNEL=${KERNEL:-$TOOLS_SUITE}
FLAVOUR=${FLAVOUR:-cloud-amd64}
STOCK_FLAVOUR=$FLAVOUR
[ "$FLAVOUR" != debug ] || STOCK_FLAVOUR=cloud-amd64

RELEASE= # what the suite offers
case $KERNEL in
*+deb*-*)
    RELEASE=$KERNEL
    STOCK_FLAVOUR=${RELEASE#*+deb*-}
    [ "$FLAVOUR" = debug ] || FLAVOUR=$STOCK_FLAVOUR
    ;;
esac

case $KERNEL in
trixie-backports | *+deb13-*)
    KERNEL_SUITE=trixie-backports
    POCKETS="trixie trixie-updates trixie-backports"
    COMPILER=gcc-14 # the one that built this kernel
    LLVM=19         # that of its rustc
    ;;
forky | *+deb14-*)
    KERNEL_SUITE=forky
    POCKETS=forky
    COMPILER=gcc-16
    LLVM=22
    ;;
*)
    die "KERNEL=$KERNEL is not known; known are trixie-backports, forky, and the kernels of these, as uname -r names them"
    ;;
esac

CC=x86_64-linux-gnu-$COMPILER # spelled as in CONFIG_CC_VERSION_TEXT

# What the cache holds. Each name changes with the scripts that make it.
ROOTS=$(hash_of builder-root.sh debian-root.sh)
TOOLS_ROOT=$CACHE/builder-$TOOLS_SUITE-$ROOTS
STOCK_TREE=$CACHE/kernel-${RELEASE:-$KERNEL-$STOCK_FLAVOUR}-$(hash_of builder-root.sh debian-root.sh \
    kernel-tree.sh kernel-metadata.sh boot-files.sh initramfs-init.sh)
GUEST_IMAGE=$CACHE/guest-$SUITE-$(hash_of guest-image.sh debian-root.sh)

# What compiles, in which root, and how Kbuild is told so.
if [ "$FLAVOUR" = debug ]; then
    COMPILER_ROOT=$CACHE/builder-$KERNEL_SUITE-llvm-$ROOTS
    KERNEL_TREE=$STOCK_TREE-debug-$(hash_of debug-kernel.sh debug.config)
    KBUILD_COMPILER="LLVM=-$LLVM"
else
    COMPILER_ROOT=$CACHE/builder-$KERNEL_SUITE-$ROOTS
    KERNEL_TREE=$STOCK_TREE
    KBUILD_COMPILER="CC=$CC HOSTCC=$CC"
fi

# for_tools NAME [ARGUMENT...]: one of the scripts here, with the root that has all tools, whatever compiles for this kernel.
for_tools() (
    name=$1
    shift
    tied env "KERNEL=$TOOLS_SUITE" FLAVOUR=cloud-amd64 "$SCRIPTS/$name" "$@"
)

# in_tools COMMAND...: in that root, without a kernel tree.
in_tools() { for_tools in-builder.sh "" "$@"; }
