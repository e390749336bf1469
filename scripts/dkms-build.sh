#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# dkms-build.sh RELEASE HEADERS [MAKE-VARIABLE...]: what DKMS calls, in its copy of this tree, to build the module for one
# kernel. Debian's headers lack the Rust metadata: it is made again from the package linux-source of the same
# version, and vanishes with DKMS's copy.
. "$(dirname "$0")/lib.sh"

release=$1 headers=$2
shift 2

package_version() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null; }

unpack_source() {
    package=linux-source-$(echo "$release" | cut -d . -f 1,2)
    needed=$(package_version "linux-headers-$release") ||
        die "$headers has no Rust metadata, and is no package of Debian's whose source could be had"
    found=$(package_version "$package") || found=none
    [ "$found" = "$needed" ] ||
        die "kernel $release needs the package $package of version $needed, and here is $found"
    say "unpacking $package $found"
    mkdir "$tree/src" "$tree/build"
    # All but what only the kernel itself is compiled of.
    tar -xf "/usr/src/$package.tar.xz" -C "$tree/src" --strip-components=1 --anchored \
        --exclude="$package/drivers/*.c" --exclude="$package/drivers/*/asic_reg" --exclude="$package/sound/*.c" \
        --exclude="$package/fs/*.c" --exclude="$package/net/*.c" --exclude="$package/Documentation/*/*" \
        --exclude="$package/arch/*/boot/dts"
}

if ! grep -q '^CONFIG_CC_IS_CLANG=y' "$headers/.config"; then
    CC=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\) .*/\1/p' "$headers/.config")
    set -- CC="$CC" HOSTCC="$CC" "$@"
fi
if [ ! -e "$headers/rust/libkernel.rmeta" ]; then
    tree=$TOP/kernel
    trap 'rm -rf "$tree"' EXIT
    mkdir "$tree"
    unpack_source
    cp "$headers/.config" "$tree/config.stock"
    cp "$headers/Module.symvers" "$tree/Module.symvers.stock"
    "$SCRIPTS/kernel-metadata.sh" "$tree" "$release" "$CC"
    headers=$tree/build
fi
make -C "$headers" M="$TOP" -j"$(nproc)" "$@" modules
