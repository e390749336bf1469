#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
TESTS=$(dirname "$0")/..
. "$TESTS/lib.sh"
# Devices in use are changed, pulled out, powered off and removed, in an order that the seed decides: no data is
# lost but what was pulled out, nothing hangs, and in the end all is as it was.
#   SOAK_MINUTES         for how long (1)
#   SOAK_CHECKSUM_MIB    size of a device whose checksum must be the same in the end (64)
plan 7

minutes=${SOAK_MINUTES:-1}
checksum_mib=${SOAK_CHECKSUM_MIB:-64}
pick_seed
RANDOM=$seed

# Three devices are in use: one raw and thin, whose requests take their time and whose data is verified; one with a file
# system; and one that may be lost at any time, and is made anew in another way each time. What the fourth one has must not
# change.
declare -A count

# one_of WORD...: sets $choice.
one_of() {
    local number=$((RANDOM % $# + 1))
    choice=${!number}
}

# do_it WHAT COMMAND...: an action, counted and logged.
do_it() {
    count[$1]=$((${count[$1]-0} + 1))
    echo "$SECONDS s: $*" >>"$WORK/actions"
    "${@:2}" >>"$WORK/actions" 2>&1
}

make_device() { # make_device NAME MIB IRQMODE [SETTING=VALUE...]
    local name=$1 setting
    new "$name" && set_to "$name" size "$2" && set_to "$name" submit_queues "$(nproc)" && set_to "$name" poll_queues 1 &&
        set_to "$name" irqmode "$3" || return
    for setting in "${@:4}"; do
        set_to "$name" "${setting%%=*}" "${setting#*=}" || return
    done
    power "$name" 1
}

set_up() {
    make_device raw 32 2 store=thin "write_latency=uniform 0 300000" lanes=16
    make_device fs 128 1
    make_device lost 32 2
    make_device still "$checksum_mib" 0
    mkfs.ext4 -q /dev/fs
    mount /dev/fs "$FS"
    python3 - "$seed" "$checksum_mib" >/dev/still <<'SCRIPT'
import random, sys
noise = random.Random(int(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    sys.stdout.buffer.write(noise.randbytes(1 << 20))
SCRIPT
    sync
}

FIO="--direct=1 --ioengine=io_uring --iodepth=16 --thread --time_based --runtime=36000 --randseed=$seed --group_reporting"

# Four jobs: two that verify raw data, one that verifies a file, and one that goes on whatever is lost.
start_load() {
    # shellcheck disable=SC2086 # several words
    {
        fio --name=raw $FIO --filename=/dev/raw --rw=randrw --bsrange=4k-64k --numjobs=2 --size=16m \
            --offset_increment=16m --verify=crc32c --verify_fatal=1 --verify_backlog=32 >"$WORK/raw.log" 2>&1 &
        raw_pid=$!
        fio --name=fs $FIO --filename="$FS/file" --rw=randrw --bs=4k --size=32m --fsync=16 \
            --verify=crc32c --verify_fatal=1 --verify_backlog=32 >"$WORK/fs.log" 2>&1 &
        fs_pid=$!
    }
    load_lost &
    lost_pid=$!
}

# By a descriptor: where a name is missing fio would make a file, or remove what has just come.
load_lost() {
    trap 'kill "$job"; wait "$job"; exit' TERM
    while :; do
        exec 5<&-
        sleep 0.2 &
        job=$!
        wait "$job"
        { exec 5</dev/lost; } 2>/dev/null || continue
        # shellcheck disable=SC2086 # several words
        fio --name=lost $FIO --filename=/proc/self/fd/5 --rw=randrw --bsrange=512-128k --size=8m \
            --continue_on_error=all >"$WORK/lost.log" 2>&1 &
        job=$!
        wait "$job" || true
    done
}

stop_load() {
    local status=0
    kill "$lost_pid"
    wait "$lost_pid" || true
    for name in raw fs; do
        local pid=${name}_pid
        kill -INT "${!pid}"
        # Stopped this way fio says 128, and 1 or 84 if data was wrong.
        wait "${!pid}" || [ $? -eq 128 ] || status=1
        if grep -E 'verify: bad|verify failed|err= *[1-9]' "$WORK/$name.log"; then status=1; fi
        tail -n 5 "$WORK/$name.log"
    done
    return "$status"
}

is_alive() { kill -0 "$raw_pid" && kill -0 "$fs_pid" && kill -0 "$lost_pid"; }

change_queues() { set_to "$1" "$2" "$3"; }
change_scheduler() { echo "$2" >"/sys/block/$1/queue/scheduler"; }
change_depth() { echo "$2" >"/sys/block/$1/queue/nr_requests"; }
turn_cpu() { [ ! -e "/sys/devices/system/cpu/cpu$1/online" ] || echo "$2" >"/sys/devices/system/cpu/cpu$1/online"; }
freeze_and_thaw() { fsfreeze -f "$FS" && sleep 0.3 && fsfreeze -u "$FS"; }
grow_fs() { set_to fs size "$1" && resize2fs /dev/fs; }
cannot_be_unloaded() { ! rmmod rnullblk; }
power_cycle() { power lost 0 && power lost 1; }
pull_out() { echo 1 >"$DEBUGFS/lost/pull_out" && power_cycle; }
# make_it_anew IRQMODE SETTINGS: with commas between these, + for a space
make_it_anew() {
    local settings
    IFS=, read -r -a settings <<<"${2//+/ }"
    rmdir "$CONFIG/lost" && make_device lost 32 "$1" "${settings[@]}"
}
cut_power() { set_to lost power_cut "$1 torn" && power lost 1; }
hang_for_a_while() { set_to lost hang 1 && sleep 0.3 && set_to lost hang 0; }

# may_say PATTERN COMMAND...: it works, or says that: what depends on how the device was made.
may_say() {
    "${@:2}" 2>"$WORK/why" && return
    cat "$WORK/why"
    grep -qE "$1" "$WORK/why"
}

fs_mib=128
an_action() {
    one_of queues queues scheduler depth cpu freeze grow unload \
        power power resize remove remove pull_out faults bad_blocks read_only partitions flush \
        cut hang snapshot rollback silent
    local action=$choice number=$((RANDOM % 3 + 1))
    one_of raw fs lost
    local device=$choice
    case $action in
    queues)
        one_of submit_queues poll_queues
        do_it "$action" change_queues "$device" "$choice" $((number % $(nproc --all) + 1))
        ;;
    scheduler)
        one_of none mq-deadline kyber
        do_it "$action" change_scheduler "$device" "$choice"
        ;;
    depth) do_it "$action" change_depth "$device" $((number * 20)) ;;
    cpu) do_it "$action" turn_cpu 1 $((number % 2)) ;;
    freeze) do_it "$action" freeze_and_thaw ;;
    grow)
        [ "$fs_mib" -ge 192 ] || fs_mib=$((fs_mib + 4))
        do_it "$action" grow_fs "$fs_mib"
        ;;
    unload) do_it "$action" cannot_be_unloaded ;;
    power)
        do_it "$action" power_cycle
        ;;
    resize) do_it "$action" may_say "No space left" set_to lost size "$((number * 16)) force" ;;
    remove)
        one_of hw_queue_depth=64 store=thin store=thin,memory_limit=8,memory_wait_msec=50 cache_size=2 write_log=2 \
            history_size=1,fua=0 mbps=50 lanes=4,read_latency=normal+50000+20000 blocking=1 shared_tag_bitmap=1 \
            shared_tags=1 submit_queues=1,read_queues=1 store=thin,cache_size=1,history_size=1 memory_backed=0
        do_it "$action" make_it_anew $((number - 1)) "$choice"
        ;;
    cut) do_it "$action" cut_power "$number" ;;
    hang) do_it "$action" hang_for_a_while ;;
    snapshot)
        one_of snapshot snapshot drop
        do_it "$action" may_say "Invalid argument|File exists|No such file" set_to lost "$choice" "s$number"
        ;;
    rollback) do_it "$action" may_say "No such file|busy" set_to lost rollback "s$number force" ;;
    silent)
        one_of drop_write misdirect_write flip_write flip_read stale_read
        do_it "$action" set_to lost "$choice" 5,20,0,$((number * 10 - 10))
        ;;
    pull_out)
        do_it "$action" pull_out
        ;;
    faults)
        one_of requeue_inject=7,50,0,-1 requeue_inject=1,0,0,0 timeout_inject=50,10,0,3 timeout_inject=1,0,0,0
        do_it "$action" set_to lost "${choice%=*}" "${choice#*=}"
        ;;
    bad_blocks)
        one_of + -
        do_it "$action" set_to lost badblocks "$choice$((number * 100))-$((number * 120))"
        ;;
    read_only) do_it "$action" set_to lost read_only $((number % 2)) ;;
    partitions) do_it "$action" blockdev --rereadpt "/dev/$device" || true ;;
    flush) do_it "$action" blockdev --flushbufs "/dev/$device" ;;
    esac
}

under_fire() {
    local until=$((SECONDS + minutes * 60)) done=0 said=$SECONDS
    while [ "$SECONDS" -lt "$until" ]; do
        an_action || {
            tail -n 20 "$WORK/actions"
            ls -l /dev/lost /sys/block/lost "$CONFIG/lost/power"
            return 1
        }
        done=$((done + 1))
        is_alive || {
            tail -n 5 "$WORK"/*.log "$WORK/actions"
            return 1
        }
        sleep "0.$((RANDOM % 5))"
        if [ $((SECONDS - said)) -ge 60 ]; then
            said=$SECONDS
            ktap_print_msg "$SECONDS s: $done actions" >&3
        fi
    done
    turn_cpu 1 1
    for what in "${!count[@]}"; do echo "$what ${count[$what]}"; done | sort >"$WORK/counts"
    ktap_print_msg "$done actions: $(paste -s -d ' ' "$WORK/counts")" >&3
    sed -n 's/^ *\(read\|write\):.*/&/p' "$WORK"/*.log
}

nothing_is_in_flight() {
    for device in raw fs lost; do
        cat "$DEBUGFS/$device/in_flight"
        grep -q '^0 started' "$DEBUGFS/$device/in_flight"
    done
}

file_system_is_clean() {
    umount "$FS"
    fsck.ext4 -f -n /dev/fs
}

still_the_same() {
    sha256sum </dev/still | cmp - "$WORK/checksum"
}

end_of_soak() {
    status=$?
    turn_cpu 1 1 || true
    (exit "$status")
    cleanup
}
trap end_of_soak EXIT

exec 3>&1
FS=$(mount_dir fs)
load nr_devices=0
used=$(used_kib)
# Not by check(), which has a shell of its own.
set_up
sha256sum </dev/still >"$WORK/checksum"
start_load
wait_for 60 test -s "$FS/file"
# In this shell, as the load belongs to it.
if under_fire >"$WORK/fire" 2>&1; then fire=0; else fire=1; fi
was_survived() { cat "$WORK/fire" && [ "$fire" -eq 0 ]; }
check "$minutes min of changes under load, seed $seed" was_survived
if stop_load >"$WORK/load" 2>&1; then load=0; else load=1; fi
was_right() { cat "$WORK/load" && [ "$load" -eq 0 ]; }
check "all data was right" was_right
check "no request is left" nothing_is_in_flight
check "the file system is clean" file_system_is_clean
check "$checksum_mib MiB that nobody wrote are the same" still_the_same
all_goes() { rmdir "$CONFIG/raw" "$CONFIG/fs" "$CONFIG/lost" "$CONFIG/still" && rmmod rnullblk; }
check "all devices go, and the module" all_goes
# Caches of the kernel grow; one of the devices would be as much.
check "and their memory" memory_is_back "$used" $((32 << 10))
finish
