#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# build-tools.sh [builder|vm]: builds rblkctl, its manual page and its completions in build/tools. With
# this machine's cargo if it is new enough, else, or with "builder", in the builder root. With "vm": there,
# and only the program, as build/tools/vm/rblkctl.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

manifest=$TOP/tools/rblkctl/Cargo.toml
built=$TOP/build/tools

needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$manifest")

is_cargo_new_enough() {
    found=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) # nothing, which is less, without cargo
    printf '%s\n' "$needed" "$found" | sort -C -V
}

# It needs nothing of a kernel, so it is the same for all of them.
in_builder() {
    in_tools setpriv --reuid="$OWNER_UID" --regid="$OWNER_GID" --clear-groups --pdeathsig TERM "$@"
}

# put PROGRAM COMMAND...: everything that a user gets; COMMAND runs the program where it was built.
put() {
    install -D "$1" "$built/rblkctl"
    shift
    mkdir -p "$built/completions"
    "$@" man >"$built/rblkctl.8"
    "$@" completions bash >"$built/completions/rblkctl.bash"
    "$@" completions zsh >"$built/completions/_rblkctl"
    "$@" completions fish >"$built/completions/rblkctl.fish"
}

mkdir -p "$built"
if [ $# -eq 0 ] && is_cargo_new_enough; then
    say "building rblkctl with $(cargo --version)"
    cargo build --release --locked --manifest-path "$manifest" --target-dir "$built/target"
    put "$built/target/release/rblkctl" "$built/rblkctl"
else
    [ $# -gt 0 ] || {
        say "cargo $needed or newer was not found: building in the builder root"
        set -- builder
    }
    become_root "$@"
    use_cache
    script setup.sh tools
    say "building rblkctl with Debian's crates"
    chown "$OWNER_UID:$OWNER_GID" "$TOP/build" "$built"
    in_builder /module/tools/debian-cargo.sh build --release --target-dir /module/build/tools/vm-target
    if [ "$1" = vm ]; then
        install -D "$built/vm-target/release/rblkctl" "$built/vm/rblkctl"
    else
        put "$built/vm-target/release/rblkctl" in_builder /module/build/tools/vm-target/release/rblkctl
    fi
fi
chown -R "$OWNER_UID:$OWNER_GID" "$built"
