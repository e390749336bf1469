// SPDX-License-Identifier: GPL-2.0
/*
 * biogen: measures what a block driver costs, without system calls around it.
 *
 *   insmod biogen.ko device=/dev/rblk0 op=read bytes=4096 depth=32 count=20000 mib=64
 *
 * submits COUNT bios of BYTES bytes, at random places within the first MIB of the device, DEPTH of
 * them at once under one plug (a single one goes without), and waits for these before the next DEPTH.
 * It does so six times, before all tasks that are not of real time; the first is to warm up, and of the others the
 * shortest counts. It never stays loaded: insmod fails with ECANCELED, and the log has
 *
 *   biogen: rblk0 read 4096 32: 20000 I/Os in NUMBER ns
 *
 * In a machine whose clock counts instructions (QEMU's -icount shift=0) these are no nanoseconds
 * but instructions. If an I/O fails, insmod fails with its errno, and nothing is said of time.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/file.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/sched.h>

static char *device;
module_param(device, charp, 0);
MODULE_PARM_DESC(device, "Path of the block device");

static char *op = "read";
module_param(op, charp, 0);
MODULE_PARM_DESC(op, "read, write, or mixed: 70 reads in 100");

static unsigned int bytes = 4096;
module_param(bytes, uint, 0);
MODULE_PARM_DESC(bytes, "Length of each I/O: 512 to 1048576, a power of two");

static unsigned int depth = 1;
module_param(depth, uint, 0);
MODULE_PARM_DESC(depth, "I/Os at once: 1 to 256");

static unsigned int count = 1000;
module_param(count, uint, 0);
MODULE_PARM_DESC(count, "I/Os to measure, rounded up to whole depths");

static unsigned int mib = 64;
module_param(mib, uint, 0);
MODULE_PARM_DESC(mib, "Use the first so many MiB of the device");

#define MAX_DEPTH 256
#define REPEATS 5

struct generator {
	struct block_device *bdev;
	unsigned int reads_in_100;
	struct bio *bios[MAX_DEPTH];
	struct page *pages[MAX_DEPTH];
	struct rnd_state chance;
	atomic_t left;
	struct completion all_done;
	blk_status_t status;
};

static void ended(struct bio *bio)
{
	struct generator *gen = bio->bi_private;

	if (bio->bi_status)
		WRITE_ONCE(gen->status, bio->bi_status);
	if (atomic_dec_and_test(&gen->left))
		complete(&gen->all_done);
}

static void submit(struct generator *gen, unsigned int i)
{
	struct bio *bio = gen->bios[i];
	unsigned int places = ((u64)mib << 20) / bytes;

	bool is_read = gen->reads_in_100 == 100 ||
		       (gen->reads_in_100 && prandom_u32_state(&gen->chance) % 100 < gen->reads_in_100);

	bio_reset(bio, gen->bdev, is_read ? REQ_OP_READ : REQ_OP_WRITE | REQ_SYNC | REQ_IDLE);
	__bio_add_page(bio, gen->pages[i], bytes, 0);
	bio->bi_iter.bi_sector = (u64)(prandom_u32_state(&gen->chance) % places) * (bytes >> SECTOR_SHIFT);
	bio->bi_private = gen;
	bio->bi_end_io = ended;
	submit_bio(bio);
}

static void run(struct generator *gen, unsigned int rounds)
{
	struct blk_plug plug;

	while (rounds--) {
		atomic_set(&gen->left, depth);
		reinit_completion(&gen->all_done);
		if (depth == 1) {
			submit(gen, 0);
		} else {
			blk_start_plug(&plug);
			for (unsigned int i = 0; i < depth; i++)
				submit(gen, i);
			blk_finish_plug(&plug);
		}
		wait_for_completion(&gen->all_done);
	}
}

static int measure(struct generator *gen)
{
	unsigned int rounds = DIV_ROUND_UP(count, depth);
	u64 start, nsec = U64_MAX;

	sched_set_fifo_low(current);
	run(gen, rounds);
	for (unsigned int i = 0; i < REPEATS; i++) {
		start = ktime_get_ns();
		run(gen, rounds);
		nsec = min(nsec, ktime_get_ns() - start);
		cond_resched();
	}
	sched_set_normal(current, 0);
	if (gen->status)
		return blk_status_to_errno(gen->status);
	pr_info("%s %s %u %u: %u I/Os in %llu ns\n", gen->bdev->bd_disk->disk_name, op, bytes, depth,
		rounds * depth, nsec);
	return -ECANCELED;
}

static int prepare(struct generator *gen)
{
	for (unsigned int i = 0; i < depth; i++) {
		gen->bios[i] = bio_kmalloc(1, GFP_KERNEL);
		gen->pages[i] = alloc_pages(GFP_KERNEL | __GFP_COMP | __GFP_ZERO, get_order(bytes));
		if (!gen->bios[i] || !gen->pages[i])
			return -ENOMEM;
		bio_init(gen->bios[i], gen->bdev, bio_inline_vecs(gen->bios[i]), 1, REQ_OP_READ);
	}
	return 0;
}

static void clean_up(struct generator *gen)
{
	for (unsigned int i = 0; i < depth; i++) {
		if (gen->bios[i] && gen->pages[i])
			bio_uninit(gen->bios[i]);
		kfree(gen->bios[i]);
		if (gen->pages[i])
			__free_pages(gen->pages[i], get_order(bytes));
	}
}

static int __init biogen_init(void)
{
	struct generator *gen;
	struct file *file;
	int error;

	if (!device || bytes < 512 || bytes > SZ_1M || !is_power_of_2(bytes) || !depth ||
	    depth > MAX_DEPTH || !count || !mib ||
	    (strcmp(op, "read") && strcmp(op, "write") && strcmp(op, "mixed")))
		return -EINVAL;

	gen = kzalloc(sizeof(*gen), GFP_KERNEL);
	if (!gen)
		return -ENOMEM;
	file = bdev_file_open_by_path(device, BLK_OPEN_READ | BLK_OPEN_WRITE, NULL, NULL);
	if (IS_ERR(file)) {
		error = PTR_ERR(file);
		goto free;
	}
	gen->bdev = file_bdev(file);
	gen->reads_in_100 = !strcmp(op, "read") ? 100 : !strcmp(op, "write") ? 0 : 70;
	init_completion(&gen->all_done);
	prandom_seed_state(&gen->chance, 1);

	if (bdev_nr_bytes(gen->bdev) < (u64)mib << 20)
		error = -ENOSPC;
	else
		error = prepare(gen);
	if (!error)
		error = measure(gen);
	clean_up(gen);
	bdev_fput(file);
free:
	kfree(gen);
	return error;
}
module_init(biogen_init);

MODULE_DESCRIPTION("Measures what a block driver costs");
MODULE_LICENSE("GPL");
