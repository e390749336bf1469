#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# What `make load` and `make unload` call: the module goes into the running kernel or the user learns why not.
plan 5

SCRIPTS=$TESTS/../scripts

devices_are_listed() {
    "$SCRIPTS/load.sh" load size=8 nr_devices=2 | tee "$WORK/listed"
    grep -q '^rblk1 .* 8M ' "$WORK/listed"
}

refused_in_the_kernels_words() {
    fails_with "size=none refused: allowed is " "$SCRIPTS/load.sh" load size=none
    ! is_loaded
}

other_kernel_is_named() {
    mkdir "$WORK/tree"
    cp -r "$SCRIPTS" "$WORK/tree/scripts"
    sed "s/vermagic=[^ ]*/vermagic=1.2.3-other/" "$RNULLBLK_KO" >"$WORK/tree/rnullblk.ko"
    fails_with "built for kernel 1.2.3-other, but this machine runs $(uname -r | sed 's/+/[+]/g')" \
        "$WORK/tree/scripts/load.sh" load
    rm "$WORK/tree/rnullblk.ko"
    fails_with "run make first" "$WORK/tree/scripts/load.sh" load
    ! is_loaded
}

check "it loads the module with its parameters, and lists the devices" devices_are_listed
check "it unloads it" "$SCRIPTS/load.sh" unload
check "without it, nothing is unloaded" fails_with "not loaded" "$SCRIPTS/load.sh" unload
check "a bad parameter: the user sees what the kernel says" refused_in_the_kernels_words
check "a module of another kernel, or none, is not loaded, and both kernels are named" other_kernel_is_named
finish
