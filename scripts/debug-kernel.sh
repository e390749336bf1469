#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The debug kernel: the source of the stock kernel, compiled with the kernel's means to find bugs that do not
# crash, see debug.config. What is in the tree is as in kernel-tree.sh.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

# KASAN watches every access of the block layer and of Rust code; of the rest it watches what is allocated and freed,
# and no access, as that would make each fork eight times as long. Kbuild asks for these for each directory.
# shellcheck disable=SC2016 # expanded by make
watched='$(if $(filter block block/% drivers/block drivers/block/% fs/configfs rust rust/%,$(obj)),,n)'

# Nobody reads the warnings of the kernel's own source; and the tracepoints of a file system are two thirds of what its
# files are to the compiler.
# shellcheck disable=SC2016 # expanded by make
untraced='$(if $(filter fs/xfs fs/btrfs,$(obj)),-DNOTRACE)'

# It is not the compiler of the stock kernel: KASAN and Rust together want clang.
kmake() {
    # shellcheck disable=SC2086 # several words
    "$SCRIPTS/in-builder.sh" "$tree" "KASAN_SANITIZE=$watched" "UBSAN_SANITIZE=$watched" make -C /kernel/src O=/kernel/build \
        $KBUILD_COMPILER KCFLAGS=-w "CFLAGS_MODULE=$untraced" -j"$(nproc)" "$@"
}

configure() {
    say "configuring"
    cp "$SCRIPTS/debug.config" "$tree/debug.config"
    kmake KCONFIG_ALLCONFIG=/kernel/debug.config allnoconfig
    # What depends on something that is off goes without a word.
    wanted=$(grep -E '^CONFIG_[A-Z0-9_]+=[^n]' "$tree/debug.config" | sort)
    missing=$(echo "$wanted" | grep -vxFf "$tree/build/.config" | tr '\n' ' ') || true
    [ -z "$missing" ] || die "debug.config asks for what this kernel does not give: $missing"
}

case ${1-} in
--into)
    tree=$2
    cp -al "$STOCK_TREE/src" "$tree/src"
    mkdir "$tree/build" "$tree/unpacked"
    configure
    say "compiling"
    kmake bzImage modules
    kmake INSTALL_MOD_PATH=/kernel/unpacked modules_install
    cp "$tree/build/arch/x86/boot/bzImage" "$tree/vmlinuz"
    cp "$tree/build/include/config/kernel.release" "$tree/release"
    "$SCRIPTS/boot-files.sh" "$tree"
    rm -r "$tree/unpacked"
    ;;
*)
    become_root "$@"
    use_cache
    build_once "$KERNEL_TREE" "debug kernel ($KERNEL)" "$0" --into
    ;;
esac
