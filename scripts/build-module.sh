#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# build-module.sh [vm]: builds rnullblk.ko in this tree. For the kernel tree in KDIR if given; else for KERNEL if given
# (see kernels.sh); else for the running kernel, if its build tree has Rust metadata or if it is a kernel of Debian's
# with Rust; else, and with "vm" unless KERNEL says otherwise, for the stock Debian kernel of the virtual machine.
# RNULLBLK_TESTS=m: the tests' own modules too.
. "$(dirname "$0")/lib.sh"

running=$(uname -r)
if [ "${1-}" = vm ]; then
    KDIR=
elif [ -z "${KDIR-}${KERNEL-}${FLAVOUR-}" ]; then
    if [ -e "/lib/modules/$running/build/rust/libkernel.rmeta" ]; then
        KDIR=/lib/modules/$running/build
    elif grep -qsx CONFIG_RUST=y "/boot/config-$running" && expr "$running" : '.*+deb[0-9]*-' >/dev/null; then
        export KERNEL="$running"
    fi
fi
. "$SCRIPTS/kernels.sh"

if [ -n "${KDIR-}" ]; then
    [ -e "$KDIR/Makefile" ] || die "KDIR=$KDIR is not a kernel build tree"
    say "building for $KDIR"
    built_for=$(realpath "$KDIR")
else
    become_root "$@"
    use_cache
    script setup.sh
    release=$(cat "$KERNEL_TREE/release")
    if [ $# -gt 0 ] || [ "$release" = "$running" ]; then
        say "building for kernel $release"
    else
        say "building for kernel $release; this machine runs another one, $running"
    fi
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
