#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The builder root: the Debian system with exactly the compilers that built the stock kernel. That of the default kernel
# has all other tools, too: the emulator, what make check asks, what draws the plots of make bench, and the crates that
# rblkctl is built of. For the debug kernel, a root with what compiles that.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

case ${1-} in
--into)
    packages="rustc rust-src bindgen make bc bison flex libelf-dev libssl-dev openssl
        xz-utils cpio kmod busybox-static python3-minimal"
    if [ "$FLAVOUR" = debug ]; then
        packages="$packages clang-$LLVM lld-$LLVM llvm-$LLVM"
    else
        packages="$packages $COMPILER dwarves"
    fi
    if [ "$COMPILER_ROOT" = "$TOOLS_ROOT" ]; then
        packages="$packages rustfmt rust-clippy shellcheck qemu-system-x86 gnuplot-nox debhelper dh-dkms
            cargo librust-clap-dev librust-clap-complete-dev librust-clap-mangen-dev librust-serde-json-dev"
    fi
    "$SCRIPTS/debian-root.sh" "$2" "$POCKETS" "$packages" --variant=apt
    mkdir "$2/kernel" "$2/module" "$2/host"
    ;;
*)
    become_root "$@"
    use_cache
    what="Debian $KERNEL_SUITE"
    [ "$FLAVOUR" != debug ] || what="$what, LLVM $LLVM"
    build_once "$COMPILER_ROOT" "builder root ($what)" "$0" --into
    ;;
esac
