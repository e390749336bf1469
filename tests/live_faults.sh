#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Faults can be switched on and off under a device in use, strike as often as they say, and the same again with the
# same seed.
plan 7

expect_log 'I/O error, dev dut|Buffer I/O error on dev(ice)? dut'
pick_seed

reads() { # reads COUNT: of 4 KiB one by one, and goes on where one fails; prints which failed
    python3 -c '
import mmap, os, sys
disk = os.open("/dev/dut", os.O_RDONLY | os.O_DIRECT)
buffer = mmap.mmap(-1, 4096)
failed = []
for i in range(int(sys.argv[1])):
    try:
        os.preadv(disk, [buffer], i * 4096)
    except OSError:
        failed.append(i)
print(*failed)' "$1"
}

# Off, on and off again. What is forgotten times out after a second.
timeouts_come_and_go() {
    power dut 1
    echo 500 >/sys/block/dut/queue/io_timeout
    [ -z "$(reads 20)" ]
    set_to dut timeout_inject 4,100,0,3
    [ "$(reads 20)" = "3 7 11" ] # three times, every fourth
    [ "$(counter timeouts '' dut)" -eq 3 ]
    set_to dut timeout_inject 1,100,0,-1
    [ "$(reads 2)" = "0 1" ]
    set_to dut timeout_inject 0,0,0,0
    [ -z "$(reads 20)" ]
    power dut 0
}

# With timeout_retry nothing fails, it only takes longer.
retried() {
    power dut 1
    echo 500 >/sys/block/dut/queue/io_timeout
    set_to dut timeout_retry 1
    set_to dut timeout_inject 1,100,0,2
    [ -z "$(reads 5)" ]
    [ "$(counter timeouts '' dut)" -eq 2 ]
    [ "$(counter requeues '' dut)" -eq 2 ]
    power dut 0
    set_to dut timeout_retry 0
    set_to dut timeout_inject 0,0,0,0
}

requeues_come_and_go() {
    power dut 1
    [ -z "$(reads 20)" ]
    [ "$(counter requeues '' dut)" -eq 0 ]
    set_to dut requeue_inject 1,100,0,10
    [ -z "$(reads 20)" ]
    [ "$(($(counter requeues '' dut) + $(counter refusals '' dut)))" -eq 10 ]
    set_to dut requeue_inject 0,0,0,0
    [ -z "$(reads 20)" ]
    [ "$(($(counter requeues '' dut) + $(counter refusals '' dut)))" -eq 10 ]
    power dut 0
}

# After so many bytes: the third request of 4 KiB is the first that can be struck.
after_some_bytes() {
    power dut 1
    reads 1 # the first open looks for partitions
    echo 500 >/sys/block/dut/queue/io_timeout
    set_to dut timeout_inject 1,100,8192,1
    [ "$(reads 5)" = 2 ]
    set_to dut timeout_inject 0,0,0,0
    power dut 0
}

# The same seed strikes the same requests, another one others; across power, and when it is set anew.
seeds() {
    set_to dut timeout_inject 1,30,0,-1
    set_to dut fault_seed "$1"
    power dut 1
    echo 100 >/sys/block/dut/queue/io_timeout
    reads 30 # one in 40000 seeds strikes none of them; each that is struck takes a second
    power dut 0
}

repeatable() {
    power dut 0
    # The kernel's look for partitions is a read, too, and the first.
    one=$(seeds "$seed")
    two=$(seeds "$seed")
    other=$(seeds $((seed + 1000)))
    echo "one: $one; two: $two; other: $other"
    [ -n "$one" ]
    [ "$one" = "$two" ]
    [ "$one" != "$other" ]
    set_to dut timeout_inject 0,0,0,0
}

repeatable_with_the_power_on() {
    power dut 1
    echo 100 >/sys/block/dut/queue/io_timeout
    reads 1
    set_to dut timeout_inject 1,10,0,-1
    set_to dut fault_seed "$seed"
    one=$(reads 50)
    set_to dut fault_seed "$seed"
    [ "$(reads 50)" = "$one" ]
    set_to dut timeout_inject 0,0,0,0
    power dut 0
}

# A queue that cannot be made: neither at power on, nor when there shall be more.
no_more_queues() {
    set_to dut submit_queues 1
    set_to dut init_hctx_fault_inject 1,100,0,-1
    fails_with "." set_to dut power 1
    log_has 'rnullblk: dut: not made'
    has dut power 0
    set_to dut init_hctx_fault_inject 0,0,0,0
    power dut 1
    set_to dut init_hctx_fault_inject 1,100,0,-1
    fails_with "Cannot allocate memory" set_to dut submit_queues 2
    has dut submit_queues 1
    [ -z "$(reads 5)" ]
    set_to dut init_hctx_fault_inject 0,0,0,0
    set_to dut submit_queues 2
    [ -z "$(reads 5)" ]
    power dut 0
}

expect_log 'Increasing nr_hw_queues to .* fails'
load nr_devices=0
new dut
set_to dut size 4
check "timeouts come and go" timeouts_come_and_go
check "what timed out is tried again" retried
check "requeues come and go" requeues_come_and_go
check "after so many bytes" after_some_bytes
check "the same seed, the same faults" repeatable
check "the same seed under a device in use" repeatable_with_the_power_on
check "hardware queues that cannot be made" no_more_queues
finish
