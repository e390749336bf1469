#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# run.sh [NAME...] | --list: runs the test scripts beside it, all or those named, on this machine; those of a
# directory only if they are named, like debug/kunit. Needs root and what lib.sh says. Prints nested KTAP; a script
# also fails when it stops early, leaves the module loaded, or makes the kernel complain without having announced it. It is
# one failure more if in the end there is memory that nobody knows, where kmemleak is on. Ends with the totals.
#   TEST_SECONDS    longest time for one script; default 400
#   TEST_UNTIL      seconds since 1970: scripts that have not begun by then are skipped
#   TEST_ALWAYS     but not these, with commas between their names
#   RESULTS         a directory to leave the totals and the failures in, instead of printing them
set -u

tests=$(cd "$(dirname "$0")" && pwd)
seconds=${TEST_SECONDS:-400}
# What a healthy kernel does not say.
complaint='BUG|WARNING|Oops|[Pp]anic|Call Trace|general protection fault|unable to handle'
complaint+='|blocked for more than|hung task|soft lockup|hard LOCKUP|stalls? on CPU|rcu.*(detected|self-detected).*stall'
complaint+='|circular locking|recursive locking|inconsistent lock state|lock inversion|suspicious RCU usage'
complaint+='|held lock freed|lock held when returning|INFO: trying to register non-static key'
complaint+='|KASAN|KCSAN|UBSAN|refcount_t:|unreferenced object|new suspected memory leak|ODEBUG|list_(add|del) corruption'

passed=0 failed=0 skipped=0
failures=()

names_of_all() {
    local script
    for script in "$tests"/*.sh; do
        script=$(basename "$script" .sh)
        [ "$script" = lib ] || [ "$script" = run ] || echo "$script"
    done
}

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

seconds_since() { # seconds_since MS
    local ms=$(($(now_ms) - $1))
    printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

complaint_failed() { # complaint_failed SCRIPT WHAT: one more failure, which no result line stands for
    failed=$((failed + 1))
    failures+=("$1: $2")
    echo "  # FAILED: $2"
}

# Reads a script's output: shows it, counts its results, and remembers its plan.
follow() { # follow SCRIPT
    local line last
    planned=-1 seen=0 seen_failed=0
    last=$(now_ms)
    while IFS= read -r line; do
        case $line in
        1..*[!0-9]*)
            [[ $line != "1..0 # SKIP"* ]] || planned=0 skipped=$((skipped + 1))
            ;;
        1..[0-9]*)
            planned=${line#1..}
            ;;
        "ok "[0-9]* | "not ok "[0-9]*)
            seen=$((seen + 1))
            if [[ $line == "not ok"* ]]; then
                failed=$((failed + 1)) seen_failed=$((seen_failed + 1))
                failures+=("$1: ${line#not ok }")
            elif [[ $line == *"# SKIP"* ]]; then
                skipped=$((skipped + 1))
            else
                passed=$((passed + 1))
            fi
            line="$line # $(seconds_since "$last")"
            last=$(now_ms)
            ;;
        esac
        printf '  %s\n' "$line"
    done
}

# Lockdep reports one bug, and looks for no other then.
lockdep_is_off() { grep -qs 'debug_locks: *0' /proc/lockdep_stats; }

KMEMLEAK=/sys/kernel/debug/kmemleak

# False where kmemleak is off, which makes all else much faster. It takes two scans, of some ten seconds.
scan_for_leaks() { { echo scan >$KMEMLEAK && echo scan >$KMEMLEAK; } 2>/dev/null; }

# Without what blk-mq itself loses of each disk with poll queues (docs/trust.md): hardware queues. The module is gone, so its
# functions have no names.
leaks() {
    awk '
        function judge() { if (!known) printf "%s", object; object = ""; known = decided = 0 }
        /^unreferenced object/ { judge() }
        { object = object $0 "\n" }
        !decided && /^ *0x/ { decided = 1 }
        !decided && /blk_mq_(alloc_and_init|register)_hctx/ { decided = known = 1 }
        END { judge() }' $KMEMLEAK
}

unannounced_log_lines() { # unannounced_log_lines MARK
    dmesg | awk -v mark="$1" 'index($0, mark) { found = 1; next } found' |
        grep -E "$complaint" | grep -vE -f "$EXPECTED_LOG"
}

# Whatever a script left behind must not reach the next one.
tidy_up() {
    local held
    while read -r held; do
        fuser -k -m "$held" 2>/dev/null
        umount "$held"
    done < <(awk '$1 ~ /^\/dev\/rblk/ { print $2 }' /proc/mounts | sort -r)
    rmdir /sys/kernel/config/rnullblk/*/
    rmmod rnullblk
}

# Runs a script for at most its time; then nothing it started in the background lives on.
run_and_reap() { # run_and_reap NAME
    timeout --kill-after=10 "$seconds" "$tests/$1.sh" </dev/null &
    wait $!
    local status=$?
    kill -KILL -- -$! 2>/dev/null # the process group that timeout made
    return "$status"
}

run_script() { # run_script NAME NUMBER
    local name=$1 mark status start output lines before=$failed
    start=$(now_ms)
    mark="rnullblk tests: $name $start begins"
    : >"$EXPECTED_LOG"
    echo "$mark" >/dev/kmsg
    echo "# $name"

    coproc SCRIPT { run_and_reap "$name" 2>&1; }
    # shellcheck disable=SC2153 # set by coproc
    local pid=$SCRIPT_PID
    exec {output}<&"${SCRIPT[0]}"
    follow "$name" <&"$output"
    exec {output}<&-
    wait "$pid" 2>/dev/null
    status=$?

    case $status in
    0 | 4) ;;
    1) [ "$seen_failed" -gt 0 ] || complaint_failed "$name" "exit status 1 without a failed result" ;;
    124 | 137) complaint_failed "$name" "still running after $seconds s, stopped" ;;
    *) complaint_failed "$name" "exit status $status" ;;
    esac
    if [ "$planned" -lt 0 ]; then
        complaint_failed "$name" "no plan: no result was promised, $seen came"
    elif [ "$seen" -ne "$planned" ]; then
        complaint_failed "$name" "$seen results of $planned planned"
    fi
    if lines=$(unannounced_log_lines "$mark"); then
        complaint_failed "$name" "the kernel log has complaints that the test did not announce"
        echo "$lines" | head -n 20 | sed 's/^/  #   /'
    fi
    dmesg | grep -qF "$mark" || complaint_failed "$name" "the kernel log has lost its beginning"
    if [ "$name" != debug/planted ] && lockdep_is_off; then
        complaint_failed "$name" "lockdep has gone off"
    fi
    if [ -d /sys/module/rnullblk ]; then
        complaint_failed "$name" "left the module loaded"
        tidy_up 2>&1 | sed 's/^/  #   /'
    fi

    if [ "$failed" -gt "$before" ]; then
        echo "not ok $2 $name # $(seconds_since "$start")"
    else
        echo "ok $2 $name # $(seconds_since "$start")"
    fi
}

if [ "${1-}" = --list ]; then
    names_of_all
    exit
elif [ $# -eq 0 ]; then
    mapfile -t names < <(names_of_all)
else
    names=("$@")
fi
for name in "${names[@]}"; do
    [[ -x $tests/$name.sh && $name != lib && $name != run ]] || {
        echo "no test named $name; there are: $(names_of_all | tr '\n' ' ')" >&2
        exit 1
    }
done
if [ ${#names[@]} -eq 0 ]; then
    echo "no tests in $tests" >&2
    exit 1
fi
if [ -d /sys/module/rnullblk ]; then
    echo "rnullblk is loaded already: unload it first" >&2
    exit 1
fi

export EXPECTED_LOG
EXPECTED_LOG=$(mktemp)
trap 'rm -f "$EXPECTED_LOG"' EXIT

kmemleak=off
if scan_for_leaks; then
    kmemleak=on
    echo clear >$KMEMLEAK # what was there before
fi
echo "KTAP version 1"
echo "1..${#names[@]}"
number=0
for name in "${names[@]}"; do
    number=$((number + 1))
    if [ "$EPOCHSECONDS" -ge "${TEST_UNTIL:-$((EPOCHSECONDS + 1))}" ] && [[ ",${TEST_ALWAYS-}," != *",$name,"* ]]; then
        skipped=$((skipped + 1))
        echo "ok $number $name # SKIP no time is left"
        continue
    fi
    run_script "$name" "$number"
done

if [ $kmemleak = on ]; then
    sleep 6 # a register or a stack may still know what is gone
    scan_for_leaks || complaint_failed kmemleak "has gone off"
    lines=$(leaks)
    if [ -n "$lines" ]; then
        complaint_failed kmemleak "memory has leaked"
        echo "$lines" | head -n 39 | sed 's/^/  #   /' # the first two of them, whole
    fi
fi

totals="$passed passed, $failed failed, $skipped skipped"
if [ -n "${RESULTS-}" ]; then # someone else reports
    [ "$failed" -eq 0 ] || printf '%s\n' "${failures[@]}" >"$RESULTS/failed"
    echo "$totals" >"$RESULTS/totals"
else
    [ "$failed" -eq 0 ] || printf 'failed: %s\n' "${failures[@]}"
    echo "$totals"
fi
[ "$failed" -eq 0 ]
