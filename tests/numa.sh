#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# Each hardware queue lies on the NUMA node of its CPUs, and home_node says where the data lies.
NODES=/sys/devices/system/node
# list FILE: the numbers of a list like 0-2,5, one a line
list() { tr ',' '\n' <"$1" | awk -F - '{ for (i = $1; i <= $NF; i++) print i }'; }
[ -e "$NODES/has_memory" ] || skip_all "this kernel knows no NUMA nodes"
[ "$(list "$NODES/has_memory" | wc -l)" -ge 2 ] || skip_all "this machine has a single NUMA node"
plan 6

SIZE_MIB=128
MQ=/sys/block/rblk0/mq

node_of_cpu() { # node_of_cpu CPU
    for node in /sys/devices/system/cpu/cpu"$1"/node*; do
        echo "${node##*/node}"
    done
}

# Of each queue that serves the CPUs of one node; and there is such a queue for each node with CPUs.
queues_lie_with_their_cpus() { # queues_lie_with_their_cpus PARAMETER=VALUE...
    reload size=16 "$@"
    grep -H . "$MQ"/*/cpu_list
    awk '{ print $1, $2, $3, $4 }' "$DEBUGFS/rblk0/queues"
    # So do its data and its completion ring.
    awk 'NR > 1 && ($3 != $2 || $4 != $2) { exit 1 }' "$DEBUGFS/rblk0/queues"
    for queue in "$MQ"/*; do
        tr -s ', ' '\n' <"$queue/cpu_list" | while read -r cpu; do node_of_cpu "$cpu"; done | sort -u >"$WORK/nodes"
        node=$(awk -v queue="${queue##*/}" 'NR > 1 && $1 == queue { print $2 }' "$DEBUGFS/rblk0/queues")
        grep -qx "$node" "$WORK/nodes"
        [ "$(wc -l <"$WORK/nodes")" -eq 1 ] || echo "queue ${queue##*/} serves several nodes"
        sed "s/^/${queue##*/} /" "$WORK/nodes"
    done >"$WORK/queues-and-nodes"
    cat "$WORK/queues-and-nodes"
    [ "$(grep -c serves "$WORK/queues-and-nodes")" -eq 0 ]
    awk '{ print $2 }' "$WORK/queues-and-nodes" | sort -un >"$WORK/used"
    list "$NODES/has_cpu" | sort -n | diff - "$WORK/used"
}

free_kib() { awk '/MemFree:/ { print $4 }' "$NODES/node$1/meminfo"; } # free_kib NODE

# store_is_on NODE: of the device's memory, all but the odd page is taken from there.
store_is_on() {
    unload
    echo 3 >/proc/sys/vm/drop_caches
    for node in $(list "$NODES/has_memory"); do
        free_kib "$node" >"$WORK/free-$node"
    done
    load "size=$SIZE_MIB" "home_node=$1"
    for node in $(list "$NODES/has_memory"); do
        taken_mib=$((($(cat "$WORK/free-$node") - $(free_kib "$node")) / 1024))
        echo "taken from node $node: $taken_mib MiB"
        if [ "$node" = "$1" ]; then
            [ "$taken_mib" -ge $((SIZE_MIB * 9 / 10)) ]
        else
            [ "$taken_mib" -le $((SIZE_MIB / 4)) ]
        fi
    done
    dd if=/dev/urandom of="$WORK/noise" bs=1M count=4 iflag=fullblock status=none
    dd if="$WORK/noise" of=/dev/rblk0 bs=1M oflag=direct status=none
    cmp -n $((4 << 20)) "$WORK/noise" /dev/rblk0
}

each_home_node() {
    for home in $(list "$NODES/has_memory"); do
        store_is_on "$home"
    done
}

# Where the data lies does not move the queues.
queues_stay() {
    for home in $(list "$NODES/has_memory"); do
        queues_lie_with_their_cpus "home_node=$home"
    done
}

no_such_node() {
    for node in $(($(list "$NODES/has_memory" | tail -n 1) + 1)) 1023; do
        unload
        fails_with "Invalid parameters" insmod "$RNULLBLK_KO" "home_node=$node"
        log_has "rnullblk: home_node=$node refused: allowed is -1 \(any\), or a node that has memory"
    done
}

check "a queue for each CPU" queues_lie_with_their_cpus
check "queues of each kind" queues_lie_with_their_cpus \
    "read_queues=$(getconf _NPROCESSORS_CONF)" "poll_queues=$(getconf _NPROCESSORS_CONF)"
check "a queue for each node" queues_lie_with_their_cpus "submit_queues=$(list "$NODES/has_cpu" | wc -l)"
check "home_node is where the data is" each_home_node
check "wherever that is, queues lie with their CPUs" queues_stay
check "a node without memory is refused" no_such_node
finish
