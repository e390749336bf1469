#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# check.sh: rustfmt, clippy as the kernel's Makefile configures it, what the I/O path calls, which kernels Kbuild takes,
# clippy and the tests of rblkctl, shellcheck, rustdoc, the links in the documentation,
# and that each file names its licence. Any warning fails.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

[ "$COMPILER_ROOT" = "$TOOLS_ROOT" ] ||
    die "make check has its tools from the builder root of $TOOLS_SUITE: leave KERNEL=$KERNEL, FLAVOUR=$FLAVOUR out"
become_root "$@"
use_cache
script setup.sh

# Runs a shell command in the builder root, in a copy of this tree's sources that vanishes with it.
in_copy() {
    script in-builder.sh "$KERNEL_TREE" setpriv --reuid="$OWNER_UID" --regid="$OWNER_GID" --clear-groups \
        sh -euc "mkdir /tmp/tree; cd /tmp/tree
            tar -C /module -c --exclude-from=/module/.gitignore --exclude=./.git --exclude=./build . | tar -x
            $1" 2>&1
}

check_rustfmt() {
    in_copy "find . -name '*.rs' -exec rustfmt --check --config-path /kernel/src/.rustfmt.toml '{}' +"
}

check_clippy() {
    in_copy "[ ! -d tests/kmod ] || export RNULLBLK_TESTS=m
        make -j$(nproc) -C /kernel/build CC=$CC HOSTCC=$CC M=/tmp/tree CLIPPY=1 modules 2>&1 | tee /tmp/output
        [ -e rnullblk.ko ] && ! grep -q 'warning[:[]' /tmp/output"
}

check_module() {
    in_copy "make -j$(nproc) KDIR=/kernel/build CC=$CC HOSTCC=$CC
        scripts/hot-path.sh rnullblk_rust.o
        scripts/kernel-gates.sh /kernel/src /kernel/build CC=$CC HOSTCC=$CC"
}

check_tools() {
    in_copy "tools/debian-cargo.sh clippy --all-targets -- -D warnings
        tools/debian-cargo.sh test"
}

check_shellcheck() {
    in_copy "find scripts tests tools -name '*.sh' -exec shellcheck -x -P SCRIPTDIR:SCRIPTDIR/.. .ci/run '{}' +"
}

check_doc() { "$SCRIPTS/doc.sh" 2>&1; }

# What the documentation says beside the commands that tests/docs.sh runs, and what the CI file for forks calls.
check_documentation() {
    in_copy "printf '%s\n' '\`\`\`host' >ci.md
        sed -n 's/^ *- \(make .*\)/\1/p; s/^ *\(scripts\/.*\)/\1/p' .github/workflows/ci.yml >>ci.md
        printf '%s\n' '\`\`\`' >>ci.md
        python3 tests/docs.py check README.md CONTRIBUTING.md docs/*.md ci.md"
}

check_licence() {
    in_copy "! grep -rL 'SPDX-License-Identifier: GPL-2.0' . --exclude=LICENSE --exclude=Cargo.lock --exclude='*.md' | grep ."
}

mkdir -p "$CACHE/log"
failed=
for check in rustfmt clippy module tools shellcheck doc documentation licence; do
    log=$CACHE/log/check-$check
    if "check_$check" >"$log"; then
        say "check $check: passed"
    else
        cat "$log"
        say "check $check: FAILED"
        failed="$failed $check"
    fi
done
[ -z "$failed" ] || die "make check found faults:$failed"
