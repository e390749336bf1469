#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# rblkctl makes, shows, changes and removes real devices, and says what is wrong in words.
plan 14

RBLKCTL=${RBLKCTL:-$TESTS/../rblkctl}
[ -x "$RBLKCTL" ] || skip_all "no rblkctl: make tools"
MNT=$(mount_dir mnt)

rblkctl() { "$RBLKCTL" "$@"; }

says() { # says TEXT COMMAND...: it fails, and its one line on standard error has the text
    text=$1
    shift
    if "$@" >"$WORK/stdout" 2>"$WORK/stderr"; then
        echo "succeeded, but should fail: $*"
        return 1
    fi
    cat "$WORK/stderr"
    grep -F -- "$text" "$WORK/stderr"
    [ "$(wc -l <"$WORK/stderr")" -eq 1 ]
}

not_loaded() {
    unload
    says "rnullblk is not loaded: modprobe rnullblk" rblkctl list
    says "modprobe rnullblk" rblkctl create
    load size=8
}

created() {
    [ "$(rblkctl create fast --size 64M --blocksize 4k --queues 1 --depth 32 mbps=100)" = /dev/fast ]
    wait_for 5 test -b /dev/fast
    for pair in size=64 blocksize=4096 submit_queues=1 hw_queue_depth=32 mbps=100 power=1; do
        has fast "${pair%%=*}" "${pair#*=}"
    done
    [ "$(blockdev --getsize64 /dev/fast)" -eq $((64 << 20)) ]
}

# rblk0 was made at load, so the first free name is rblk1.
free_names() {
    [ "$(rblkctl create --size 1M)" = /dev/rblk1 ]
    [ "$(rblkctl create --size 1M)" = /dev/rblk2 ]
    rblkctl remove rblk1
    [ "$(rblkctl create --size 1M)" = /dev/rblk1 ]
    rblkctl remove rblk1 rblk2
    [ ! -e /sys/block/rblk1 ]
}

nothing_half_made() {
    says "blocksize" rblkctl create broken --blocksize 5000
    grep -F "a power of two, 512 to" "$WORK/stderr"
    says "no_such" rblkctl create broken no_such=1
    says "memory" rblkctl create broken --size 900G
    says "there is a device fast already" rblkctl create fast
    [ ! -d "$CONFIG/broken" ]
    [ -d "$CONFIG/fast" ]
}

listed() {
    rblkctl list >"$WORK/list"
    cat "$WORK/list"
    grep -qw rblk0 "$WORK/list"
    grep -w fast "$WORK/list" | grep -w 64M
    rblkctl | diff - "$WORK/list"
    rblkctl list --json >"$WORK/json"
    [ "$(jq -r '.[] | select(.name == "fast") | .size | tostring' "$WORK/json")" = 64 ]
    [ "$(jq length "$WORK/json")" -eq 2 ]
}

shown() {
    rblkctl show fast >"$WORK/show"
    for name in $(tr ',' ' ' <"$CONFIG/features"); do
        [ "$name" = badblocks ] || grep -qw "$name" "$WORK/show" || { echo "no $name"; return 1; }
    done
    rblkctl show fast --json | jq -e .
    rblkctl show rblk0 | grep -w size
    says "no device nobody" rblkctl show nobody
}

changed() {
    rblkctl set fast size=128M submit_queues=2
    has fast size 128
    has fast submit_queues 2
    [ "$(blockdev --getsize64 /dev/fast)" -eq $((128 << 20)) ]
    says "rblkctl off fast" rblkctl set fast blocksize=512
    says "allowed is" rblkctl set fast timeout_inject=1,2
    fails_with "100k is not a whole number of MiB" "$RBLKCTL" set fast size=100k
    rblkctl off fast
    rblkctl set fast blocksize=512 completion_nsec=20us irqmode=2
    has fast completion_nsec 20000
    rblkctl on fast
    wait_for 5 test -b /dev/fast
    [ "$(blockdev --getss /dev/fast)" -eq 512 ]
}

made_at_load() {
    rblkctl set rblk0 size=16M
    [ "$(blockdev --getsize64 /dev/rblk0)" -eq $((16 << 20)) ]
    says "loaded" rblkctl remove rblk0
    [ -b /dev/rblk0 ]
}

shrunk() {
    exec 5</dev/fast
    says "force" rblkctl set fast size=32M
    has fast size 128
    rblkctl set fast size=32M --force
    has fast size 32
    exec 5<&-
}

not_while_it_is_used() {
    mkfs.ext4 -q /dev/fast
    mount /dev/fast "$MNT"
    for command in remove off; do
        says "fast is mounted on $MNT" rblkctl "$command" fast
    done
    has fast power 1
    rblkctl list | grep -F "$MNT"
    umount "$MNT"
    mkswap -q /dev/fast || mkswap /dev/fast
    swapon /dev/fast
    says "swap" rblkctl remove fast
    swapoff /dev/fast
}

bad_blocks() {
    rblkctl badblocks fast add 8-15
    rblkctl badblocks fast | grep -w 8
    fails_with "Input/output error" dd if=/dev/fast of=/dev/null bs=4k skip=1 count=1 iflag=direct
    rblkctl badblocks fast clear 8-15
    dd if=/dev/fast of=/dev/null bs=4k skip=1 count=1 iflag=direct
}
expect_log 'I/O error, dev fast|EXT4-fs.*fast'

counted() {
    before=$(rblkctl stats fast --json | jq '[.. | .writes? // empty | numbers] | max')
    dd if=/dev/zero of=/dev/fast bs=4k count=100 oflag=direct status=none
    after=$(rblkctl stats fast --json | jq '[.. | .writes? // empty | numbers] | max')
    echo "writes: $before, then $after"
    [ "$after" -gt "$before" ]
    rblkctl stats fast | grep -w writes
    timeout 5 "$RBLKCTL" stats fast --watch 1 >"$WORK/watch" || [ $? -eq 124 ]
    [ "$(wc -l <"$WORK/watch")" -gt 2 ]
}

pages() {
    rblkctl man | grep -q '^\.TH'
    for shell in bash zsh fish; do
        rblkctl completions "$shell" | grep -q create
    done
    rblkctl completions bash >"$WORK/completions"
    bash -n "$WORK/completions"
    rblkctl list | head -c 1 >/dev/null # a closed pipe is no error
}

removed() {
    rblkctl remove fast
    [ ! -e /sys/block/fast ]
    [ ! -d "$CONFIG/fast" ]
    rblkctl create --size 1M
    rblkctl create --size 1M
    rblkctl remove --all
    [ -z "$(find "$CONFIG" -mindepth 1 -type d)" ]
    [ -b /dev/rblk0 ]
}

expect_log 'EXT4-fs.*rblk|I/O error, dev rblk'
check "without the module it says what to do" not_loaded
check "create makes what was asked for, and prints its path" created
check "without a name it takes the first that is free" free_names
check "what cannot be made leaves nothing" nothing_half_made
check "list, as a table and as JSON" listed
check "show" shown
check "set, off and on" changed
check "a device that was made at load" made_at_load
check "it shrinks what is open only by force" shrunk
check "it removes nothing that is used" not_while_it_is_used
check "bad blocks" bad_blocks
check "stats" counted
check "manual page and completions" pages
check "remove" removed
finish
