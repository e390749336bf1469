#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The builder root: the Debian system with exactly the tools that built the stock kernel, the emulator
# that runs it, what draws the plots of make bench, and the crates that rblkctl is built of. And another one, with
# what compiles the debug kernel, if that is wanted.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

kernel="rustc rust-src bindgen make bc bison flex libelf-dev libssl-dev openssl
 xz-utils cpio kmod busybox-static python3-minimal"
stock="$COMPILER dwarves rustfmt rust-clippy shellcheck
 qemu-system-x86 gnuplot-nox
 cargo librust-clap-dev librust-clap-complete-dev librust-clap-mangen-dev librust-serde-json-dev"
debug="clang-$LLVM lld-$LLVM llvm-$LLVM"

case ${1-} in
stock | debug)
    if [ "$1" = stock ]; then packages="$kernel $stock"; else packages="$kernel $debug"; fi
    "$SCRIPTS/debian-root.sh" "$2" "$POCKETS" "$packages" --variant=apt
    mkdir "$2/kernel" "$2/module" "$2/host"
    ;;
*)
    become_root "$@"
    use_cache
    build_once "$BUILDER" "builder root (Debian $SUITE)" "$0" stock
    [ "$COMPILER_ROOT" = "$BUILDER" ] ||
        build_once "$COMPILER_ROOT" "builder root with LLVM $LLVM" "$0" debug
    ;;
esac
