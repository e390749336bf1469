#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The kernel tree: everything of one stock Debian kernel that building, booting and testing needs.
#   release, package-version    which kernel it is
#   src/, build/                its source; its configuration with the Rust metadata, proved equal
#   vmlinuz, initramfs, modules.img, ktap_helpers.sh
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

in_builder() { "$SCRIPTS/in-builder.sh" "$tree" "$@"; }

package_field() { # package_field PACKAGE FIELD
    in_builder apt-cache -o "APT::Default-Release=$KERNEL_SUITE" show --no-all-versions "$1" |
        sed -n "s/^$2: //p"
}

# Nothing is pinned: a suite moves, so ask apt for what it offers today.
choose_kernel() {
    in_builder apt-get -q update
    release=${RELEASE:-$(package_field "linux-image-$FLAVOUR" Depends |
        sed -nE 's/.*linux-image-([0-9][^ ,]*).*/\1/p')}
    [ -n "$release" ] || die "$KERNEL has no package linux-image-$FLAVOUR"
    oldest=$(sed -n 's/^oldest_kernel := //p' "$TOP/Kbuild")
    printf '%s\n' "$oldest" "$release" | sort -C -V ||
        die "rnullblk needs Linux $oldest or newer, and this is $release"
    version=$(package_field "linux-headers-$release" Version)
    [ -n "$version" ] ||
        die "$KERNEL_SUITE does not have kernel $release, or no longer: upgrade to $(package_field "linux-image-$FLAVOUR" Version), and boot that"
    source=linux-source-$(echo "$release" | cut -d . -f 1,2)
    say "kernel $release, package version $version"
    echo "$release" >"$tree/release"
    echo "$version" >"$tree/package-version"
}

download() {
    # The image may be one package or, as of 7.1, one for the kernel and one for its modules.
    image_packages=$(package_field "linux-image-$release" Depends | tr ',' '\n' |
        sed -nE "s/^ *(linux-(binary|modules)-$(echo "$release" | sed 's/[.+]/\\&/g')) .*/\1/p")
    mkdir "$tree/debs"
    for package in "linux-image-$release" $image_packages "linux-headers-$release" "$source"; do
        echo "$package=$version"
    done >"$tree/debs/list"
    in_builder sh -euc 'cd /kernel/debs && xargs apt-get -q -o APT::Sandbox::User=root download <list'
}

unpack() {
    say "unpacking"
    mkdir "$tree/unpacked" "$tree/src" "$tree/build"
    # shellcheck disable=SC2016 # expanded inside
    in_builder sh -euc '
        for package in /kernel/debs/*.deb; do
            dpkg-deb --fsys-tarfile "$package" | tar -x -C /kernel/unpacked --exclude ./usr/share
        done
        # Weight that neither a build for x86 nor a reader of block drivers needs.
        tar -xf /kernel/unpacked/usr/src/linux-source-*.tar.xz -C /kernel/src --strip-components=1 \
            --exclude="drivers/gpu/drm/amd/include/asic_reg" --exclude="Documentation/devicetree" \
            --exclude="arch/*/boot/dts" --exclude="tools/perf"'
    find "$tree/unpacked" -type f -name 'vmlinuz*' -exec cp '{}' "$tree/vmlinuz" ';'
    [ -e "$tree/vmlinuz" ] || die "no kernel image in the packages of $release"
    headers=$tree/unpacked/usr/src/linux-headers-$release
    cp "$headers/.config" "$tree/config.stock"
    cp "$headers/Module.symvers" "$tree/Module.symvers.stock"
}

case ${1-} in
--into)
    tree=$2
    choose_kernel
    download
    unpack
    "$SCRIPTS/boot-files.sh" "$tree"
    in_builder /module/scripts/kernel-metadata.sh /kernel "$release" "$CC"
    rm -r "$tree/debs" "$tree/unpacked"
    ;;
*)
    become_root "$@"
    use_cache
    build_once "$KERNEL_TREE" "kernel tree (${RELEASE:-$KERNEL, $FLAVOUR})" "$0" --into
    ;;
esac
