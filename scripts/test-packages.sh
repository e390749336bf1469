#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# test-packages.sh: installs the Debian packages in a clean Debian with the headers and the source of the stock kernel, where
# DKMS builds the module; uses that system in a virtual machine (tests/packages/installed.sh); and purges them. The last
# line is the totals. What was said is in build/test-packages/.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

become_root "$@"
use_cache
script setup.sh vm
script deb.sh
clean=$CACHE/clean-$KERNEL-$(cat "$KERNEL_TREE/release")-$(hash_of clean-root.sh debian-root.sh)
build_once "$clean" "clean Debian with the headers of $(cat "$KERNEL_TREE/release")" "$SCRIPTS/clean-root.sh"
exec 6<"$TOP/tests"
flock -n 6 || {
    say "waiting for another test run in this tree"
    flock 6
}
set -o pipefail # which lib.sh does not know

results=$TOP/build/test-packages
rm -rf "$results"
mkdir -p "$results/root"
work=$(mktemp -d "${TMPDIR:-/var/tmp}/rnullblk-packages.XXXXXX")
root=$work/root
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 143' TERM HUP
trap 'exit 130' INT

# in_root SCRIPT [ARGUMENT...]: a shell script in the system that is tested; mounts and processes vanish with it.
in_root() {
    # shellcheck disable=SC2016 # expanded by the shell inside
    unshare --mount --pid --fork --kill-child sh -euc '
        root=$1 kernel=$2 packages=$3
        shift 3
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/tmp"
        mount --bind "$kernel" "$root/kernel"
        mount --bind "$packages" "$root/packages"
        for file in /etc/resolv.conf /etc/hosts; do
            [ ! -e "$file" ] || { touch "$root$file" && mount --bind "$file" "$root$file"; }
        done
        exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
            DEBIAN_FRONTEND=noninteractive sh -euc "$@"' sh "$root" "$KERNEL_TREE" "$TOP/build" "$1" sh "${@:2}"
}

number=0 passed=0 failed=0
check() { # check WHAT COMMAND...: one result
    local what=$1 started=$SECONDS
    shift
    number=$((number + 1))
    if (set -e && "$@") >"$results/root/$number.log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "ok $number $what # $((SECONDS - started)) s"
    else
        failed=$((failed + 1))
        echo "not ok $number $what"
        echo "root: $what" >>"$results/root/failed"
        tail -n 40 "$results/root/$number.log" | sed 's/^/# /'
    fi
    echo "$passed passed, $failed failed, 0 skipped" >"$results/root/totals"
}

# files_of_ours: but for the packages themselves, and what is said of them in logs and by apt.
files_of_ours() {
    find "$root" -xdev \( -path "$root/packages" -o -path "$root/var/log" -o -path "$root/tmp" \) -prune -o \
        \( -name '*rnullblk*' -o -name '*rblk*' \) -print | sed "s|^$root||" | sort
}

installed() {
    # shellcheck disable=SC2016
    in_root 'apt-get -q update
        apt-get -q -y install /packages/rnullblk-*.deb || {
            grep -E "rror|No such" /var/lib/dkms/rnullblk/*/build/make.log
            exit 1
        }'
}

built() {
    # shellcheck disable=SC2016
    in_root 'dkms status | grep "^rnullblk/$1, $2, x86_64: installed"
        modinfo -k "$2" rnullblk
        case $(modinfo -k "$2" -F vermagic rnullblk) in "$2 "*) ;; *) exit 1 ;; esac
        [ ! -e "/var/lib/dkms/rnullblk/$1/build" ]' "$(module_version)" "$(cat "$KERNEL_TREE/release")"
}

# The signature is the end of the file: PKCS#7, its length in the last four of twelve bytes, a line that says so.
signed() {
    # shellcheck disable=SC2016
    in_root 'cd /tmp
        file=$(modinfo -k "$1" -n rnullblk)
        case $file in *.xz) xz -dc "$file" ;; *) cat "$file" ;; esac >module
        [ "$(tail -c 28 module)" = "~Module signature appended~" ]
        set -- $(tail -c 32 module | head -c 4 | od -An -tu1)
        length=$(($1 << 24 | $2 << 16 | $3 << 8 | $4))
        head -c -40 module | tail -c "$length" >signature
        head -c "-$((40 + length))" module >content
        openssl x509 -inform DER -in /var/lib/dkms/mok.pub -out certificate
        is_signed() {
            openssl cms -verify -binary -inform DER -in signature -content "$1" -nointern -noverify \
                -certfile certificate -out /dev/null
        }
        is_signed content
        printf x >>content
        ! is_signed content' "$(cat "$KERNEL_TREE/release")"
}

contains() {
    # shellcheck disable=SC2016
    in_root 'for package in /packages/rnullblk-*.deb; do dpkg-deb --fsys-tarfile "$package" | tar -t; done >/tmp/files
        for file in lib/udev/rules.d/60-rnullblk.rules share/doc/rnullblk-dkms/README.md sbin/rblkctl \
            share/doc/rnullblk-dkms/docs/packages.md share/doc/rnullblk-dkms/examples/rnullblk.conf \
            share/man/man8/rblkctl.8.gz share/bash-completion/completions/rblkctl; do
            grep -x "./usr/$file" /tmp/files || { cat /tmp/files; exit 1; }
        done'
}

# The system in an image, without what only compiles.
make_image() {
    mkdir "$work/guest"
    # shellcheck disable=SC2016 # expanded by the shell inside
    unshare --mount sh -euc '
        root=$1
        for hidden in usr/src usr/include usr/lib/gcc usr/lib/rustlib var/cache/apt var/lib/apt; do
            [ ! -d "$root/$hidden" ] || mount -t tmpfs tmpfs "$root/$hidden"
        done
        exec mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$root" "$2" 8G' sh "$root" "$work/guest/image"
}

used() { VM_IMAGE=$work/guest script boot-tests.sh test-packages/guest packages/installed; }

purged() {
    in_root 'apt-get -q -y purge rnullblk-dkms rnullblk-tools'
    [ "$(files_of_ours)" = "$before" ] || { files_of_ours; return 1; }
}

# From a tree, with a kernel that has the metadata already.
from_a_tree() {
    # shellcheck disable=SC2016
    tar -C "$TOP" -c --exclude-from="$TOP/.gitignore" --exclude=./.git --exclude=./build . | in_root '
        mkdir /tmp/tree
        tar -C /tmp/tree -x
        cd /tmp/tree
        make dkms-install ARGS="-k $1 --kernelsourcedir /kernel/build"
        dkms status | grep "^rnullblk/.*, $1, x86_64: installed"
        make dkms-remove' "$(cat "$KERNEL_TREE/release")"
    [ "$(files_of_ours)" = "$before" ] || { files_of_ours; return 1; }
}

say "a clean Debian"
cp -a "$clean" "$root"
before=$(files_of_ours)
check "apt installs both packages and what they need, and DKMS builds the module" installed
check "the module is built for the stock kernel" built
check "it is signed with DKMS's key, as Secure Boot wants it" signed
check "the packages have documentation, an example, a manual page and completions" contains
check "the system's image is made" make_image
[ "$failed" -gt 0 ] || used || true
check "purged, they leave nothing" purged
check "make dkms-install and make dkms-remove do the same from a tree" from_a_tree
chown -R "$OWNER_UID:$OWNER_GID" "$results"
show_totals build/test-packages
