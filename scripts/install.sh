#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# install.sh install|uninstall PREFIX [DESTDIR]: the module for the running kernel, and rblkctl with its manual
# page and completions. Below DESTDIR, if given, and then depmod is left to whoever puts them in place.
. "$(dirname "$0")/lib.sh"

action=$1 prefix=$2 destdir=${3-}
[ -n "$destdir" ] || become_root "$@"

kernel=$(uname -r)
tools=$TOP/build/tools
module=$destdir/lib/modules/$kernel/updates/rnullblk.ko
program=$destdir$prefix/sbin/rblkctl
manual=$destdir$prefix/share/man/man1/rblkctl.1
bash=$destdir$prefix/share/bash-completion/completions/rblkctl
zsh=$destdir$prefix/share/zsh/site-functions/_rblkctl
fish=$destdir$prefix/share/fish/vendor_completions.d/rblkctl.fish

update_modules() {
    [ -n "$destdir" ] || depmod "$kernel"
}

# Another kernel would not load it.
install_module() {
    [ -e "$TOP/rnullblk.ko" ] || {
        say "module skipped: there is no rnullblk.ko yet, run make first"
        return
    }
    built_for=$(tr '\0' '\n' <"$TOP/rnullblk.ko" | sed -n 's/^vermagic=\([^ ]*\) .*/\1/p')
    [ "$built_for" = "$kernel" ] || {
        say "module skipped: rnullblk.ko was built for kernel $built_for, but this machine runs $kernel"
        return
    }
    install -D -m 644 "$TOP/rnullblk.ko" "$module"
    update_modules
    say "installed $module"
}

case $action in
install)
    [ -x "$tools/rblkctl" ] || die "there is no rblkctl yet: run make tools first"
    install_module
    install -D -m 755 "$tools/rblkctl" "$program"
    install -D -m 644 "$tools/rblkctl.1" "$manual"
    install -D -m 644 "$tools/completions/rblkctl.bash" "$bash"
    install -D -m 644 "$tools/completions/_rblkctl" "$zsh"
    install -D -m 644 "$tools/completions/rblkctl.fish" "$fish"
    say "installed $program"
    ;;
uninstall)
    rm -f "$program" "$manual" "$bash" "$zsh" "$fish"
    if [ -e "$module" ]; then
        rm -f "$module"
        update_modules
    fi
    ;;
*)
    die "install.sh install|uninstall PREFIX [DESTDIR]"
    ;;
esac
