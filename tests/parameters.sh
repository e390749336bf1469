#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Good parameters are in force and shown; bad ones are refused with a reason, and leave nothing.
plan 31

PAGE_SIZE=$(getconf PAGESIZE)
SIZE_RANGE="1 to 8796093022207"
BLOCKSIZE_RANGE="a power of two, 512 to $PAGE_SIZE"
NODE_RANGE="-1 (any), or a node that has memory"
SECTORS_RANGE="0, or $((PAGE_SIZE / 512)) to 2147483647"
COUNT_RANGE="0 to 2147483647"
NANOSECONDS_RANGE="0 to 9223372036854775807"
FAULT="interval,probability,space,times: every so many-th chance, 0 to 100 percent, \
after so many bytes, so often (-1: always)"
SILENT="interval,probability,space,times, or the same and FIRST-LAST, sectors from 0 to 2^54-1"
possible_cpus=$(getconf _NPROCESSORS_CONF)
online_cpus=$(getconf _NPROCESSORS_ONLN)

# Every parameter with its default. Switches and faults are told from the others by how they are shown.
DEFAULTS="nr_devices=1 size=256 blocksize=512 submit_queues=0 read_queues=0 poll_queues=0 use_per_node_hctx=N
    hw_queue_depth=128 home_node=-1 memory_backed=Y discard=Y write_zeroes=Y cache_size=0 write_cache=N fua=Y
    rotational=N read_only=N removable=N virt_boundary=N max_sectors=0 irqmode=0 completion_nsec=10000 mbps=0
    no_sched=Y blocking=N shared_tags=N shared_tag_bitmap=N badblocks_once=N badblocks_partial_io=N
    timeout_inject=0,0,0,0 timeout_retry=N requeue_inject=0,0,0,0 init_hctx_fault_inject=0,0,0,0
    fault_seed=0 lie_about_flush=N store=linear memory_wait_msec=0 memory_limit=0 write_log=0
    drop_write=0,0,0,0 misdirect_write=0,0,0,0 flip_write=0,0,0,0 flip_read=0,0,0,0 stale_read=0,0,0,0 history_size=0
    read_latency=default write_latency=default flush_latency=default discard_latency=default lanes=0 hang=N"

# Nothing but an empty value, no number at all, or one that 64 bits do not hold.
NO_NUMBERS="= =abc =0x =1.5 =12M =1,2 =-- =9223372036854775808 =18446744073709551617 =-9223372036854775809"

shows() { # shows PARAMETER=VALUE...: what is in force
    for pair in "$@"; do
        read -r value <"/sys/module/rnullblk/parameters/${pair%%=*}"
        [ "$value" = "${pair#*=}" ] || {
            echo "${pair%%=*} shows $value, not ${pair#*=}"
            return 1
        }
    done
}

names() { # names PATTERN: of the parameters whose default matches
    for pair in $DEFAULTS; do
        ! echo "${pair#*=}" | grep -qxE "$1" || echo "${pair%%=*}"
    done
}

defaults_are_in_force() {
    load
    for pair in $DEFAULTS; do
        [ "$pair" != submit_queues=0 ] || pair=submit_queues=$online_cpus # 0 stands for that
        shows "$pair"
    done
    for file in /sys/module/rnullblk/parameters/*; do
        echo "${file##*/}"
    done >"$WORK/shown"
    names '.*' | sort | diff - "$WORK/shown"
    [ -z "$(find /sys/module/rnullblk/parameters -type f -perm /222)" ]
}

modinfo_lists_all() {
    modinfo -F parm "$RNULLBLK_KO" >"$WORK/listed"
    cat "$WORK/listed"
    # A switch is given as 0 or 1, and a fault that is off as 0.
    for pair in $DEFAULTS; do
        echo "$pair"
    done | sed 's/=Y$/=1/; s/=N$/=0/; s/=0,0,0,0$/=0/' | sort >"$WORK/defaults"
    sed -n 's/^\([a-z_]*\):.*\. Default: \(.*\)$/\1=\2/p' "$WORK/listed" | sort | diff "$WORK/defaults" -
    [ "$(wc -l <"$WORK/listed")" -eq "$(wc -l <"$WORK/defaults")" ]
}

devices() { # devices NUMBER: there are so many
    [ "$(find /sys/block -name 'rblk*' | wc -l)" -eq "$1" ]
}

# accepts PARAMETER=VALUE...: loads with all of them, and they are in force.
accepts() {
    reload "$@"
    shows "$@"
}

no_device() {
    accepts nr_devices=0
    devices 0
}

hexadecimal() {
    reload nr_devices=0x3 size=0x11 blocksize=0x800 submit_queues=0x1 hw_queue_depth=0x7f home_node=0x0
    shows nr_devices=3 size=17 blocksize=2048 submit_queues=1 hw_queue_depth=127 home_node=0
    devices 3
}

queues_in_force() { # queues_in_force GIVEN SHOWN
    reload size=1 "submit_queues=$1"
    shows "submit_queues=$2"
    [ "$(find /sys/block/rblk0/mq -mindepth 1 -maxdepth 1 | wc -l)" -eq "$2" ]
}

number_of_queues_that_became() {
    queues_in_force 0 "$online_cpus"
    queues_in_force 2147483647 "$possible_cpus"
}

# switches_accept LETTER SPELLING...: all switches at once, each with the next spelling in turn.
switches_accept() {
    letter=$1
    shift
    set -- "$@" --
    given='' expected=''
    for switch in $(names '[YN]'); do
        [ "$1" != -- ] || {
            shift
            set -- "$@" --
        }
        given="$given $switch$1"
        expected="$expected $switch=$letter"
        spelling=$1
        shift
        set -- "$@" "$spelling"
    done
    echo "$given"
    # shellcheck disable=SC2086 # lists
    {
        reload size=1 $given
        shows $expected
    }
}

# Each spelling, and each switch once on and once off.
switches() {
    switches_accept Y =1 =y =Y =on ""
    switches_accept N =0 =n =N =off
}

# Faults are shown as they are given.
faults() {
    for value in 0,0,0,0 1,100,0,0 4294967295,100,2147483647,2147483647 0,0,0,-1; do
        # shellcheck disable=SC2046 # a list
        accepts size=1 $(names '0,.*' | sed "s/$/=$value/")
    done
}

nothing_is_left() {
    for trace in /sys/module/rnullblk /dev/rblk* /sys/block/rblk* /sys/class/block/rblk* \
        /sys/kernel/debug/rnullblk /sys/kernel/debug/block/rblk*; do
        [ ! -e "$trace" ] || {
            echo "left behind: $trace"
            return 1
        }
    done
}

# fails_saying ERROR PARAMETER=VALUE...: insmod fails with ERROR, and nothing is left. What the module
# said to the log is then in $WORK/said.
fails_saying() {
    error=$1
    shift
    unload
    echo "$LOG_MARK: the last failure" >/dev/kmsg
    fails_with "$error" insmod "$RNULLBLK_KO" "$@"
    dmesg | awk -v mark="$LOG_MARK: the last failure" '
        index($0, mark) { said = ""; next }
        sub(/^[^]]*\] rnullblk: /, "") { said = said $0 "\n" }
        END { printf "%s", said }' >"$WORK/said"
    cat "$WORK/said"
    nothing_is_left
}

# refuses PARAMETER ALLOWED =VALUE...: the first one alone, then all at once; a line for each.
refuses() {
    parameter=$1 allowed=$2
    shift 2
    fails_saying "Invalid parameters" "$parameter$1"
    echo "$parameter$1 refused: allowed is $allowed" | diff - "$WORK/said"
    for value in "$@"; do
        shift
        set -- "$@" "$parameter$value"
    done
    fails_saying "Invalid parameters" "$@"
    for value in "$@"; do
        echo "$value refused: allowed is $allowed"
    done | diff - "$WORK/said"
}

refuses_each() { # refuses_each "PARAMETER..." ALLOWED =VALUE...
    names=$1
    shift
    for name in $names; do
        refuses "$name" "$@"
    done
}

no_such_node() {
    nodes=$(find /sys/devices/system/node -maxdepth 1 -name 'node[0-9]*' | wc -l)
    for node in "$nodes" 1023; do
        fails_saying "Invalid parameters" "home_node=$node"
        echo "home_node=$node refused: allowed is $NODE_RANGE" | diff - "$WORK/said"
    done
}

bad_switches() {
    for switch in $(names '[YN]'); do
        set -- "$@" "$switch=" "$switch=2" "$switch=-1" "$switch=x" "$switch=o"
    done
    fails_saying "Invalid parameters" "$@"
    printf '%s refused: allowed is 0 or 1\n' "$@" | diff - "$WORK/said"
}

# A number or a fault has no value that it could take from its name alone.
no_value() {
    fails_saying "Invalid parameters" size timeout_inject
    printf '%s refused: allowed is %s\n' size= "$SIZE_RANGE" timeout_inject= "$FAULT" | diff - "$WORK/said"
}

# Too few numbers, too many, none, and each of the four beyond its range.
bad_faults() {
    for fault in $(names '0,.*'); do
        allowed=$FAULT
        [ "$fault" != "${fault%_inject}" ] || allowed=$SILENT
        refuses "$fault" "$allowed" =1 =1,2,3 =1,2,3,4,5 = =1,2,3, =,2,3,4 =a,b,c,d =0x1,2,3,4 \
            =-1,0,0,0 =4294967296,0,0,0 =1,-1,0,0 =1,101,0,0 =1,0,-1,0 =1,0,2147483648,0 \
            =1,0,0,-2 =1,0,0,2147483648 =1.0,0,0,0 =1:2:3:4
    done
}

# What a range alone does not say.
shorter_than_a_page() {
    page_sectors=$((PAGE_SIZE / 512))
    for sectors in 1 $((page_sectors - 1)); do
        fails_saying "Invalid parameters" "max_sectors=$sectors"
        echo "max_sectors=$sectors refused: allowed is $SECTORS_RANGE" | diff - "$WORK/said"
    done
}

# A good one before or after does not make up for a bad one.
bad_among_good() {
    fails_saying "Invalid parameters" size=64 hw_queue_depth=0 hw_queue_depth=1 blocksize=1024
    echo "hw_queue_depth=0 refused: allowed is 1 to 10240" | diff - "$WORK/said"
}

out_of_memory() { # out_of_memory MIB DEVICES
    fails_saying "Cannot allocate memory" "size=$1" "nr_devices=$2"
    [ "$(wc -l <"$WORK/said")" -eq 1 ]
    all=" for all $2 devices together"
    [ "$2" -gt 1 ] || all=
    grep -qE "^size=$1 refused: allowed is at most [0-9]+ MiB$all, the memory that is available now$" \
        "$WORK/said"
}

too_much_memory() {
    mem_mib=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
    out_of_memory "$mem_mib" 1
    out_of_memory $((mem_mib / 10)) 11
    out_of_memory 1 65535
    out_of_memory 8796093022207 65535 # in bytes a number of 79 bits
}

fail_half_way() { # fail_half_way TIMES
    for _ in $(seq "$1"); do
        # Kernels that keep EEXIST for a module that is loaded already say EBUSY.
        fails_with "File exists|resource busy" insmod "$RNULLBLK_KO" nr_devices=3 size=32
    done
}

# The second of three devices cannot be made, because its name is taken.
half_made_is_unmade() {
    unload
    modprobe null_blk nr_devices=0
    mkdir /sys/kernel/config/nullb/rblk1
    echo 1 >/sys/kernel/config/nullb/rblk1/power
    fail_half_way 1 # the kernel's own caches fill up at first
    before=$(used_kib)
    fail_half_way 2
    rmdir /sys/kernel/config/nullb/rblk1
    rmmod null_blk
    nothing_is_left
    memory_is_back "$before" 8192
}

# The kernel says with a call trace that a name is taken.
expect_log 'sysfs: cannot create duplicate filename'
expect_log 'Call Trace:'

check "modinfo lists every parameter with its default" modinfo_lists_all
check "the defaults are in force, and read-only" defaults_are_in_force
check "the smallest values are" accepts \
    nr_devices=1 size=1 blocksize=512 submit_queues=1 read_queues=0 poll_queues=0 hw_queue_depth=1 \
    home_node=-1 cache_size=0 max_sectors=0 irqmode=0 completion_nsec=0 mbps=0 fault_seed=0
check "the largest values are" accepts \
    size=8796093022207 "blocksize=$PAGE_SIZE" "submit_queues=$possible_cpus" \
    "read_queues=$possible_cpus" "poll_queues=$possible_cpus" hw_queue_depth=10240 home_node=0 \
    memory_backed=N max_sectors=2147483647 irqmode=2 completion_nsec=9223372036854775807 \
    mbps=2147483647 \
    fault_seed=9223372036854775807
check "hexadecimal values are" hexadecimal
check "no device at all is legal" no_device
check "what is shown is the number of queues that became" number_of_queues_that_became
check "a switch has many spellings" switches
check "a fault has four numbers" faults
check "the shortest max_sectors is a page" accepts size=1 "max_sectors=$((PAGE_SIZE / 512))"
# shellcheck disable=SC2086 # a list
{
    check "bad nr_devices" refuses nr_devices "0 to 65535" =-1 =65536 =4294967296 $NO_NUMBERS
    check "bad size" refuses size "$SIZE_RANGE" =0 =-1 =8796093022208 =9223372036854775807 $NO_NUMBERS
    check "bad blocksize" refuses blocksize "$BLOCKSIZE_RANGE" \
        =0 =-512 =1 =256 =511 =513 =1000 =4095 =8192 =65536 =9223372036854775807 $NO_NUMBERS
    check "bad submit_queues" refuses submit_queues "0 to 2147483647" =-1 =2147483648 $NO_NUMBERS
    check "bad hw_queue_depth" refuses hw_queue_depth "1 to 10240" =0 =-1 =10241 =65537 $NO_NUMBERS
    check "bad numbers of read and poll queues, and of MiB" refuses_each \
        "read_queues poll_queues mbps memory_wait_msec memory_limit" "$COUNT_RANGE" =-1 =2147483648 $NO_NUMBERS
    check "bad max_sectors" refuses max_sectors "$SECTORS_RANGE" =-1 =2147483648 $NO_NUMBERS
    check "bad sizes of cache, log and history" refuses_each \
        "cache_size write_log history_size" "0 to 131072" =-1 =131073 $NO_NUMBERS
    check "bad lanes" refuses lanes "0 to 1024" =-1 =1025 $NO_NUMBERS
    check "bad store" refuses store "linear or thin" = =0 =thick =Thin =linear,thin
    check "bad irqmode" refuses irqmode "0 to 2" =-1 =3 =4294967296 $NO_NUMBERS
    check "bad times and seeds" refuses_each \
        "completion_nsec fault_seed" "$NANOSECONDS_RANGE" =-1 $NO_NUMBERS
    check "bad home_node" refuses home_node "$NODE_RANGE" =-2 =1024 =4294967295 $NO_NUMBERS
}
check "a NUMA node that does not exist" no_such_node
check "bad switches" bad_switches
check "bad faults" bad_faults
check "no value" no_value
check "less than a page in max_sectors" shorter_than_a_page
check "a bad value among good ones" bad_among_good
check "more memory than the machine has" too_much_memory
check "a device that cannot be made takes the others with it" half_made_is_unmade
finish
