#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# kernel-metadata.sh TREE RELEASE CC: runs in the builder root. Regenerates the Rust metadata that
# Debian does not ship, and proves that it is the metadata of the stock kernel: same compilers,
# same configuration, same Rust symbols. Without that proof no module is compiled.
. "$(dirname "$0")/lib.sh"

tree=$1 release=$2 CC=$3
build=$tree/build

# Without the local version, a module's vermagic would not be that of the stock kernel.
version=$(make -s -C "$tree/src" kernelversion)
kmake() {
    make -C "$tree/src" O="$build" CC="$CC" HOSTCC="$CC" \
        LOCALVERSION="${release#"$version"}" "$@"
}

stock_option() { sed -n "s/^$1=\"\(.*\)\"\$/\1/p" "$tree/config.stock"; }

same() { # same WHAT STOCK HERE
    [ "$2" = "$3" ] || die "kernel $release was built with $1 '$2', but here it is '$3'"
}

rust_symbols_stock() { awk '$2 ~ /^_R/ { print $2 }' "$tree/Module.symvers.stock" | sort -u; }
rust_symbols_here() {
    sed -nE 's/^EXPORT_SYMBOL_RUST_GPL\((_R\w+)\);/\1/p' "$build"/rust/exports_*_generated.h | sort -u
}

grep -qx CONFIG_RUST=y "$tree/config.stock" || die "kernel $release was built without CONFIG_RUST"

say "proof: compilers"
same rustc "$(stock_option CONFIG_RUSTC_VERSION_TEXT)" "$(rustc --version)"
same "C compiler" "$(stock_option CONFIG_CC_VERSION_TEXT)" "$("$CC" --version | head -n 1)"

say "proof: configuration"
cp "$tree/config.stock" "$build/.config"
kmake olddefconfig
diff "$tree/config.stock" "$build/.config" >"$tree/config.diff" ||
    die "the configuration of kernel $release comes out different here: $(grep '^[<>]' "$tree/config.diff" | head -n 4 | tr '\n' ' ')"
same release "$release" "$(kmake -s kernelrelease | tail -n 1)"

say "compiling the Rust metadata"
kmake -j"$(nproc)" prepare modules_prepare

rust_symbols_stock >"$tree/symbols.stock"
rust_symbols_here >"$tree/symbols.here"
count=$(wc -l <"$tree/symbols.stock")
differing=$(comm -3 "$tree/symbols.stock" "$tree/symbols.here" | wc -l)
[ "$count" -gt 0 ] || die "kernel $release exports no Rust symbol"
[ "$differing" -eq 0 ] ||
    die "$differing Rust symbols differ between kernel $release and its rebuilt metadata, so no module built here would load"
say "proof: $count of $count Rust symbols equal"

cp "$tree/Module.symvers.stock" "$build/Module.symvers"
rm "$tree/symbols.stock" "$tree/symbols.here" "$tree/config.diff"
