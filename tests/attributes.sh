#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Each attribute below configfs takes what it should and nothing else, is in force once the power is on, keeps its
# value, and says busy when it cannot change.
plan 66

PAGE_SIZE=$(getconf PAGESIZE)
COUNT="0 to 2147483647"
SWITCH="0 or 1"
NUMBER="0 to 9223372036854775807"
FAULT="interval,probability,space,times: every so many-th chance, 0 to 100 percent, \
after so many bytes, so often (-1: always)"
SILENT="interval,probability,space,times, or the same and FIRST-LAST, \
sectors from 0 to 2^54-1"
SHAPE="default, fixed NSEC, uniform MIN MAX, normal MEAN DEVIATION or exponential MEAN, and perhaps \
percent P NSEC or every N NSEC"
OTHERS="power index badblocks queue_mode power_cut share_store snapshot rollback drop clone_of memory_kib cut_at"
possible_cpus=$(getconf _NPROCESSORS_CONF)
online_cpus=$(getconf _NPROCESSORS_ONLN)

# NAME;DEFAULT;VALUES THAT ARE SHOWN AS WRITTEN;REFUSED VALUES;ALLOWED;live OR NOTHING
# In a value _ stands for a space. The first of the values is one that the default is not.
ATTRIBUTES="size;256;16 1 64;0 -1 8796093022208 9223372036854775808;1 to 8796093022207;live
blocksize;512;4096 512 1024 2048;0 -512 511 513 1000 8192 65536;a power of two, 512 to $PAGE_SIZE;
submit_queues;0;1 $possible_cpus;-1 2147483648;$COUNT;live
read_queues;0;1 $possible_cpus;-1 2147483648;$COUNT;live
poll_queues;0;1 $possible_cpus;-1 2147483648;$COUNT;live
use_per_node_hctx;0;1 0;2 -1 x;$SWITCH;
hw_queue_depth;128;64 1 2 1023;0 -1 10241;1 to 10240;
home_node;-1;0 -1;-2 1023 1024 4294967295;-1 (any), or a node that has memory;
memory_backed;1;0 1;2 x;$SWITCH;
discard;1;0 1;2 x;$SWITCH;
write_zeroes;1;0 1;2 x;$SWITCH;
cache_size;0;4 1 0;-1 131073;0 to 131072;
write_cache;0;1 0;2 x;$SWITCH;
fua;1;0 1;2 x;$SWITCH;
rotational;0;1 0;2 x;$SWITCH;
read_only;0;1 0;2 x;$SWITCH;live
removable;0;1 0;2 x;$SWITCH;
virt_boundary;0;1 0;2 x;$SWITCH;
max_sectors;0;$((PAGE_SIZE / 512)) 256 2147483647 0;-1 1 $((PAGE_SIZE / 512 - 1)) 2147483648;0, or $((PAGE_SIZE / 512)) to 2147483647;
irqmode;0;1 2 0;-1 3;0 to 2;
completion_nsec;10000;0 50000;-1 9223372036854775808;$NUMBER;
mbps;0;4096 1000 0;-1 2147483648;$COUNT;
no_sched;1;0 1;2 x;$SWITCH;
blocking;0;1 0;2 x;$SWITCH;
shared_tags;0;1 0;2 x;$SWITCH;
shared_tag_bitmap;0;1 0;2 x;$SWITCH;
badblocks_once;0;1 0;2 x;$SWITCH;live
badblocks_partial_io;0;1 0;2 x;$SWITCH;live
timeout_inject;0,0,0,0;1,0,0,0 10,0,4096,3 0,0,0,0;1 1,2,3 1,2,3,4,5 -1,0,0,0 1,101,0,0 1,0,-1,0 1,0,0,-2 a,b,c,d;$FAULT;live
timeout_retry;0;1 0;2 x;$SWITCH;live
requeue_inject;0,0,0,0;1,0,0,0 10,0,4096,3 0,0,0,0;1 1,2,3 1,101,0,0 1,0,0,-2;$FAULT;live
init_hctx_fault_inject;0,0,0,0;1,0,0,0 10,0,4096,3 0,0,0,0;1 1,2,3 1,101,0,0 1,0,0,-2;$FAULT;live
fault_seed;0;42 1 9223372036854775807;-1 9223372036854775808;$NUMBER;live
lie_about_flush;0;1 0;2 x;$SWITCH;live
store;linear;thin linear;thick Thin 1;linear or thin;
memory_wait_msec;0;1000 0;-1 2147483648;$COUNT;
memory_limit;0;64 0;-1 2147483648;$COUNT;
write_log;0;4 1 0;-1 131073;0 to 131072;
drop_write;0,0,0,0;1,0,0,0 10,0,4096,3 0,0,0,0;1 1,2,3 1,101,0,0 1,0,0,-2 8-9;$SILENT;live
misdirect_write;0,0,0,0;1,0,0,0 10,0,4096,3 0,0,0,0;1 1,2,3 1,101,0,0 1,0,0,-2 8-9;$SILENT;live
flip_write;0,0,0,0;1,0,0,0 10,0,4096,3 0,0,0,0;1 1,2,3 1,101,0,0 1,0,0,-2 8-9;$SILENT;live
flip_read;0,0,0,0;1,0,0,0 10,0,4096,3 0,0,0,0;1 1,2,3 1,101,0,0 1,0,0,-2 8-9;$SILENT;live
stale_read;0,0,0,0;1,0,0,0 10,0,4096,3 0,0,0,0;1 1,2,3 1,101,0,0 1,0,0,-2 8-9;$SILENT;live
history_size;0;4 1 0;-1 131073;0 to 131072;
read_latency;default;fixed_5 uniform_1_2_percent_3_4 default;fixed uniform_2_1 fixed_1_every_0_1;$SHAPE;
write_latency;default;fixed_5 uniform_1_2_percent_3_4 default;fixed uniform_2_1 fixed_1_every_0_1;$SHAPE;
flush_latency;default;fixed_5 uniform_1_2_percent_3_4 default;fixed uniform_2_1 fixed_1_every_0_1;$SHAPE;
discard_latency;default;fixed_5 uniform_1_2_percent_3_4 default;fixed uniform_2_1 fixed_1_every_0_1;$SHAPE;
lanes;0;4 1 1024 0;-1 1025;0 to 1024;
hang;0;1 0;2 x;$SWITCH;live"

names() { echo "$ATTRIBUTES" | cut -d ';' -f 1; }

of() { # of NAME FIELD
    echo "$ATTRIBUTES" | awk -F ';' -v name="$1" -v field="$2" '$1 == name { print $field }'
}

features_are_files() {
    tr ',' '\n' <"$CONFIG/features" | sort >"$WORK/features"
    new dut
    find "$CONFIG/dut" -type f -exec basename '{}' ';' | sort | diff "$WORK/features" -
    # shellcheck disable=SC2086 # a list
    { names && printf '%s\n' $OTHERS; } | sort | diff "$WORK/features" -
    [ -z "$(find "$CONFIG/dut" -type f ! -perm 660)" ]
}

has_defaults() {
    for name in $(names); do
        has dut "$name" "$(of "$name" 2)"
    done
    has dut power 0
    has dut queue_mode 2
    has dut share_store ''
}

# What the module was loaded with is what new descriptions begin with; and no device is needed for it.
parameters_are_defaults() {
    rmdir "$CONFIG/dut"
    unload
    set --
    for name in $(names); do
        value=$(of "$name" 3)
        set -- "$@" "$name=\"$(spaced "${value%% *}")\""
    done
    load nr_devices=0 "$@"
    new dut
    for name in $(names); do
        value=$(of "$name" 3)
        has dut "$name" "$(spaced "${value%% *}")"
    done
    rmdir "$CONFIG/dut"
    reload nr_devices=0
    new dut
}

spaced() { echo "$1" | tr _ ' '; }

# Each value is taken, in force with the power on, and still there when it is off and on again.
attribute() { # attribute NAME
    power dut 0
    for value in $(of "$1" 3); do
        value=$(spaced "$value")
        set_to dut "$1" "$value"
        has dut "$1" "$value"
        power dut 1
        has dut "$1" "$value"
        power dut 0
        has dut "$1" "$value"
    done
    set_to dut "$1" "$(echo "$value" | sed 's/^/ \t/; s/$/ /')" # with space around
    power dut 1
    has dut "$1" "$value"

    # shellcheck disable=SC2046 # a list
    refused "$1" "$value" "$(of "$1" 5)" $(of "$1" 4) '' abc 1.5 =1 "1 2"
    # Whoever cannot change says so, even of the value that is there.
    if [ "$(of "$1" 6)" = live ]; then
        set_to dut "$1" "$value"
    else
        fails_with "Device or resource busy" set_to dut "$1" "$value"
    fi
    has dut "$1" "$value"
    power dut 0
    # shellcheck disable=SC2046
    refused "$1" "$value" "$(of "$1" 5)" $(of "$1" 4) '' abc
    set_to dut "$1" "$(of "$1" 2)"
}

# refused NAME VALUE ALLOWED BAD...: none of the bad ones changes the value, and each has one line in the log, which names
# device, attribute, bad value and what is allowed.
refused() {
    name=$1 value=$2 allowed=$3
    shift 3
    echo "$LOG_MARK: the last values" >/dev/kmsg
    write_refused "$CONFIG/dut/$name" "$@" 2>"$WORK/said" >"$WORK/values" || true
    [ "$(grep -cE "Invalid argument|out of range" "$WORK/said")" -eq $# ] || {
        cat "$WORK/said"
        return 1
    }
    has dut "$name" "$value"
    while IFS= read -r bad; do
        echo "dut: $name=$bad refused: allowed is $allowed"
    done <"$WORK/values" >"$WORK/expected"
    dmesg | awk -v mark="$LOG_MARK: the last values" '
        index($0, mark) { said = ""; next }
        sub(/^[^]]*\] rnullblk: /, "") { said = said $0 "\n" }
        END { printf "%s", said }' | diff "$WORK/expected" -
}

# write_refused FILE BAD...: writes them, _ as a space, and fails if one is taken; prints them. One process for all, as they
# are many.
write_refused() {
    bash -c '
        file=$1
        shift
        for bad in "${@//_/ }"; do
            if printf "%s\n" "$bad" >"$file"; then
                echo "took $bad" >&2
                exit 1
            fi
            echo "$bad"
        done' bash "$@"
}

# effect NAME VALUE FILE CONTENT: with that value a file below /sys/block/dut says so.
effect() {
    power dut 0
    set_to dut "$1" "$2"
    power dut 1
    read -r found <"/sys/block/dut/$3"
    [ "$found" = "$4" ] || {
        echo "$1=$2: $3 is '$found', not '$4'"
        return 1
    }
    power dut 0
    set_to dut "$1" "$(of "$1" 2)"
}

queues() { find /sys/block/dut/mq -mindepth 1 -maxdepth 1 | wc -l; }

geometry_in_force() {
    effect size 3 size 6144
    effect blocksize 4096 queue/logical_block_size 4096
    effect max_sectors 256 queue/max_hw_sectors_kb 128
    effect virt_boundary 1 queue/virt_boundary_mask $((PAGE_SIZE - 1))
    effect rotational 1 queue/rotational 1
    effect rotational 0 queue/rotational 0
    effect removable 1 removable 1
    effect read_only 1 ro 1
    effect discard 0 queue/discard_max_bytes 0
    effect discard 1 queue/discard_max_bytes $((32 << 20))
    effect write_zeroes 0 queue/write_zeroes_max_bytes 0
    effect write_zeroes 1 queue/write_zeroes_max_bytes $((32 << 20))
}

cache_in_force() {
    effect write_cache 1 queue/write_cache "write back"
    effect write_cache 1 queue/fua 1
    effect cache_size 1 queue/write_cache "write back"
    effect cache_size 1 queue/fua 1
    set_to dut cache_size 1
    effect fua 0 queue/fua 0
    set_to dut cache_size 0
    effect fua 1 queue/write_cache "write through"
    effect fua 1 queue/fua 0
}

queues_in_force() {
    effect hw_queue_depth 32 queue/nr_requests 32
    for pair in submit_queues=1 submit_queues=2147483647 read_queues=1 poll_queues=1 use_per_node_hctx=1; do
        set_to dut "${pair%%=*}" "${pair#*=}"
        power dut 1
        case $pair in
        submit_queues=1) [ "$(queues)" -eq 1 ] ;;
        submit_queues=2147483647) [ "$(queues)" -eq "$possible_cpus" ] && has dut submit_queues "$possible_cpus" ;;
        use_per_node_hctx=1) [ "$(queues)" -eq "$nodes" ] && has dut submit_queues "$nodes" ;;
        *) [ "$(queues)" -eq $((online_cpus + 1)) ] ;;
        esac
        power dut 0
        set_to dut "${pair%%=*}" 0
        set_to dut submit_queues 0
    done
}

scheduler_in_force() {
    modprobe mq-deadline # the kernel takes it only if it is there
    set_to dut submit_queues 1
    [ "$(scheduler 0)" = mq-deadline ]
    [ "$(scheduler 1)" = none ]
    set_to dut submit_queues 0
}

scheduler() { # scheduler NO_SCHED: the one that is chosen
    set_to dut no_sched "$1"
    power dut 1
    sed 's/.*\[\(.*\)\].*/\1/' /sys/block/dut/queue/scheduler
    power dut 0
}

flag() { # flag NAME FLAG: with the attribute on, the kernel shows the flag for the hardware queues, and else not
    set_to dut "$1" 0
    power dut 1
    if grep -w "$2" /sys/kernel/debug/block/dut/hctx0/flags; then
        return 1
    fi
    power dut 0
    set_to dut "$1" 1
    power dut 1
    grep -w "$2" /sys/kernel/debug/block/dut/hctx0/flags
    power dut 0
    set_to dut "$1" 0
}

flags_in_force() {
    flag blocking BLOCKING
    flag shared_tag_bitmap TAG_HCTX_SHARED
}

tags_are_shared() {
    mkdir "$CONFIG/other"
    for device in dut other; do
        set_to "$device" shared_tags 1
        set_to "$device" hw_queue_depth 16
    done
    set_to other hw_queue_depth 99 # too late
    power dut 1
    power other 1
    has other hw_queue_depth 16
    for device in dut other; do
        grep -w TAG_QUEUE_SHARED "/sys/kernel/debug/block/$device/hctx0/flags"
    done
    power dut 0
    dd if=/dev/zero of=/dev/other bs=64k count=16 oflag=direct
    power other 0
    # The set went with its last user, so now the other one makes it.
    power other 1
    has other hw_queue_depth 99
    # One of them gets poll queues that the other was not made for: its polled requests end all the same.
    power other 0
    power dut 0
    set_to dut poll_queues 1
    power dut 1
    set_to dut poll_queues 0
    power other 1
    set_to dut poll_queues 1
    set_to other badblocks +1000-1000
    fio --name=polled --filename=/dev/other --direct=1 --ioengine=io_uring --hipri --rw=read --bs=4k --size=256k
    set_to dut poll_queues 0
    rmdir "$CONFIG/other"
    power dut 0
    set_to dut shared_tags 0
    set_to dut hw_queue_depth 128
}

ended_by() { # ended_by IRQMODE COLUMN
    set_to dut irqmode "$1"
    power dut 1
    dd if=/dev/zero of=/dev/dut bs=4k count=100 oflag=direct status=none
    [ "$2" = none ] || [ "$(counter "$2" '' dut)" -ge 100 ]
    for column in softirq timer; do
        [ "$2" = "$column" ] || [ "$(counter "$column" '' dut)" -eq 0 ]
    done
    power dut 0
}

completion_in_force() {
    ended_by 0 none
    ended_by 1 softirq
    ended_by 2 timer
    set_to dut completion_nsec 20000000
    power dut 1
    start=$(date +%s%N)
    dd if=/dev/zero of=/dev/dut bs=4k count=20 oflag=direct status=none
    took=$((($(date +%s%N) - start) / 1000000))
    power dut 0
    set_to dut irqmode 0
    echo "20 writes took $took ms"
    [ "$took" -ge 400 ]
}

no_memory_in_force() {
    set_to dut size 64
    power dut 1
    noise 1 | dd of=/dev/dut bs=1M oflag=direct iflag=fullblock status=none
    noise 1 | cmp -n $((1 << 20)) - /dev/dut
    power dut 0
    before=$(used_kib)
    set_to dut memory_backed 0
    set_to dut size 1000000
    power dut 1
    [ "$(blockdev --getsize64 /dev/dut)" -eq $((1000000 << 20)) ]
    after=$(used_kib)
    power dut 0
    echo "before $before KiB, after $after KiB" # what was kept is given back
    [ $((before - after)) -gt $((40 << 10)) ]
    set_to dut size 4
    set_to dut memory_backed 1
}

# The memory lies on the node, and so do the queues.
node_in_force() {
    set_to dut home_node 0
    power dut 1
    awk 'NR > 1 && $3 != 0 && $3 != $2 { exit 1 }' "$DEBUGFS/dut/queues"
    power dut 0
    set_to dut home_node -1
}

# What can change while the power is on changes the device.
live() {
    set_to dut poll_queues 1
    set_to dut read_queues 1
    power dut 1
    for count in 1 "$possible_cpus"; do
        set_to dut submit_queues "$count"
        has dut submit_queues "$count"
        [ "$(queues)" -eq $((count + 2)) ]
    done
    set_to dut poll_queues 0
    set_to dut read_queues 0
    [ "$(queues)" -eq "$possible_cpus" ]
    for bad in submit_queues=0 "submit_queues=$((possible_cpus + 1))" "poll_queues=$((possible_cpus + 1))"; do
        fails_with "Invalid argument" set_to dut "${bad%%=*}" "${bad#*=}"
    done
    log_has "dut: submit_queues=0 refused: allowed is 1 to $possible_cpus\$"
    set_to dut size 8
    [ "$(blockdev --getsize64 /dev/dut)" -eq $((8 << 20)) ]
    set_to dut read_only 1
    [ "$(cat /sys/block/dut/ro)" -eq 1 ]
    power dut 0
    has dut size 8
    has dut read_only 1
    set_to dut read_only 0
}

# What debugfs changes is shown here, too.
other_ways() {
    power dut 1
    echo 12 >"$DEBUGFS/dut/size"
    echo 1 >"$DEBUGFS/dut/read_only"
    has dut size 12
    has dut read_only 1
    power dut 0
    has dut size 12
    power dut 1
    [ "$(blockdev --getsize64 /dev/dut)" -eq $((12 << 20)) ]
    power dut 0
    set_to dut read_only 0
}

others() {
    set_to dut queue_mode 2
    refused queue_mode 2 "2 to 2" 0 1 3
    fails_with "not permitted" set_to dut index 7
    refused power 0 "$SWITCH" 2 -1 maybe ''
}

# Text that is far too long, and bytes that are no text.
no_text() {
    for name in size timeout_inject badblocks power power_cut share_store snapshot rollback drop clone_of cut_at; do
        head -c 4000 /dev/zero | tr '\0' 9 >"$WORK/long"
        for file in "$WORK/long" /dev/zero; do
            fails_with "Invalid argument" dd if="$file" of="$CONFIG/dut/$name" bs=4000 count=1
        done
        log_has "dut: $name=99999999999999999999999999999999\.\.\. refused: allowed is a text of 127 bytes at most"
        log_has "dut: $name=.x00.x00.*\.\.\. refused"
    done
    printf '\377' >"$WORK/long"
    fails_with "Invalid argument" dd if="$WORK/long" of="$CONFIG/dut/size"
    log_has 'dut: size=.xff refused'
}

nodes=$(find /sys/devices/system/node -maxdepth 1 -name 'node[0-9]*' | wc -l)
pick_seed
load nr_devices=0
check "features lists what there is" features_are_files
check "a new description has the defaults" has_defaults
check "which are the module's parameters" parameters_are_defaults
set_to dut size 4
for name in $(names); do
    check "$name" attribute "$name"
    set_to dut size 4
done
check "size, blocks and limits are in force" geometry_in_force
check "write caches are in force" cache_in_force
check "queues are in force" queues_in_force
check "no_sched is in force" scheduler_in_force
check "blocking and shared_tag_bitmap are in force" flags_in_force
check "shared_tags is in force" tags_are_shared
check "irqmode and completion_nsec are in force" completion_in_force
check "memory_backed is in force" no_memory_in_force
check "home_node is in force" node_in_force
check "what can change with the power on" live
check "what changes by way of debugfs" other_ways
check "queue_mode, index and power refuse as well" others
check "what is no text is refused" no_text
finish
