#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# clean.sh [cache]: removes what was built in this tree, or empties the cache.
. "$(dirname "$0")/lib.sh"

if [ "${1-}" = cache ]; then
    [ -d "$CACHE" ] || exit 0
    become_root "$@"
    exec 7>"$CACHE/in-use.lock"
    flock -n 7 || {
        say "waiting for runs that use $CACHE"
        flock 7
    }
    say "emptying $CACHE"
    find "$CACHE" -xdev -mindepth 1 -delete
    exit 0
fi

# Everything that .gitignore calls a product.
cd "$TOP"
rm -rf build
grep -v -e '^#' -e '^/' .gitignore | while read -r pattern; do
    find . -name .git -prune -o -name "$pattern" -type f -exec rm -f '{}' +
done
