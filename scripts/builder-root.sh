#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The builder root: the Debian system with exactly the tools that built the stock kernel, the emulator
# that runs it, what draws the plots of make bench, and the crates that rblkctl is built of.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

packages="$COMPILER rustc rust-src bindgen rustfmt rust-clippy shellcheck
 make bc bison flex libelf-dev libssl-dev openssl dwarves
 xz-utils cpio kmod busybox-static python3-minimal
 qemu-system-x86 gnuplot-nox
 cargo librust-clap-dev librust-clap-complete-dev librust-clap-mangen-dev librust-serde-json-dev"

case ${1-} in
--into)
    "$SCRIPTS/debian-root.sh" "$2" "$POCKETS" "$packages" --variant=apt
    mkdir "$2/kernel" "$2/module" "$2/host"
    ;;
*)
    become_root "$@"
    use_cache
    build_once "$BUILDER" "builder root (Debian $SUITE)" "$0" --into
    ;;
esac
