#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exact.sh: in a guest whose clock counts instructions, 1 ns each, measures the drivers one after the other: with
# biogen.ko, below the system calls; through fio; and making and filling whole devices. With QUICK=1 only that on
# which most depends.
set -eu
. "$(dirname "$0")/lib.sh"

MIB=64
# work operation bytes depth count
WORKS="4k-randread-qd1 read 4096 1 4000
4k-randread-qd32 read 4096 32 8000
4k-randread-qd128 read 4096 128 8000
4k-randwrite-qd1 write 4096 1 4000
4k-randwrite-qd32 write 4096 32 8000
4k-randwrite-qd128 write 4096 128 8000
4k-mixed-qd32 mixed 4096 32 8000
512-randread-qd32 read 512 32 8000
512-randwrite-qd32 write 512 32 8000
128k-read-qd8 read 131072 8 400
128k-write-qd8 write 131072 8 400
1m-read-qd1 read 1048576 1 64
1m-write-qd1 write 1048576 1 64"

biogen() { # biogen DRIVER VARIANT WORK OPERATION BYTES DEPTH COUNT
    local mark="exact.sh: $1 $2 $3" said each
    echo "$mark" >/dev/kmsg
    if said=$(insmod "$BENCH/biogen.ko" "device=/dev/$disk" "op=$4" "bytes=$5" "depth=$6" "count=$7" "mib=$MIB" 2>&1); then
        fail "biogen stayed loaded"
    fi
    each=$(dmesg | awk -v mark="$mark" '
        index($0, mark) { line = ""; next }
        / biogen: / { line = $0 }
        END {
            if (!match(line, /: [0-9]+ I\/Os in [0-9]+ ns$/)) exit 1
            split(substr(line, RSTART), part, " ")
            printf "%.0f\n", part[5] / part[2]
        }') || fail "$1, $3: $said"
    figure instructions "$3$2" "$1" "$each"
}

biogen_works() { # biogen_works DRIVER VARIANT PATTERN
    local work
    echo "$WORKS" | grep -E -- "$3" | while read -r work; do
        # shellcheck disable=SC2086 # words
        biogen "$1" "$2" $work
    done
}

# fio_figure DRIVER WORK FIO-OPTION...: of the second of two runs.
FIO_IOS=40000
fio_figure() {
    local driver=$1 work=$2 each
    shift 2
    set -- --name=bench "--filename=/dev/$disk" "--size=${MIB}m" --io_size=1g --direct=1 --thread --norandommap \
        --randrepeat=1 --gtod_reduce=1 --bs=4k --output-format=json "$@"
    fio --number_ios=2000 "$@" >/dev/null
    each=$(fio --number_ios="$FIO_IOS" "$@" | sed -n '/^{/,$p' | jq '.jobs[0] |
        if .error != 0 then error("fio: error \(.error)") else . end |
        (.read.runtime + .write.runtime) * 1000000 / (.read.total_ios + .write.total_ios)')
    figure fio_instructions "$work" "$driver" "$each"
}

fio_works() { # fio_works DRIVER
    local rw
    for rw in randread randwrite; do
        fio_figure "$1" "4k-$rw-psync" --rw="$rw" --ioengine=psync
        fio_figure "$1" "4k-$rw-io_uring" --rw="$rw" --ioengine=io_uring --fixedbufs --registerfiles \
            --iodepth=64 --iodepth_batch_submit=32 --iodepth_batch_complete_min=32 --iodepth_batch_complete_max=32
    done
}

polled_work() { # polled_work DRIVER
    fio_figure "$1" 4k-randread-io_uring-polled --rw=randread --ioengine=io_uring --hipri --fixedbufs --registerfiles \
        --iodepth=64 --iodepth_batch_submit=32 --iodepth_batch_complete_min=32 --iodepth_batch_complete_max=32
}

discard_whole() { # discard_whole DRIVER
    local whole
    whole=$(python3 -c '
import fcntl, os, struct, sys, time
device = os.open(sys.argv[1], os.O_RDWR)
whole = struct.pack("QQ", 0, os.lseek(device, 0, os.SEEK_END))
start = time.monotonic_ns()
fcntl.ioctl(device, 0x1277, whole)  # BLKDISCARD
print(time.monotonic_ns() - start)' "/dev/$disk")
    figure whole_device "discard-$MIB-mib" "$1" "$whole"
}

now() { echo "${EPOCHREALTIME/./}000"; } # in nanoseconds

# What the kernel needs to zero as much for a process, in large pages.
zeroing() { # zeroing MIB
    python3 -c '
import mmap, sys, time
start = time.monotonic_ns()
area = mmap.mmap(-1, int(sys.argv[1]) << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
print(time.monotonic_ns() - start)' "$1"
}

# What drivers free they free in the background, too; and pages that wait for their CPU are free.
free_kib() {
    sync
    sleep 5
    echo 3 >/proc/sys/vm/drop_caches
    awk '/ nr_free_pages / || $1 == "count:" { pages += $2 } END { print pages * 4 }' /proc/zoneinfo
}

whole_devices() { # whole_devices MIB
    local mib=$1 driver before start zeroing
    if [ "$(free_kib)" -lt $((mib * 9 << 7)) ]; then # with an eighth to spare
        echo "== no room for a device of $mib MiB: give the machine more with VM_MEMORY_MIB" >&2
        return
    fi
    zeroing=$(zeroing "$mib")
    figure whole_device "create-$mib-mib" zeroing "$zeroing"
    for driver in $ALL; do
        # What loading needs is in memory then.
        make_disk "$driver" 1
        remove_disk
        before=$(free_kib)
        make_disk "$driver" 1
        remove_disk
        start=$(now)
        make_disk "$driver" "$mib"
        figure whole_device "create-$mib-mib" "$driver" $(($(now) - start))
        fill "$mib"
        figure memory_overhead_kib "$mib-mib-filled" "$driver" $((before - $(free_kib) - (mib << 10)))
        remove_disk
    done
}

thin_store() { # thin_store PATTERN
    make_disk rnullblk "$MIB" store=thin
    fill "$MIB"
    biogen_works rnullblk "-thin" "$1"
    remove_disk
}

fact exact_cpu_model "$(sed -n '/^model name/ { s/.*: //; p; q }' /proc/cpuinfo)"
if [ "${QUICK-}" = 1 ]; then
    for driver in $ALL; do
        make_disk "$driver" "$MIB"
        fill "$MIB"
        biogen_works "$driver" "" "4k-rand.*-qd(1|32) |read-qd[18] "
        remove_disk
    done
    for driver in $WITH_QUEUES; do
        make_disk "$driver" "$MIB" memory_backed=0 discard=0
        biogen_works "$driver" "-no-data" "4k-randread-qd32 |128k-read"
        remove_disk
    done
    thin_store "4k-rand.*-qd(1|32) "
    exit
fi
for driver in $ALL; do
    make_disk "$driver" "$MIB"
    fill "$MIB"
    biogen_works "$driver" "" .
    discard_whole "$driver"
    fill "$MIB"
    fio_works "$driver"
    remove_disk
done
for driver in $WITH_QUEUES; do
    make_disk "$driver" "$MIB" hw_queue_depth=128
    fill "$MIB"
    biogen_works "$driver" "-same-depth" "4k-rand.*-qd32 "
    remove_disk
    make_disk "$driver" "$MIB" memory_backed=0 discard=0
    biogen_works "$driver" "-no-data" .
    remove_disk
    make_disk "$driver" "$MIB" memory_backed=0 discard=0 irqmode=1
    biogen_works "$driver" "-no-data-softirq" "4k-rand.*-qd(1|32) "
    remove_disk
    make_disk "$driver" "$MIB" irqmode=1
    fill "$MIB"
    biogen_works "$driver" "-softirq" "4k-rand.*-qd(1|32) "
    remove_disk
    make_disk "$driver" "$MIB" irqmode=2 completion_nsec=10000
    fill "$MIB"
    biogen_works "$driver" "-timer-10us" "4k-randread-qd(1|32) "
    remove_disk
    make_disk "$driver" "$MIB" poll_queues=1
    fill "$MIB"
    polled_work "$driver"
    remove_disk
done
thin_store .
whole_devices 256
whole_devices 4096
