#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# lsblk, blockdev and sysfs show the geometry that was asked for, and limits that are set on purpose.
plan 15

MAX_REQUEST=$((32 << 20))

queue_shows() { # queue_shows FILE=VALUE...
    for pair in "$@"; do
        read -r value <"/sys/block/rblk0/queue/${pair%%=*}"
        [ "$value" = "${pair#*=}" ] || {
            echo "queue/${pair%%=*} shows $value, not ${pair#*=}"
            return 1
        }
    done
}

disk_shows() { # disk_shows FILE=VALUE...
    for pair in "$@"; do
        read -r value <"/sys/block/rblk0/${pair%%=*}"
        [ "$value" = "${pair#*=}" ] || {
            echo "${pair%%=*} shows $value, not ${pair#*=}"
            return 1
        }
    done
}

no_throttling() {
    reload
    [ "$(cat /sys/block/rblk0/queue/wbt_lat_usec || echo 0)" -eq 0 ]
    echo 75000 >/sys/block/rblk0/queue/wbt_lat_usec
    queue_shows wbt_lat_usec=75000
    dd if=/dev/zero of=/dev/rblk0 bs=1M count=16 conv=fsync status=none
}

lsblk_shows() { # lsblk_shows "NAME SIZE LOG-SEC PHY-SEC MIN-IO OPT-IO ROTA DISC-GRAN DISC-MAX RO RM TYPE"
    shown=$(lsblk -dnb -o NAME,SIZE,LOG-SEC,PHY-SEC,MIN-IO,OPT-IO,ROTA,DISC-GRAN,DISC-MAX,RO,RM,TYPE \
        /dev/rblk0 | tr -s ' ' | sed 's/ $//')
    [ "$shown" = "$1" ] || {
        echo "lsblk shows: $shown"
        echo "and not:     $1"
        return 1
    }
}

blockdev_shows() { # blockdev_shows BYTES BLOCKSIZE
    shown=$(blockdev --getsize64 --getsz --getss --getpbsz --getiomin --getioopt --getro /dev/rblk0 |
        tr '\n' ' ')
    [ "$shown" = "$1 $(($1 / 512)) $2 $2 $2 0 0 " ] || {
        echo "blockdev shows: $shown"
        return 1
    }
}

# geometry MIB BLOCKSIZE [PARAMETER=VALUE...]
geometry() {
    mib=$1 block=$2
    bytes=$((mib << 20))
    shift 2
    reload "size=$mib" "blocksize=$block" "$@"
    lsblk_shows "rblk0 $bytes $block $block $block 0 0 $block $MAX_REQUEST 0 0 disk"
    blockdev_shows "$bytes" "$block"
    disk_shows "size=$((bytes / 512))"
    queue_shows "logical_block_size=$block" "hw_sector_size=$block" "physical_block_size=$block" \
        "minimum_io_size=$block" "discard_granularity=$block"
}

smaller_io_is_refused() { # with 4096-byte blocks
    fails_with "Invalid argument" dd if=/dev/rblk0 of=/dev/null iflag=direct bs=512 count=1
    fails_with "Invalid argument" dd if=/dev/zero of=/dev/rblk0 oflag=direct bs=512 count=1
    dd if=/dev/rblk0 of=/dev/null iflag=direct bs=4096 count=1
}

request_limits() {
    queue_shows max_hw_sectors_kb=32768 max_segments=65535 max_segment_size=4294967295 \
        dma_alignment=1 max_integrity_segments=0 chunk_sectors=0 virt_boundary_mask=0
    # Up to there it is the user's choice.
    for kib in 4 32768; do
        echo "$kib" >/sys/block/rblk0/queue/max_sectors_kb
        queue_shows "max_sectors_kb=$kib"
    done
}

plain_disk() {
    queue_shows rotational=0 add_random=0 zoned=none optimal_io_size=0
    disk_shows hidden=0 removable=0 ro=0 alignment_offset=0 discard_alignment=0
}

zeroing_limits() {
    queue_shows "discard_max_bytes=$MAX_REQUEST" "discard_max_hw_bytes=$MAX_REQUEST" \
        "write_zeroes_max_bytes=$MAX_REQUEST"
}

discard_is_off() {
    reload size=16 discard=0
    lsblk_shows "rblk0 16777216 512 512 512 0 0 0 0 0 0 disk"
    queue_shows discard_granularity=0 discard_max_bytes=0 discard_max_hw_bytes=0 \
        "write_zeroes_max_bytes=$MAX_REQUEST"
    yes | dd of=/dev/rblk0 bs=64k count=1 iflag=fullblock oflag=direct
    fails_with "not supported" blkdiscard --length 4096 /dev/rblk0
    yes | cmp -n 65536 - /dev/rblk0
}

write_cache_shows() {
    reload size=16
    queue_shows "write_cache=write through" fua=0
    reload size=16 write_cache=1
    queue_shows "write_cache=write back" fua=1
}

no_scheduler() { # no_scheduler PARAMETER=VALUE
    modprobe mq-deadline # the kernel's choice for one queue, if it is there
    reload size=16 "$1"
    grep -q '\[none\]' /sys/block/rblk0/queue/scheduler || {
        cat /sys/block/rblk0/queue/scheduler
        return 1
    }
}

scheduler_works() { # scheduler_works NAME
    echo "$1" >/sys/block/rblk0/queue/scheduler
    grep -F "[$1]" /sys/block/rblk0/queue/scheduler
    yes "$1" | dd of=/dev/rblk0 bs=256k count=4 iflag=fullblock oflag=direct
    yes "$1" | cmp -n 1048576 - /dev/rblk0
    echo none >/sys/block/rblk0/queue/scheduler
}

schedulers() {
    for name in mq-deadline kyber bfq; do
        modprobe -q "$name" || true # not every kernel has it
    done
    names=$(tr -d '[]' </sys/block/rblk0/queue/scheduler)
    [ "$(echo "$names" | wc -w)" -ge 2 ]
    for name in $names; do
        scheduler_works "$name"
    done
}

check "100 MiB in blocks of 512 bytes" geometry 100 512
check "an odd number of MiB in blocks of 1024 bytes" geometry 3 1024
check "1 MiB in blocks of 2048 bytes" geometry 1 2048
check "8 EiB less 1 MiB, not backed by memory" geometry 8796093022207 512 memory_backed=0
check "8 TiB in blocks of 4096 bytes, not backed by memory" geometry 8388608 4096 memory_backed=0
check "less than a block is refused" smaller_io_is_refused
check "a request is up to 32 MiB long, in any pieces" request_limits
check "discard and write zeroes are up to 32 MiB long" zeroing_limits
check "it is a plain disk that does not rotate" plain_disk
check "discard=0 leaves no discard, but the data and write zeroes" discard_is_off
check "write_cache is shown" write_cache_shows
check "no scheduler on one queue" no_scheduler submit_queues=1
check "no scheduler on the default number of queues" no_scheduler submit_queues=0
check "every scheduler can be chosen, and works" schedulers
check "writeback is not throttled, until the user wants it" no_throttling
finish
