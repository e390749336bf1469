// SPDX-License-Identifier: GPL-2.0
/*
 * Functions of the kernel that exist only as inline functions or macros, so that Rust can call them.
 */
#include <linux/cleanup.h>
#include <linux/configfs.h>
#include <linux/delay.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/sysfs.h>
#include <linux/vmalloc.h>

#include "bindings.h"

#ifdef CONFIG_HIGHMEM
#error "rnullblk reaches the pages of a request through the kernel's linear map: it needs a 64-bit kernel"
#endif

void *rnullblk_page_address(const struct page *page)
{
	return page_address(page);
}

void *rnullblk_kmalloc_node(size_t len, gfp_t flags, int node)
{
	return kmalloc_node(len, flags, node);
}

void *rnullblk_vmalloc_node(size_t len, gfp_t flags, int node)
{
	return vmalloc_huge_node(len, flags, node);
}

bool rnullblk_is_killed(void)
{
	return fatal_signal_pending(current);
}

bool rnullblk_node_has_memory(int node)
{
	return node >= 0 && node < MAX_NUMNODES && node_state(node, N_MEMORY);
}

unsigned int rnullblk_online_nodes(void)
{
	return num_online_nodes();
}

/* Of memory from kmalloc or vmalloc. */
int rnullblk_node_of(const void *memory)
{
	return page_to_nid(is_vmalloc_addr(memory) ? vmalloc_to_page(memory) : virt_to_page(memory));
}

unsigned int rnullblk_msecs_to_jiffies(unsigned int msecs)
{
	return msecs_to_jiffies(msecs);
}

/* No error: blk_mq_add_to_batch() takes that of a driver's own request, too, which ends well in a batch then. */
bool rnullblk_add_to_batch(struct request *rq, struct io_comp_batch *batch, bool is_error)
{
	return !is_error && blk_mq_add_to_batch(rq, batch, false, blk_mq_end_request_batch);
}

struct request *rnullblk_tag_to_rq(struct blk_mq_hw_ctx *hctx, unsigned int tag)
{
	/* A hardware queue without CPUs has no tags. */
	return hctx->tags ? blk_mq_tag_to_rq(hctx->tags, tag) : NULL;
}

/* As long as this lock is held, no request that the tag table names is freed. */
int rnullblk_tags_read_lock(struct blk_mq_hw_ctx *hctx)
{
	return srcu_read_lock(&hctx->queue->tag_set->tags_srcu);
}

void rnullblk_tags_read_unlock(struct blk_mq_hw_ctx *hctx, int lock)
{
	srcu_read_unlock(&hctx->queue->tag_set->tags_srcu, lock);
}

/*
 * Calls the function with each request that is started, of all disks of the tag set. Without the reference to this queue a
 * change of the number of hardware queues could free the tables of tags meanwhile: it waits for the queue, and frees those
 * that are too many only when nobody finds them any more. Who gets no reference has no request in flight.
 */
void rnullblk_for_each_busy(struct request_queue *queue, bool (*fn)(struct request *, void *), void *data)
{
	if (!percpu_ref_tryget(&queue->q_usage_counter))
		return;
	blk_mq_tagset_busy_iter(queue->tag_set, fn, data);
	percpu_ref_put(&queue->q_usage_counter);
}

/* The reference keeps the queue from going when the request comes again, and ends, before the list is kicked. */
void rnullblk_requeue(struct request *rq, unsigned long delay_msecs)
{
	struct request_queue *queue = rq->q;

	percpu_ref_get(&queue->q_usage_counter);
	/* The driver's data says something of it: it is not merged with another one. */
	rq->rq_flags |= RQF_DONTPREP;
	blk_mq_requeue_request(rq, false);
	blk_mq_delay_kick_requeue_list(queue, delay_msecs);
	percpu_ref_put(&queue->q_usage_counter);
}

u64 rnullblk_timeout_nsec(const struct request *rq)
{
	return jiffies64_to_nsecs(rq->timeout);
}

unsigned int rnullblk_freeze_queue(struct request_queue *queue)
{
	return blk_mq_freeze_queue(queue);
}

/* As blk_mq_freeze_queue(), but gives up after so many milliseconds; false then, and nothing has changed. */
bool rnullblk_freeze_queue_within(struct request_queue *queue, unsigned int msecs, unsigned int *memflags)
{
	*memflags = memalloc_noio_save();
	blk_freeze_queue_start(queue);
	if (blk_mq_freeze_queue_wait_timeout(queue, msecs_to_jiffies(msecs)))
		return true;
	blk_mq_unfreeze_queue(queue, *memflags);
	return false;
}

/* Lets requests to the disks of the tag set in again. */
void rnullblk_unfreeze_set(struct blk_mq_tag_set *set)
{
	struct request_queue *queue;

	list_for_each_entry(queue, &set->tag_list, tag_set_list)
		blk_mq_unfreeze_queue_nomemrestore(queue);
	mutex_unlock(&set->tag_list_lock);
}

/*
 * Waits until no disk of the tag set has requests in flight, for so many milliseconds at most; false if one still has. If
 * none has, none gets any, and no disk comes or goes, until rnullblk_unfreeze_set(): up to there, allocate nothing.
 */
bool rnullblk_freeze_set_within(struct blk_mq_tag_set *set, unsigned int msecs)
{
	unsigned long end = jiffies + msecs_to_jiffies(msecs);
	struct request_queue *queue;
	bool is_idle = true;

	mutex_lock(&set->tag_list_lock);
	list_for_each_entry(queue, &set->tag_list, tag_set_list)
		blk_freeze_queue_start(queue);
	list_for_each_entry(queue, &set->tag_list, tag_set_list) {
		long left = end - jiffies;

		is_idle = is_idle && blk_mq_freeze_queue_wait_timeout(queue, max(left, 0L));
	}
	if (!is_idle)
		rnullblk_unfreeze_set(set);
	return is_idle;
}

void rnullblk_unfreeze_queue(struct request_queue *queue, unsigned int memflags)
{
	blk_mq_unfreeze_queue(queue, memflags);
}

bool rnullblk_is_read_only(struct gendisk *disk)
{
	return bdev_read_only(disk->part0);
}

/*
 * Takes the lock under which a disk is opened and closed, if nobody has it open, nor has the lock: who opens a disk reads
 * its partitions under it, and if that hangs, so would who waits for the lock.
 */
bool rnullblk_lock_if_closed(struct gendisk *disk)
{
	if (!mutex_trylock(&disk->open_mutex))
		return false;
	if (!disk_openers(disk))
		return true;
	mutex_unlock(&disk->open_mutex);
	return false;
}

void rnullblk_unlock_closed(struct gendisk *disk)
{
	mutex_unlock(&disk->open_mutex);
}

/*
 * "wwid" of a disk in sysfs, which udev and LVM read: what it is, and which one, the same whenever it
 * is made again. No other disk has its name; the module's stands where the vendor does.
 */
static ssize_t wwid_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "t10.%s-%s\n", KBUILD_MODNAME, dev_to_disk(dev)->disk_name);
}
static DEVICE_ATTR_RO(wwid);

static struct attribute *disk_attrs[] = {
	&dev_attr_wwid.attr,
	NULL
};
ATTRIBUTE_GROUPS(disk);

/*
 * Adds a disk without looking for partitions; the first open does that. The kernel's own look opens
 * the disk, and the task that adds it closes it no sooner than it returns to user space. If loading
 * the module fails for a later reason, the module is gone by then.
 */
int rnullblk_add_disk(struct gendisk *disk)
{
	int error;

	set_bit(GD_SUPPRESS_PART_SCAN, &disk->state);
	error = device_add_disk(NULL, disk, disk_groups);
	clear_bit(GD_SUPPRESS_PART_SCAN, &disk->state);
	if (!error)
		set_bit(GD_NEED_PART_SCAN, &disk->state);
	return error;
}

/*
 * Gives up a disk that was not added, and waits until its hardware queues are gone. If adding it failed late, somebody who
 * looks at all disks (/proc/diskstats) can have the last reference, for a moment.
 */
void rnullblk_put_new_disk(struct blk_mq_tag_set *set, struct gendisk *disk)
{
	const struct request_queue *gone = disk->queue, *queue;
	bool was_there = false, is_there;

	put_disk(disk);
	do {
		is_there = false;
		mutex_lock(&set->tag_list_lock);
		list_for_each_entry(queue, &set->tag_list, tag_set_list)
			is_there |= queue == gone;
		mutex_unlock(&set->tag_list_lock);
		was_there |= is_there;
		if (was_there) /* also once more, for who has just let go of the lock */
			msleep(1);
	} while (is_there);
}

/* Who loads the module has a reference, and opening a device, or a file in debugfs, takes one. */
void rnullblk_wait_for_users(void)
{
#ifdef CONFIG_MODULE_UNLOAD
	if (module_refcount(THIS_MODULE) <= 1)
		return;
	pr_warn(KBUILD_MODNAME ": loading failed: waiting until nobody has a device open\n");
	while (module_refcount(THIS_MODULE) > 1)
		msleep(10);
	/* Who closes a device gives the reference back before his last look at it (bdev_release()). */
	msleep(100);
#endif
}

void rnullblk_rescan_partitions(struct gendisk *disk)
{
	set_bit(GD_NEED_PART_SCAN, &disk->state);
}

/* The kernel crate knows the structure's name only. */
void rnullblk_set_geometry(struct hd_geometry *geometry, u8 heads, u8 sectors, u16 cylinders)
{
	geometry->heads = heads;
	geometry->sectors = sectors;
	geometry->cylinders = cylinders;
}

struct blk_mq_hw_ctx *rnullblk_queue_hctx(struct request_queue *queue, unsigned int index)
{
	return queue_hctx(queue, index);
}

#if !IS_ENABLED(CONFIG_CONFIGFS_FS)
#error "rnullblk is controlled through configfs: it needs a kernel with CONFIG_CONFIGFS_FS"
#endif

#pragma weak configfs_register_subsystem

bool rnullblk_has_configfs(void)
{
	return configfs_register_subsystem;
}

/*
 * kernel::configfs::Subsystem unregisters also what it could not register (7.2, 7.3), which follows a null pointer.
 * Only what is registered has a parent. The linker sends all calls of the module here, see Kbuild.
 */
void __real_configfs_unregister_subsystem(struct configfs_subsystem *subsys) __weak;
void __wrap_configfs_unregister_subsystem(struct configfs_subsystem *subsys);

void __wrap_configfs_unregister_subsystem(struct configfs_subsystem *subsys)
{
	if (subsys->su_group.cg_item.ci_group)
		__real_configfs_unregister_subsystem(subsys);
}

/*
 * Files of kernel::debugfs have no owner (7.2, 7.3): who has one open would close it in a module that is gone. These get one.
 * A copy of the operations of each kind of file is enough, whatever the number of devices.
 */
struct dentry *__real_debugfs_create_file_full(const char *name, umode_t mode, struct dentry *parent, void *data,
					       const void *aux, const struct file_operations *fops) __weak;
struct dentry *__wrap_debugfs_create_file_full(const char *name, umode_t mode, struct dentry *parent, void *data,
					       const void *aux, const struct file_operations *fops);

/* Not __ro_after_init: the first device may come later. */
static struct owned_fops {
	const struct file_operations *of;
	struct file_operations fops;
} owned_fops[16];
static DEFINE_MUTEX(owned_fops_lock);

static const struct file_operations *with_owner(const struct file_operations *fops)
{
	struct owned_fops *owned;

	guard(mutex)(&owned_fops_lock);
	for (owned = owned_fops; owned < owned_fops + ARRAY_SIZE(owned_fops); owned++) {
		if (!owned->of) {
			owned->of = fops;
			owned->fops = *fops;
			owned->fops.owner = THIS_MODULE;
		}
		if (owned->of == fops)
			return &owned->fops;
	}
	return NULL;
}

struct dentry *__wrap_debugfs_create_file_full(const char *name, umode_t mode, struct dentry *parent, void *data,
					       const void *aux, const struct file_operations *fops)
{
	fops = with_owner(fops);
	if (WARN_ON_ONCE(!fops))
		return ERR_PTR(-ENOSPC); /* the array is too short */
	return __real_debugfs_create_file_full(name, mode, parent, data, aux, fops);
}

void rnullblk_cond_resched(void)
{
	cond_resched();
}

/* A page that counts its owners, from one on, in what is its owner's own: also when it waits to be freed. */
static_assert(offsetof(struct page, rcu_head) + sizeof(struct rcu_head) <= offsetof(struct page, private));

void *rnullblk_alloc_page(gfp_t flags, int node)
{
	struct page *page = alloc_pages_node(node, flags, 0);

	if (!page)
		return NULL;
	set_page_private(page, 1);
	return page_address(page);
}

unsigned long *rnullblk_page_owners(void *address)
{
	return &virt_to_page(address)->private;
}

static void free_page_rcu(struct rcu_head *head)
{
	struct page *page = container_of(head, struct page, rcu_head);

	set_page_private(page, 0);
	__free_page(page);
}

/* Also where one must not sleep. Before the module goes, rcu_barrier() has to be called. */
void rnullblk_free_page_rcu(void *address)
{
	call_rcu_hurry(&virt_to_page(address)->rcu_head, free_page_rcu);
}

struct badblocks *rnullblk_badblocks_new(void)
{
	struct badblocks *bb = kzalloc(sizeof(*bb), GFP_KERNEL);

	if (bb && badblocks_init(bb, 1)) {
		kfree(bb);
		bb = NULL;
	}
	return bb;
}

void rnullblk_badblocks_free(struct badblocks *bb)
{
	badblocks_exit(bb);
	kfree(bb);
}

bool rnullblk_badblocks_any(struct badblocks *bb)
{
	return READ_ONCE(bb->count);
}

/* The first range in the list that does not end before the sector. */
bool rnullblk_badblocks_next(struct badblocks *bb, sector_t sector, sector_t *first, sector_t *last)
{
	unsigned int seq;
	bool found;
	int i;

	do {
		seq = read_seqbegin(&bb->lock);
		for (i = 0; i < bb->count && BB_END(bb->page[i]) <= sector; i++)
			;
		found = i < bb->count;
		if (found) {
			*first = BB_OFFSET(bb->page[i]);
			*last = BB_END(bb->page[i]) - 1;
		}
	} while (read_seqretry(&bb->lock, seq));
	return found;
}
