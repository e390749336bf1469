// SPDX-License-Identifier: GPL-2.0
/*
 * poke: brings requests to a block driver that no user can send it, because the block layer
 * stops them before.
 *
 *   insmod poke.ko device=/dev/rblk0 capacity=SECTORS
 *	tells the block layer that the disk has so many sectors, so that I/O beyond its real end
 *	reaches the driver.
 *   insmod poke.ko device=/dev/rblk0 op=NUMBER
 *	sends a passthrough request (enum req_op: 34 is REQ_OP_DRV_IN, 35 REQ_OP_DRV_OUT).
 *   insmod poke.ko device=/dev/rblk0 fua=SECTOR
 *	writes 512 bytes 0xfa there with FUA, and no flush after it.
 *
 * It never stays loaded: insmod fails with the errno that the request ended with, and with
 * ECANCELED if there was no error. The log says the same.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/module.h>

static char *device;
module_param(device, charp, 0);
MODULE_PARM_DESC(device, "Path of the block device");

static unsigned long long capacity;
module_param(capacity, ullong, 0);
MODULE_PARM_DESC(capacity, "What its capacity shall seem to be, in sectors");

static int op = -1;
module_param(op, int, 0);
MODULE_PARM_DESC(op, "Operation of a passthrough request to send");

static long fua = -1;
module_param(fua, long, 0);
MODULE_PARM_DESC(fua, "Sector to write with FUA");

static int write_with_fua(struct block_device *bdev)
{
	struct page *page = alloc_page(GFP_KERNEL);
	struct bio_vec vec;
	struct bio bio;
	int error;

	if (!page)
		return -ENOMEM;
	memset(page_address(page), 0xfa, SECTOR_SIZE);
	bio_init(&bio, bdev, &vec, 1, REQ_OP_WRITE | REQ_SYNC | REQ_FUA);
	bio.bi_iter.bi_sector = fua;
	__bio_add_page(&bio, page, SECTOR_SIZE, 0);
	error = submit_bio_wait(&bio);
	bio_uninit(&bio);
	__free_page(page);
	return error;
}

static int send_passthrough(struct gendisk *disk)
{
	struct request *rq;
	blk_status_t status;

	/* Nothing else may be sent without a bio. */
	if (op != (__force int)REQ_OP_DRV_IN && op != (__force int)REQ_OP_DRV_OUT)
		return -EINVAL;

	rq = blk_mq_alloc_request(disk->queue, (__force blk_opf_t)op, 0);
	if (IS_ERR(rq))
		return PTR_ERR(rq);
	status = blk_execute_rq(rq, false);
	blk_mq_free_request(rq);
	return blk_status_to_errno(status);
}

static int __init poke_init(void)
{
	struct gendisk *disk;
	struct file *file;
	int error = 0;

	if (!device || (!capacity && op < 0 && fua < 0))
		return -EINVAL;

	file = bdev_file_open_by_path(device, BLK_OPEN_READ | (fua < 0 ? 0 : BLK_OPEN_WRITE), NULL, NULL);
	if (IS_ERR(file)) {
		pr_err("%s: cannot be opened: %ld\n", device, PTR_ERR(file));
		return PTR_ERR(file);
	}
	disk = file_bdev(file)->bd_disk;

	if (capacity) {
		set_capacity(disk, capacity);
		pr_info("%s: seems to have %llu sectors\n", disk->disk_name, capacity);
	}
	if (op >= 0) {
		error = send_passthrough(disk);
		pr_info("%s: operation %d ended with %d\n", disk->disk_name, op, error);
	}

	if (fua >= 0)
		error = write_with_fua(file_bdev(file));

	bdev_fput(file);
	return error ?: -ECANCELED;
}
module_init(poke_init);

MODULE_DESCRIPTION("Sends a block driver what users cannot");
MODULE_LICENSE("GPL");
