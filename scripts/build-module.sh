#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# build-module.sh [vm]: builds rnullblk.ko in this tree. For the kernel in KDIR if given, else for
# the running kernel if its build tree has Rust metadata, else, and always with "vm", for the
# stock Debian kernel of the virtual machine. RNULLBLK_TESTS=m: the tests' own modules too.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

running=/lib/modules/$(uname -r)/build
if [ "${1-}" != vm ]; then
    if [ -z "${KDIR-}" ] && [ -e "$running/rust/libkernel.rmeta" ]; then
        KDIR=$running
    fi
    if [ -n "${KDIR-}" ]; then
        [ -e "$KDIR/Makefile" ] || die "KDIR=$KDIR is not a kernel build tree"
        [ -e "$KDIR/rust/libkernel.rmeta" ] ||
            die "KDIR=$KDIR has no Rust metadata: it needs CONFIG_RUST=y and 'make prepare modules_prepare'"
        say "building for $KDIR"
        built_for=$(realpath "$KDIR")
    fi
fi

if [ -z "${built_for-}" ]; then
    become_root "$@"
    use_cache
    script setup.sh
    say "building for kernel $(cat "$KERNEL_TREE/release")"
    built_for=$KERNEL_TREE
fi

kbuild() { # kbuild TARGET
    if [ "$built_for" = "$KERNEL_TREE" ]; then
        # shellcheck disable=SC2086 # several words
        script in-builder.sh "$KERNEL_TREE" \
            setpriv --reuid="$OWNER_UID" --regid="$OWNER_GID" --clear-groups --pdeathsig TERM \
            make -C /kernel/build $KBUILD_COMPILER M=/module -j"$(nproc)" \
            ${V:+V="$V"} ${RNULLBLK_TESTS:+RNULLBLK_TESTS="$RNULLBLK_TESTS"} "$1"
    else
        ${MAKE:-make} -C "$KDIR" M="$TOP" "$1"
    fi
}

# One build at a time in this tree.
exec 8<"$TOP"
flock -n 8 || {
    say "waiting for another build in this tree"
    flock 8
}

# Objects made for another kernel are not up to date, whatever their dates say.
stamp=$TOP/.built-for
if [ -e "$stamp" ] && [ "$(cat "$stamp")" != "$built_for" ]; then
    kbuild clean >/dev/null
fi
echo "$built_for" >"$stamp"
chown "$OWNER_UID:$OWNER_GID" "$stamp"

kbuild modules
