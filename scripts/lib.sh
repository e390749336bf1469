# SPDX-License-Identifier: GPL-2.0
# Shared by all scripts here: messages, becoming root, long steps, the cache.
# shellcheck shell=sh

set -eu
umask 022
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

# Without symbolic links: QEMU sees files in another place, see qemu.sh.
TOP=$(cd "$(dirname "$0")/.." && pwd -P)
SCRIPTS=$TOP/scripts

say() { echo "== $*"; }

die() {
    echo "error: $*" >&2
    exit 1
}

# Absolute, because sudo and make change what a relative name means; without symbolic links, as above.
CACHE=${RNULLBLK_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/rnullblk}
CACHE=$(realpath -m "$CACHE")
export RNULLBLK_CACHE="$CACHE"

# Who calls: files made in this tree belong to them, not to root.
# shellcheck disable=SC2034 # for the scripts that source this
OWNER_UID=${SUDO_UID:-$(id -u)}
# shellcheck disable=SC2034
OWNER_GID=${SUDO_GID:-$(id -g)}

# become_root "$@": starts the calling script again as root, with our own variables.
become_root() {
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null || die "this needs root: run it as root, or install sudo"
    set -- "$0" "$@"
    for variable in RNULLBLK_CACHE RNULLBLK_MIRROR KERNEL FLAVOUR RNULLBLK_PROGRESS \
        VM_ACCEL VM_CPUS VM_MEMORY_MIB VM_NODES VM_SILENCE VM_SECONDS VM_APPEND \
        TEST_SECONDS TEST_RESULTS TEST_ENV SEED RNULLBLK_TESTS TMPDIR V; do
        eval "value=\${$variable-}"
        [ -z "$value" ] || set -- "$variable=$value" "$@"
    done
    exec sudo -- env "$@"
}

# tied COMMAND...: becomes a command that ends when its parent does, however that ends.
tied() { exec setpriv --pdeathsig TERM -- "$@"; }

# script NAME [ARGUMENT...]: one of the scripts here; it dies with this one.
script() (
    name=$1
    shift
    tied "$SCRIPTS/$name" "$@"
)

# contained COMMAND...: becomes a command whose whole offspring is killed when its parent dies: those
# who ignore signals (mmdebstrap does) and those who run in the background as well.
contained() {
    exec setpriv --pdeathsig KILL -- unshare --pid --fork --kill-child --mount-proc -- "$@"
}

# long WHAT COMMAND...: a command that takes long. Its output goes to a log; shown are the
# time that passes, the last line of the log, its "== " lines, and its end if it fails.
long() {
    long_what=$1
    shift
    mkdir -p "$CACHE/log"
    long_log=$CACHE/log/$(echo "$long_what" | tr -cs 'A-Za-z0-9.\n' '-').log
    say "$long_what"
    long_start=$(date +%s)
    long_said=0
    long_next=15
    ("$@") >"$long_log" 2>&1 </dev/null &
    long_pid=$!
    while kill -0 "$long_pid" 2>/dev/null; do
        sleep 0.5
        long_progress
    done
    long_milestones
    if wait "$long_pid"; then
        say "$long_what: done in $(($(date +%s) - long_start)) s"
        return
    fi
    # A script that knows what is wrong said so last; anything else needs its context.
    tail -n 1 "$long_log" | grep '^error: ' >&2 || tail -n 30 "$long_log" >&2
    die "$long_what: failed after $(($(date +%s) - long_start)) s; all of its output is in $long_log"
}

long_milestones() {
    grep '^== ' "$long_log" | tail -n +$((long_said + 1)) | sed 's/^== /     /'
    long_said=$(grep -c '^== ' "$long_log" || true)
}

long_progress() {
    long_milestones
    [ "${RNULLBLK_PROGRESS-}" != off ] || return 0
    long_seconds=$(($(date +%s) - long_start))
    if [ -t 1 ]; then
        printf '\r\033[K     %d s  %.60s\r' "$long_seconds" "$(tail -n 1 "$long_log" | tr -d '\r')"
    elif [ "$long_seconds" -ge "$long_next" ]; then
        printf '     %d s  %.60s\n' "$long_seconds" "$(tail -n 1 "$long_log" | tr -d '\r')"
        long_next=$((long_seconds + 15))
    fi
}

# hash_of FILE...: names what is made by these scripts, so that a changed script makes it anew.
hash_of() { (cd "$SCRIPTS" && cat "$@") | sha256sum | cut -c 1-10; }

# use_cache: this run uses the cache until it ends, so `make distclean` waits for it.
use_cache() {
    mkdir -p "$CACHE"
    exec 7>"$CACHE/in-use.lock"
    flock -s -n 7 || {
        say "waiting for another run that empties $CACHE"
        flock -s 7
    }
}

# build_once PATH WHAT COMMAND...: makes PATH in the cache unless it is there. COMMAND gets the
# temporary directory to fill as its last argument; PATH appears only when COMMAND succeeded.
build_once() {
    once_path=$1 once_what=$2
    shift 2
    [ ! -e "$once_path" ] || return 0
    mkdir -p "$CACHE"
    exec 9>"$once_path.lock"
    flock -n 9 || {
        say "$once_what: waiting for another run that makes it"
        flock 9
    }
    if [ ! -e "$once_path" ]; then
        rm -rf --one-file-system "$once_path.tmp"
        mkdir "$once_path.tmp"
        long "$once_what" contained "$@" "$once_path.tmp"
        mv "$once_path.tmp" "$once_path"
    fi
    exec 9>&-
}

# build_for_tests NAME...: checks that there are tests of these names, and builds what they need. Others wait with their
# tests in this tree until the calling script ends.
build_for_tests() {
    for name in "$@"; do
        [ -x "$TOP/tests/$name.sh" ] ||
            die "no test named '$name'; there are: $("$TOP/tests/run.sh" --list | tr '\n' ' ')"
    done
    use_cache
    exec 6<"$TOP/tests"
    flock -n 6 || {
        say "waiting for another test run in this tree"
        flock 6
    }
    script setup.sh vm
    export RNULLBLK_TESTS=m
    script build-module.sh vm
    script build-tools.sh vm
}

# show_totals DIRECTORY...: what failed and the totals, over all that boot-tests.sh left there.
show_totals() (
    cd "$TOP"
    find "$@" -name failed -exec sed 's/^/failed: /' '{}' +
    find "$@" -name totals -exec cat '{}' + |
        awk '{ passed += $1; failed += $3; skipped += $5 }
            END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 || !NR }'
)

# module_version: of the module, of rblkctl and of the packages. It stands in one place.
module_version() { sed -n 's/^version = "\(.*\)"/\1/p' "$TOP/tools/rblkctl/Cargo.toml"; }
