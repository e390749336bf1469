#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Two devices with share_store are two ways to the same data, whichever comes or goes first; what does not fit is refused.
plan 10

MIB=3

# pair: "one" with its own store, and "two" with the same
pair() {
    new two
    new one
    set_to one size $MIB
    power one 1
    set_to two share_store one
    power two 1
}

fill() { noise $MIB | dd of="/dev/$1" bs=1M oflag=direct iflag=fullblock status=none; } # fill DEVICE

same() { # both have the content of fill
    noise $MIB | sha256sum >"$WORK/expected"
    for device in "$@"; do
        sum_of "/dev/$device" | diff "$WORK/expected" -
    done
}

refused() { # refused DEVICE ATTRIBUTE VALUE ALLOWED: and changes nothing
    read -r before <"$CONFIG/$1/$2"
    fails_with "Invalid argument|No such device" set_to "$1" "$2" "$3"
    log_has "$1: $2=$3 refused: allowed is $4"
    has "$1" "$2" "$before"
}

both_ways() {
    pair
    has two share_store one
    fill one
    same two
    seed=$((seed + 1))
    fill two
    same one
}

zeroes() {
    pair
    fill one
    blkdiscard --offset 0 --length 1M /dev/one
    blkdiscard --zeroout --offset 1M --length 1M /dev/two
    for device in one two; do
        dd if=/dev/$device bs=1M count=2 iflag=direct status=none | cmp -n $((2 << 20)) - /dev/zero
        dd if=/dev/$device bs=1M skip=2 iflag=direct status=none | sha256sum
    done >"$WORK/rests"
    [ "$(sort -u "$WORK/rests" | wc -l)" -eq 1 ]
}

# The one whose store it was goes and comes back, with what was written meanwhile. The other one comes back, too.
first_goes() {
    pair
    power one 0
    fill two
    same two
    power one 1
    same one two
    power two 0
    same one
    power two 1
    same one two
}

# The memory is there as long as either device, and is given back with the last.
for_good() {
    new two
    new one
    rmdir "$CONFIG/one"
    before=$(used_kib)
    mkdir "$CONFIG/one"
    set_to one size 64
    power one 1
    set_to two share_store one
    power two 1
    noise $MIB | dd of=/dev/one bs=1M oflag=direct iflag=fullblock status=none
    rmdir "$CONFIG/one"
    [ $(($(used_kib) - before)) -gt $((60 << 10)) ]
    noise $MIB | cmp -n $((MIB << 20)) - /dev/two
    set_to two size 65 # alone by now, it can grow
    noise $MIB | cmp -n $((MIB << 20)) - /dev/two
    power two 0
    memory_is_back "$before" $((16 << 10))
    # Its own store it gives up for another one's.
    set_to two share_store ''
    power two 1
    power two 0
    mkdir "$CONFIG/one"
    set_to one size 1
    power one 1
    set_to two share_store one
    power two 1
    memory_is_back "$before" $((16 << 10))
}

size_is_shared() {
    pair
    has two size $MIB
    for device in one two; do
        fails_with "Device or resource busy" set_to $device size $((MIB + 1))
        log_has "$device: size=$((MIB + 1)) refused: allowed is $MIB while another device shares the store"
        fails_with "Device or resource busy" set_to $device size "1 force"
        set_to $device size $MIB
        [ "$(blockdev --getsize64 /dev/$device)" -eq $((MIB << 20)) ]
    done
    fill one
    power one 0
    for size in $((MIB + 1)) $((MIB - 1)); do
        set_to one size $size
        fails_with "Invalid argument" set_to one power 1
        log_has "one: size=$size refused: allowed is $MIB while the store is shared"
    done
    set_to one size $MIB
    power one 1
    same one two
    power two 0
    set_to one size $((MIB + 2))
    power two 1
    has two size $((MIB + 2))
}

wrong_names() {
    allowed="nothing, or the name of another device whose power is on"
    new two
    new one
    set_to one size 1
    for name in nobody one two; do # nobody, one that is off, itself
        refused two share_store $name "$allowed"
    done
    fails_with "Invalid argument" set_to two share_store "$(printf '%0200d' 0)"
    for setting in memory_backed=0 cache_size=1 write_log=1 history_size=1; do
        read -r default <"$CONFIG/one/${setting%=*}"
        set_to one "${setting%=*}" "${setting#*=}"
        power one 1
        refused two share_store one "$allowed"
        power one 0
        set_to one "${setting%=*}" "$default"
    done
    power one 1
    set_to two share_store one
    fails_with "Device or resource busy" set_to one share_store two # its power is on
    # It has gone meanwhile.
    power one 0
    fails_with "No such device" set_to two power 1
    power one 1
    echo 1 >"$DEBUGFS/one/pull_out"
    fails_with "No such device" set_to two power 1
    has two power 0
}

wrong_settings() {
    pair
    for device in two one; do
        power $device 0
        for setting in memory_backed=0 cache_size=1 write_log=1 history_size=1; do
            [ "$device $setting" != "one memory_backed=0" ] || continue # it gives up what it shares
            read -r default <"$CONFIG/$device/${setting%=*}"
            set_to $device "${setting%=*}" "${setting#*=}"
            fails_with "Invalid argument" set_to $device power 1
            log_has "$device: $setting refused: allowed is $default while the store is shared"
            set_to $device "${setting%=*}" "$default"
        done
        power $device 1
    done
}

# Each has its own bad blocks. A third one shares through the second, and one made at load is as good as any.
of_its_own() {
    new three
    pair
    set_to two badblocks +8-15
    set_to two read_only 1
    fill one
    fails_with "Input/output error" dd if=/dev/two of=/dev/null bs=4k skip=1 count=1 iflag=direct
    set_to two badblocks -8-15
    set_to three share_store two
    set_to three blocksize 4096
    power three 1
    rmdir "$CONFIG/one"
    rmdir "$CONFIG/two"
    same three
    new two
    set_to two share_store rblk0
    power two 1
    dd if=/dev/three of=/dev/rblk0 bs=1M iflag=direct oflag=direct status=none
    cmp -n $((MIB << 20)) /dev/three /dev/two
    rmdir "$CONFIG/three"
}

come_and_go() {
    for _ in 1 2 3 4 5; do
        power two 0
        power two 1
    done
    power two 0
}

under_load() {
    new two
    set_to two share_store rblk0
    power two 1
    while_verified_io come_and_go --
}

# A request that is never answered keeps one who wants the store waiting, but not its own device from going.
in_a_hurry() {
    pair
    power two 0
    set_to one timeout_inject 1,100,0,-1
    set_to one timeout_retry 1
    dd if=/dev/one of=/dev/null bs=4k count=1 iflag=direct &
    reader=$!
    wait_for 5 grep -q '^1 started' "$DEBUGFS/one/in_flight"
    set_to two power 1 & # it gets the store, or comes too late
    waiter=$!
    sleep 1
    has one power 1
    quick_power_off one 10
    wait "$waiter" || true
    wait "$reader" || true
}

pick_seed
load size=32
check "what is written to one is read from the other" both_ways
check "discard and write zeroes" zeroes
check "the first one goes, and comes back" first_goes
check "the memory stays as long as either, and no longer" for_good
check "one size for both" size_is_shared
check "names that are refused" wrong_names
check "settings that are refused" wrong_settings
check "what is each device's own" of_its_own
check "one comes and goes while the other is used" under_load
check "whoever waits for the store keeps nobody from going" in_a_hurry
finish
