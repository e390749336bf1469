# SPDX-License-Identifier: GPL-2.0
# What a person types. What is compiled stands in Kbuild; how things are done, in scripts/.
#
#   KDIR=DIR       build for this kernel tree (with LLVM=1 and the like, if it was built so)
#   KERNEL=NAME    build, boot, test this one: trixie-backports, forky, or a kernel of Debian's as uname -r names it
#   FLAVOUR=NAME   of the suite's kernels this one: cloud-amd64, amd64, rt-amd64
#   T=NAME,NAME    only these tests or figures
#   C="COMMAND"    what run runs
#   A=FILE, B=FILE the results that bench-compare compares
#   MINUTES=N      how long soak takes
#   SEED=N         what tests do by chance, as in the run that printed this
#   ARGS="..."     module parameters for load and shell, options of dkms for dkms-install
#   PREFIX=DIR     where install puts rblkctl (/usr/local); DESTDIR=DIR: all below this directory
#   V=1            show the compiler's command lines

.DEFAULT_GOAL := rnullblk.ko
PREFIX ?= /usr/local
.PHONY: rnullblk.ko tools install uninstall deb dkms-install dkms-remove demo shell run test test-debug test-packages soak nightly bench bench-compare check doc load unload clean distclean help

rnullblk.ko: ## build the module: for KDIR, for KERNEL, for the running kernel, or for Debian's stock kernel
	+@scripts/build-module.sh

demo: ## boot a stock Debian kernel in QEMU and show an ext4 file system on /dev/rblk0
	@scripts/demo.sh

shell: ## the same machine with the module loaded and a root prompt
	@scripts/shell.sh $(ARGS)

run: ## the same machine for one command, without the module loaded (C="example/file-system-errors.sh")
	@scripts/run-in-vm.sh "$(C)"

test: ## boot it and run tests/ (T=name,name: only these; T=quick: four minutes of them)
	@scripts/test.sh $(T)

test-debug: ## tests/ on a kernel with KASAN, lockdep and the like, and tests/debug/ (T=all: also the long ones)
	@scripts/test-debug.sh $(T)

test-packages: ## install, use and remove the Debian packages in a clean system
	@scripts/test-packages.sh

soak: ## change devices under load for MINUTES=10
	@SOAK_MINUTES=$(or $(MINUTES),10) scripts/nightly.sh nightly/soak

nightly: ## what takes too long for each change: about two hours
	@scripts/nightly.sh

bench: ## measure rnullblk, null_blk and brd: instructions, times, memory (T=exact|times|quick)
	@scripts/bench.sh $(T)

bench-compare: ## what changed between two results (A=old.json B=new.json)
	@scripts/bench-compare.sh $(A) $(B)

check: ## rustfmt, clippy, shellcheck, what the I/O path calls, rblkctl's tests, the documentation: no warnings
	@scripts/check.sh

doc: ## rustdoc of the abstractions and the driver, in build/doc
	@scripts/doc.sh

tools: ## build rblkctl, which makes and changes devices, with its man page and completions
	@scripts/build-tools.sh

install: ## install the module, rblkctl, man page and completions (DESTDIR=, PREFIX=/usr/local)
	@scripts/install.sh install "$(PREFIX)" "$(DESTDIR)"

uninstall: ## remove them
	@scripts/install.sh uninstall "$(PREFIX)" "$(DESTDIR)"

deb: ## build the Debian packages rnullblk-dkms and rnullblk-tools
	@scripts/deb.sh

dkms-install: ## have DKMS build and install the module, for this kernel and those to come (make dkms-remove)
	@scripts/dkms.sh install $(ARGS)

dkms-remove: ## remove it from DKMS, and from each kernel
	@scripts/dkms.sh remove

load: ## load the module into this machine's kernel (ARGS="size=1024 nr_devices=2")
	@scripts/load.sh load $(ARGS)

unload: ## unload it
	@scripts/load.sh unload

clean: ## remove what was built in this tree
	@scripts/clean.sh

distclean: clean ## and empty the cache of downloads and kernel trees
	@scripts/clean.sh cache

help: ## this list
	@sed -n 's/^\([a-z.-]*\):[^#]*## /\1 /p' Makefile | awk '{ name = $$1; $$1 = ""; printf "make %-15s%s\n", name, $$0 }'
	@sed -n 's/^#   /     /p' Makefile
