#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# install.sh install|uninstall PREFIX [DESTDIR]: the module, and rblkctl with its manual page and completions.
# Below DESTDIR, if given: then for whatever kernel the module was built for, not for the running one alone, and
# depmod is left to whoever puts them in place.
. "$(dirname "$0")/lib.sh"

action=$1 prefix=$2 destdir=${3-}
[ -n "$destdir" ] || become_root "$@"

tools=$TOP/build/tools
program=$destdir$prefix/sbin/rblkctl
manual=$destdir$prefix/share/man/man8/rblkctl.8
bash=$destdir$prefix/share/bash-completion/completions/rblkctl
zsh=$destdir$prefix/share/zsh/site-functions/_rblkctl
fish=$destdir$prefix/share/fish/vendor_completions.d/rblkctl.fish

# module_of KERNEL
module_of() { echo "$destdir/lib/modules/$1/updates/rnullblk.ko"; }

# update_modules KERNEL
update_modules() { [ -n "$destdir" ] || depmod "$1"; }

install_module() {
    [ -e "$TOP/rnullblk.ko" ] || {
        say "module skipped: there is no rnullblk.ko yet, run make first"
        return
    }
    kernel=$(tr '\0' '\n' <"$TOP/rnullblk.ko" | sed -n 's/^vermagic=\([^ ]*\) .*/\1/p')
    # Another kernel would not load it.
    [ -n "$destdir" ] || [ "$kernel" = "$(uname -r)" ] || {
        say "module skipped: rnullblk.ko was built for kernel $kernel, but this machine runs $(uname -r)"
        return
    }
    install -D -m 644 "$TOP/rnullblk.ko" "$(module_of "$kernel")"
    update_modules "$kernel"
    say "installed $(module_of "$kernel")"
}

uninstall_modules() {
    for directory in "$destdir"/lib/modules/*/; do
        kernel=$(basename "$directory")
        [ -e "$(module_of "$kernel")" ] || continue
        rm "$(module_of "$kernel")"
        update_modules "$kernel"
    done
}

case $action in
install)
    [ -x "$tools/rblkctl" ] || die "there is no rblkctl yet: run make tools first"
    install_module
    install -D -m 755 "$tools/rblkctl" "$program"
    install -D -m 644 "$tools/rblkctl.8" "$manual"
    install -D -m 644 "$tools/completions/rblkctl.bash" "$bash"
    install -D -m 644 "$tools/completions/_rblkctl" "$zsh"
    install -D -m 644 "$tools/completions/rblkctl.fish" "$fish"
    say "installed $program"
    ;;
uninstall)
    rm -f "$program" "$manual" "$bash" "$zsh" "$fish"
    uninstall_modules
    ;;
*)
    die "install.sh install|uninstall PREFIX [DESTDIR]"
    ;;
esac
