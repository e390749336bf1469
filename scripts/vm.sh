#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm.sh RESULTS COMMAND: boots the stock kernel, runs the shell COMMAND in the guest with this
# tree's rnullblk.ko, rblkctl, docs/, example/, tests/ and scripts/ in /payload, and exits as COMMAND did. What COMMAND
# leaves in the guest's /results is then in the directory RESULTS, with the kernel's log as kernel.log.
#   VM_ACCEL    accelerator (default: KVM where it works, else TCG)
#   VM_CPUS, VM_MEMORY_MIB          default 2 and 2048, in VM_NODES (2) NUMA nodes of the same size
#   VM_SILENCE, VM_SECONDS          longest time without output, and at all; default 240 and 7200
#   VM_APPEND                       more parameters for the kernel
#   VM_IMAGE                        another directory with a guest image, which brings its own module and rblkctl
#   VM_ICOUNT=1                     one CPU, whose clock counts instructions: 1 ns each
#   VM_INTERACTIVE=1                the terminal is the guest's; no time limits
# Exit status 124: hung and was stopped. 125: the machine ended without saying how COMMAND did.
. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/kernels.sh"

results=$(realpath -m "$1") command=$2
silence=${VM_SILENCE:-240}
seconds=${VM_SECONDS:-7200}
icount=()
if [ "${VM_ICOUNT-}" = 1 ]; then
    VM_ACCEL=tcg,thread=single VM_CPUS=1 VM_NODES=1
    icount=(-icount "shift=0,sleep=off")
fi
accel=${VM_ACCEL:-$("$SCRIPTS/accel.sh")}
# Without "fast" string instructions: the emulator does them byte by byte, and the kernel's other way of
# clearing and copying is many times faster there.
cpu=max,-erms,-fsrm
[ "$accel" != kvm ] || cpu=host
# An old model, so that the figures are those of code for any machine, and stay comparable.
[ "${VM_ICOUNT-}" != 1 ] || cpu=Nehalem
# The emulator's TSC is the host's. On a loaded host the guest measures it too slow, and its clock then runs many times
# too fast, so it is told what the host's kernel measured, where that can be read. And what keeps an attacker from what a
# processor gives away takes a fifth of the time there, and keeps nobody from anything.
emulated=
if [[ $accel = tcg* ]] && [ "${VM_ICOUNT-}" != 1 ]; then
    detected='s/.*tsc: Detected \([0-9]*\)\.\([0-9]\{3\}\) MHz processor.*/tsc_early_khz=\1\2/p'
    emulated="mitigations=off $({ dmesg 2>/dev/null || true; } | sed -n "$detected" | tail -n 1)"
fi
# The debug kernel has no ACPI to tell it of the nodes, so it splits the memory itself.
nodes=
[ "$FLAVOUR" != debug ] || nodes=numa=fake=${VM_NODES:-2}

run=$(realpath "$(mktemp -d)")
qemu_pid=
# shellcheck disable=SC2317 # called by trap
cleanup() {
    [ -z "$qemu_pid" ] || kill -KILL "$qemu_pid" 2>/dev/null || true
    rm -rf "$run"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

make_disks() {
    echo "$command" >"$run/command"
    local built=()
    if [ -z "${VM_IMAGE-}" ]; then
        built=(-C "$TOP" rnullblk.ko)
        [ ! -e "$TOP/build/tools/vm/rblkctl" ] || built+=(-C "$TOP/build/tools/vm" rblkctl)
    fi
    tar -c -f "$run/payload" -C "$TOP" README.md CONTRIBUTING.md docs example tests scripts samples system \
        tools/crash-campaign "${built[@]}" \
        -C "$KERNEL_TREE" ktap_helpers.sh -C "$run" command
    truncate -s 256M "$run/results"
}

disk() { # disk FILE FORMAT-OPTIONS
    echo "file=/host$1,format=raw,if=virtio,$2"
}

numa_options() { # a line each
    local node nodes=${VM_NODES:-2} cpus=${VM_CPUS:-2} memory_mib=${VM_MEMORY_MIB:-2048}
    [ $((cpus % nodes)) -eq 0 ] || nodes=1
    for ((node = 0; node < nodes; node++)); do
        printf '%s\n' -object "memory-backend-ram,id=node$node,size=$((memory_mib / nodes))M" \
            -numa "node,nodeid=$node,memdev=node$node,cpus=$((cpus * node / nodes))-$((cpus * (node + 1) / nodes - 1))"
    done
    # A node is a socket: the kernel warns of cores of one socket on several nodes.
    printf '%s\n' -smp "$cpus,sockets=$nodes,cores=$((cpus / nodes))" -m "$((memory_mib / nodes * nodes))M"
}

start_qemu() { # start_qemu CHARDEV-OPTIONS EXTRA-KERNEL-PARAMETERS
    local numa
    mapfile -t numa < <(numa_options)
    # Without an HPET, a watchdog over the TSC, and a check of the timer: under emulation on a loaded host these three
    # have kept the guest from booting.
    TMPDIR=$run exec setpriv --pdeathsig KILL -- "$SCRIPTS/qemu.sh" \
        -machine pc,hpet=off -accel "$accel" "${icount[@]}" -cpu "$cpu" "${numa[@]}" \
        -nodefaults -no-user-config -display none -no-reboot \
        -drive "$(disk "${VM_IMAGE:-$GUEST_IMAGE}/image" snapshot=on)" \
        -drive "$(disk "$KERNEL_TREE/modules.img" readonly=on)" \
        -drive "$(disk "$run/payload" readonly=on)" \
        -drive "$(disk "$run/results" cache=unsafe)" \
        -serial "file:/host$results/kernel.log" \
        -device virtio-serial -chardev "stdio,id=user,$1" -device virtconsole,chardev=user \
        -kernel "/host$KERNEL_TREE/vmlinuz" -initrd "/host$KERNEL_TREE/initramfs" \
        -append "console=ttyS0 panic=-1 softlockup_panic=1 hung_task_panic=1 log_buf_len=4M tsc=reliable $emulated no_timer_check $nodes ${VM_APPEND-} $2"
}

# Passes the guest's output on, until it ends or the guest is silent or busy for too long.
watch_output() {
    local line limit status deadline=$((SECONDS + seconds))
    while :; do
        limit=$((deadline - SECONDS))
        [ "$limit" -gt 0 ] || break
        [ "$limit" -lt "$silence" ] || limit=$silence
        status=0
        IFS= read -r -t "$limit" line || status=$?
        [ "$status" -ne 0 ] && [ -z "$line" ] || printf '%s\n' "${line%$'\r'}"
        case $status in
        0) ;;
        1) return 0 ;; # the end
        *) [ -n "$line" ] || break ;; # too long; but a line that is not at its end is no silence
        esac
    done
    if [ "$SECONDS" -ge "$deadline" ]; then
        end="was not done after $seconds s, and was stopped"
    else
        end="was silent for $silence s, and was stopped"
    fi
    return 124
}

mkdir -p "$results"
rm -f "$results/exit-status"
make_disks

watched=0
end="went down before the command ended"
if [ "${VM_INTERACTIVE-}" = 1 ]; then
    saved_terminal=$(stty -g 2>/dev/null || true)
    start_qemu signal=off "console=hvc0 quiet" <&0 &
    qemu_pid=$!
    wait "$qemu_pid" || true
    [ -z "$saved_terminal" ] || stty "$saved_terminal"
else
    mkfifo "$run/output"
    start_qemu signal=off "" </dev/null >"$run/output" 2>&1 &
    qemu_pid=$!
    watch_output <"$run/output" || watched=$?
    [ "$watched" -eq 0 ] || kill -KILL "$qemu_pid" 2>/dev/null || true
    wait "$qemu_pid" 2>/dev/null || true
fi
qemu_pid=

tar -x -f "$run/results" -C "$results" --no-same-owner --no-overwrite-dir 2>/dev/null || true
if [ "$watched" -eq 0 ] && [ -e "$results/exit-status" ]; then
    exit "$(cat "$results/exit-status")"
fi
echo "The end of the kernel's log:"
tail -n 45 "$results/kernel.log" | tr -d '\r' | sed 's/^/    /'
echo "error: the virtual machine $end"
exit "$((watched ? watched : 125))"
