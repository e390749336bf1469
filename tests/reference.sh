#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
. "$(dirname "$0")/lib.sh"
# The table of settings in docs/reference.md says of each what the module itself says: name, default, what is allowed, whether it
# can change with the power on, and what it means.
plan 6

REFERENCE=$TESTS/../docs/reference.md
OTHERS="power index badblocks queue_mode power_cut share_store snapshot rollback drop clone_of memory_kib cut_at"

# rows: NAME;DEFAULT;ALLOWED;LIVE;MEANING of each setting there
rows() {
    awk -F ' *[|] *' '
        /^## / { inside = /^## Settings/ }
        inside && $2 ~ /^`/ { gsub("`", "", $2); print $2 ";" $3 ";" $4 ";" $5 ";" $6 }' "$REFERENCE"
}

column() { rows | cut -d ';' -f "$1"; }

# The attributes that are no settings have a table of their own.
all_names() {
    # shellcheck disable=SC2086 # a list
    { column 1 | grep -vx nr_devices && printf '%s\n' $OTHERS; } | sort >"$WORK/in-reference"
    tr ',' '\n' <"$CONFIG/features" | sort | diff "$WORK/in-reference" -
    for name in $OTHERS; do
        grep -q "^| \`$name\` |" "$REFERENCE"
    done
}

meanings() {
    modinfo -F parm "$RNULLBLK_KO" | sed 's/\. Default: .*//' | sort >"$WORK/in-module"
    rows | awk -F ';' '{ text = $5; for (i = 6; i <= NF; i++) text = text ";" $i; print $1 ":" text }' | sort |
        diff - "$WORK/in-module"
}

defaults() {
    modinfo -F parm "$RNULLBLK_KO" | sed 's/^\([a-z_]*\):.*\. Default: \(.*\)$/\1;\2/' | sort >"$WORK/in-module"
    rows | cut -d ';' -f 1,2 | sed 's/;off$/;0/' | sort | diff - "$WORK/in-module"
}

allowed() {
    rows | grep -v '^nr_devices;' >"$WORK/rows"
    while IFS=';' read -r name _; do
        echo nonsense >"$CONFIG/dut/$name" && return 1
    done <"$WORK/rows" 2>/dev/null
    log_since_start >"$WORK/said"
    while IFS=';' read -r name _ allowed _; do
        [ "$allowed" != "a shape" ] || allowed="default, fixed NSEC, uniform MIN MAX, normal MEAN DEVIATION or exponential \
MEAN, and perhaps percent P NSEC or every N NSEC"
        [ "$allowed" != "a silent fault" ] || allowed="interval,probability,space,times, or the same and FIRST-LAST, \
sectors from 0 to 2^54-1"
        [ "$allowed" != "a fault" ] || allowed="interval,probability,space,times: every so many-th chance, 0 to 100 \
percent, after so many bytes, so often (-1: always)"
        grep -F "dut: $name=nonsense refused: allowed is $allowed" "$WORK/said" || {
            echo "the reference says: $allowed; the module:"
            grep "$name=nonsense" "$WORK/said"
            return 1
        }
    done <"$WORK/rows"
}

live() {
    power dut 1
    rows | grep -v '^nr_devices;' >"$WORK/rows"
    while IFS=';' read -r name _ _ live _; do
        answer=now
        /bin/echo "$(cat "$CONFIG/dut/$name")" >"$CONFIG/dut/$name" 2>/dev/null || answer=off
        [ "${live:-off}" = "$answer" ] || {
            echo "$name: the reference says '$live', the module '$answer'"
            return 1
        }
    done <"$WORK/rows"
    power dut 0
}

tables_are_there() {
    [ "$(column 1 | wc -l)" -gt 30 ]
    [ "$(column 1 | sort | uniq -d | wc -l)" -eq 0 ]
}

load nr_devices=0
new dut
set_to dut size 1
check "the reference has a table of settings" tables_are_there
check "it has them all" all_names
check "their meanings" meanings
check "their defaults" defaults
check "what they allow" allowed
check "which can change with the power on" live
finish
