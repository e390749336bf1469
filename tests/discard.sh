#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Discarded and zeroed ranges read as zeroes, whatever blocks they begin and end at, and no byte beside them
# changes. What a device cannot discard it refuses.
plan 16

pick_seed

DEVICE_MIB=4
DEVICE_BYTES=$((DEVICE_MIB << 20))
RAM=$(mount_dir ram)
mount -t tmpfs tmpfs "$RAM"

# Offset and length in bytes: the first block, one within a page, exactly one page, across two pages,
# pages and parts of them at both ends, the same and long, the last block.
RANGES="0:512 5120:512 12288:4096 31744:1024 36352:9216 1048064:2098176 $((DEVICE_BYTES - 512)):512"

# noise: random bytes for the whole device. holes: the same with RANGES zeroed.
make_images() {
    # shellcheck disable=SC2086 # several words
    python3 -c '
import random, sys
noise = random.Random(int(sys.argv[1])).randbytes(int(sys.argv[2]))
holes = bytearray(noise)
for offset, length in (map(int, word.split(":")) for word in sys.argv[4:]):
    holes[offset : offset + length] = bytes(length)
for name, data in ("noise", noise), ("holes", holes):
    with open(f"{sys.argv[3]}/{name}", "wb") as file:
        file.write(data)
' "$seed" "$DEVICE_BYTES" "$RAM" $RANGES
}

fill() { dd if="$RAM/noise" of=/dev/rblk0 bs=1M oflag=direct status=none; }

device_is() { # device_is IMAGE: byte for byte
    dd if=/dev/rblk0 of="$RAM/now" bs=1M iflag=direct status=none
    cmp "$RAM/now" "$RAM/$1"
}

# The device did it by itself: the block layer can also write zeroes where a device cannot.
by_requests() { # by_requests NUMBER COLUMN COMMAND...
    by_number=$1 by_column=$2
    shift 2
    by_writes=$(counter writes)
    by_before=$(counter "$by_column")
    "$@"
    [ "$(counter writes)" -eq "$by_writes" ] || { echo "zeroes were written"; return 1; }
    by_counted=$(($(counter "$by_column") - by_before))
    [ "$by_counted" -eq "$by_number" ] || { echo "$by_column: $by_counted instead of $by_number"; return 1; }
}

each_range() { # each_range COMMAND...: with the offset and length of each range
    for range in $RANGES; do
        "$@" -o "${range%:*}" -l "${range#*:}" /dev/rblk0
    done
}

only_the_ranges() { # only_the_ranges COLUMN COMMAND...
    column=$1
    shift
    fill
    by_requests 7 "$column" each_range "$@"
    device_is holes
}

whole_device() { # whole_device COLUMN COMMAND...
    column=$1
    shift
    fill
    by_requests 1 "$column" "$@" /dev/rblk0
    cmp -n "$DEVICE_BYTES" /dev/rblk0 /dev/zero
}

# Writes and every way of zeroing, at random, on the device and on a model of it in memory. The page
# cache stays out of it: what is compared at the end is what the device has.
random_mix() { # random_mix BLOCK-SIZE
    fill
    cp "$RAM/noise" "$RAM/model"
    cat >"$WORK/mix.py" <<'END_OF_MIX'
import fcntl, mmap, os, random, struct, sys

BLKDISCARD, BLKZEROOUT = 0x1277, 0x127F
MAX_BYTES = 256 << 10

chance = random.Random(int(sys.argv[1]))
block_size = int(sys.argv[2])
device = os.open(sys.argv[3], os.O_RDWR | os.O_DIRECT)
model_file = os.open(sys.argv[4], os.O_RDWR)
size = os.fstat(model_file).st_size
model = mmap.mmap(model_file, size)
buffer = mmap.mmap(-1, MAX_BYTES)

for _ in range(400):
    length = block_size * chance.randint(1, chance.choice((1, 9, MAX_BYTES // block_size)))
    offset = block_size * chance.randint(0, (size - length) // block_size)
    operation = chance.choice((BLKDISCARD, BLKZEROOUT, "write"))
    if operation == "write":
        buffer[:length] = chance.randbytes(length)
        os.pwritev(device, [memoryview(buffer)[:length]], offset)
        model[offset : offset + length] = buffer[:length]
    else:
        fcntl.ioctl(device, operation, struct.pack("QQ", offset, length))
        model[offset : offset + length] = bytes(length)
END_OF_MIX
    python3 "$WORK/mix.py" "$seed" "$1" /dev/rblk0 "$RAM/model"
    device_is model
}

# All of a device of 34 MiB but its first and last block: the block layer has to split that.
longer_than_a_request() { # longer_than_a_request COLUMN COMMAND...
    column=$1 end=$(((34 << 20) - 512))
    shift
    xfs_io -d -c "pwrite -q -S 0xa5 -b 1m 0 34m" /dev/rblk0
    by_requests 2 "$column" "$@" -o 512 -l $((end - 512)) /dev/rblk0
    cmp -n $((end - 512)) -i 512:0 /dev/rblk0 /dev/zero
    xfs_io -f -c "pwrite -q -S 0xa5 0 512" "$RAM/edge"
    cmp -n 512 /dev/rblk0 "$RAM/edge"
    cmp -n 512 -i "$end:0" /dev/rblk0 "$RAM/edge"
}

discard_is_refused() {
    fill
    [ "$(cat /sys/block/rblk0/queue/discard_max_bytes)" -eq 0 ]
    [ "$(cat /sys/block/rblk0/queue/discard_max_hw_bytes)" -eq 0 ]
    by_requests 0 discards fails_with "Operation not supported" blkdiscard /dev/rblk0
    device_is noise
}

# By each way of asking for it; blkdiscard would check by itself.
part_of_a_block_is_refused() {
    fill
    python3 - <<'END_OF_ASKING'
import errno, fcntl, os, struct

device = os.open("/dev/rblk0", os.O_RDWR)
for what in 0x1277, 0x127F:  # BLKDISCARD, BLKZEROOUT
    for offset, length in (512, 512), (0, 512), (512, 4096), (4096, 4608):
        try:
            fcntl.ioctl(device, what, struct.pack("QQ", offset, length))
        except OSError as error:
            assert error.errno == errno.EINVAL, error
        else:
            raise SystemExit(f"ioctl {what:#x} of {length} bytes at {offset} was not refused")
END_OF_ASKING
    fails_with "Invalid argument" fallocate -p -o 512 -l 512 /dev/rblk0
    fails_with "Invalid argument" fallocate -z -o 512 -l 512 /dev/rblk0
    device_is noise
}

make_images
load "size=$DEVICE_MIB"
check "discard zeroes its range and no other byte" only_the_ranges discards blkdiscard
check "write zeroes zeroes its range and no other byte" only_the_ranges write_zeroes blkdiscard -z
check "punching a hole zeroes its range and no other byte" only_the_ranges write_zeroes fallocate -p
check "zeroing a range zeroes it and no other byte" only_the_ranges write_zeroes fallocate -z
check "discard of the whole device" whole_device discards blkdiscard
check "write zeroes to the whole device" whole_device write_zeroes blkdiscard -z
check "discards, zeroes and writes at random, in blocks of 512 bytes" random_mix 512

reload size=34
check "a discard longer than a request" longer_than_a_request discards blkdiscard
check "a write zeroes longer than a request" longer_than_a_request write_zeroes blkdiscard -z

reload "size=$DEVICE_MIB" discard=0
check "discard=0: a discard is refused and changes nothing" discard_is_refused
check "discard=0: write zeroes works" only_the_ranges write_zeroes blkdiscard -z
check "discard=0: punching a hole works" only_the_ranges write_zeroes fallocate -p

reload "size=$DEVICE_MIB" blocksize=4096
check "blocks of 4096: a part of a block is refused and nothing changes" part_of_a_block_is_refused
check "blocks of 4096: discard of the whole device" whole_device discards blkdiscard
check "blocks of 4096: write zeroes to the whole device" whole_device write_zeroes blkdiscard -z
check "discards, zeroes and writes at random, in blocks of 4096 bytes" random_mix 4096
finish
