#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# rblkctl makes, shows, changes and removes real devices, and says what is wrong in words.
plan 16
pick_seed

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
    says "share_store" rblkctl create second share_store=nobody
    rblkctl create second share_store=fast
    [ "$(blockdev --getsize64 /dev/second)" -eq $((64 << 20)) ]
    [ "$(rblkctl show second --json | jq -r .share_store)" = fast ]
    says "while another device shares the store" rblkctl set fast size=128M
    rblkctl off second
    rblkctl set second share_store=
    has second share_store ''
    rblkctl remove second
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
    says "there is a disk rblk0 already" rblkctl create rblk0
    says "no_such" rblkctl set fast mbps=50 no_such=1
    has fast mbps 100
    fails_with "use rblkctl on or rblkctl off" "$RBLKCTL" create broken power=1
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
    jq -r '.[] | "\(.name) \(.state) \(.origin)"' "$WORK/json" | sort >"$WORK/states"
    printf '%s\n' "fast on configfs" "rblk0 on load" | diff - "$WORK/states"
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
    for command in off remove; do
        says "was made when the module was loaded and goes with it" rblkctl "$command" rblk0
    done
    says "size" rblkctl set rblk0 queues=1 # what can be set
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
    # Where it is mounted cannot be seen from here.
    mkfs.ext4 -q -F /dev/fast
    # shellcheck disable=SC2016 # expanded by the shell inside
    unshare --mount sh -euc '
        mount /dev/fast "$1"
        : >"$2/mounted"
        timeout 10 sh -c "until [ -e $2/end ]; do sleep 0.1; done" || :
        umount "$1"
    ' sh "$MNT" "$WORK" &
    wait_for 5 test -e "$WORK/mounted"
    says "fast is in use" rblkctl off fast
    : >"$WORK/end"
    wait $!
    has fast power 1
}

pulled_out() {
    rblkctl create pulled --size 1M
    echo 1 >"$DEBUGFS/pulled/pull_out"
    [ "$(rblkctl show pulled --json | jq -r .state)" = gone ]
    says "rblkctl off pulled, then rblkctl on pulled" rblkctl on pulled
    rblkctl off pulled
    rblkctl on pulled
    [ "$(rblkctl show pulled --json | jq -r .state)" = on ]
    rblkctl remove pulled
}
expect_log 'I/O error, dev pulled|Buffer I/O error on dev(ice)? pulled'

bad_blocks() {
    rblkctl badblocks fast add 8-15
    rblkctl badblocks fast | grep -w 8
    fails_with "Input/output error" dd if=/dev/fast of=/dev/null bs=4k skip=1 count=1 iflag=direct
    rblkctl badblocks fast clear 8-15
    dd if=/dev/fast of=/dev/null bs=4k skip=1 count=1 iflag=direct
}
expect_log 'I/O error, dev fast|EXT4-fs.*fast'

snapshots() {
    rblkctl create lab store=thin --size 16T
    noise 1 | dd of=/dev/lab bs=64k oflag=direct iflag=fullblock status=none
    rblkctl snapshot lab take golden
    rblkctl snapshot lab take other
    [ "$(rblkctl snapshot lab | paste -s -d ' ')" = "golden other" ]
    blkdiscard /dev/lab
    says "open" rblkctl snapshot lab rollback golden 8</dev/lab
    rblkctl snapshot lab rollback golden
    noise 1 | cmp -n $((1 << 20)) - /dev/lab
    rblkctl snapshot lab drop other
    [ "$(rblkctl snapshot lab)" = golden ]
    says "the name of a snapshot" rblkctl snapshot lab drop nobody
    rblkctl create copy clone_of=lab/golden
    noise 1 | cmp -n $((1 << 20)) - /dev/copy
    rblkctl remove copy lab
}

counted() {
    before=$(rblkctl stats fast --json | jq '[.. | .writes? // empty | numbers] | max')
    dd if=/dev/zero of=/dev/fast bs=4k count=100 oflag=direct status=none
    after=$(rblkctl stats fast --json | jq '[.. | .writes? // empty | numbers] | max')
    echo "writes: $before, then $after"
    [ "$after" -gt "$before" ]
    rblkctl stats fast | grep -w writes
    timeout 5 "$RBLKCTL" stats --watch=1 fast >"$WORK/watch" || [ $? -eq 124 ]
    [ "$(wc -l <"$WORK/watch")" -gt 2 ]
}

pages() {
    rblkctl man | grep -q '^\.TH'
    for shell in bash zsh fish; do
        rblkctl completions "$shell" | grep -q create
    done
    rblkctl completions bash >"$WORK/completions"
    bash -n "$WORK/completions"
    # shellcheck disable=SC2016 # expanded by the shell inside
    grep -Fq '$(ls /sys/kernel/config/rnullblk' "$WORK/completions"
    # That nobody reads any more is no error.
    (sleep 1; status=0; rblkctl man || status=$?; echo "$status" >"$WORK/status") | true
    [ "$(cat "$WORK/status")" -eq 0 ]
}

removed() {
    rblkctl remove fast
    [ ! -e /sys/block/fast ]
    [ ! -d "$CONFIG/fast" ]
    for name in one two three; do
        rblkctl create "$name" --size 1M
    done
    says "no device nobody" rblkctl remove one nobody
    [ -b /dev/one ]
    rblkctl remove one two one
    [ ! -e /sys/block/two ]
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
check "what is pulled out" pulled_out
check "bad blocks" bad_blocks
check "snapshots" snapshots
check "stats" counted
check "manual page and completions" pages
check "remove" removed
finish
