#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The demo, inside the guest: a RAM disk from insmod to rmmod, each command shown before it runs.
set -eu -o pipefail

steps=0
step=start
report_failure() {
    status=$?
    [ "$status" -eq 0 ] || printf '\nFAILED in step %d, %s\n' "$steps" "$step"
    exit "$status"
}
trap report_failure EXIT

step() {
    steps=$((steps + 1))
    step=$*
    printf '\n--- %d. %s\n' "$steps" "$step"
}

run() { # run 'SHELL COMMAND'
    printf '# %s\n' "$1"
    eval "$1"
}

cd /payload
printf '\n%s\n' "$(uname -srv)"

step "a RAM disk appears"
run 'insmod rnullblk.ko'
run 'lsblk -o NAME,SIZE,TYPE,PHY-SEC,LOG-SEC,ROTA,DISC-MAX /dev/rblk0'

step "an ext4 file system on it"
run 'mkfs.ext4 -q /dev/rblk0'
run 'mount /dev/rblk0 /mnt'
run 'df -h /mnt'

step "files written, and read back from the device"
cat >/tmp/write-files.py <<'END'
import random
noise = random.Random(42)
for number in range(8):
    with open(f"/mnt/file{number}", "wb") as file:
        file.write(noise.randbytes(4 << 20))
END
run 'python3 /tmp/write-files.py  # 8 files of 4 MiB'
run 'sha256sum /mnt/file* >/tmp/sums'
run 'sync; echo 3 >/proc/sys/vm/drop_caches'
run 'sha256sum --check /tmp/sums'

step "random 4 KiB writes by four jobs, each block verified by its checksum"
run 'fio --name=verify --directory=/mnt --rw=randwrite --bs=4k --size=8m --numjobs=4 --direct=1 \
    --ioengine=io_uring --iodepth=16 --verify=crc32c --verify_fatal=1 --group_reporting |
    grep -E "err=|read:|write:|IOPS"'

step "what each hardware queue did"
cat >/tmp/turned.awk <<'EOF'
{ for (i = 1; i <= NF; i++) line[i] = line[i] sprintf(NR == 1 ? "%-19s" : "%9s", $i) }
END { for (i = 1; i in line; i++) print line[i] }
EOF
run 'awk -f /tmp/turned.awk /sys/kernel/debug/rnullblk/rblk0/queues  # a column a queue'

step "another one, made and changed at run time"
run 'rblkctl create fast --size 512M --blocksize 4k --queues 1'
run 'mkfs.ext4 -q /dev/fast'
run 'mkdir -p /mnt/fast && mount /dev/fast /mnt/fast'
run 'rblkctl set fast size=1G submit_queues=2'
run 'resize2fs /dev/fast 2>&1 | grep "is now"'
run 'rblkctl list'
run 'umount /mnt/fast && rmdir /mnt/fast'
run 'rblkctl remove fast'

step "free space given back, file system checked"
run 'fstrim -v /mnt'
run 'umount /mnt'
run 'e2fsck -fn /dev/rblk0'

step "the RAM disk goes away"
run 'rmmod rnullblk'
run 'test ! -e /dev/rblk0'

step "the kernel has nothing to complain about"
run '! dmesg | grep -E "BUG|WARNING|Oops|Call Trace|I/O error"'

printf '\nAll %d steps passed.\n' "$steps"
