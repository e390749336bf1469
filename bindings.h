/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The input of bindgen: what the kernel crate's own bindings lack.
 *
 * Function prototypes are picked by name in Kbuild. Macros that bindgen cannot evaluate, because
 * they contain a cast, become constants here; the prefix is cut off afterwards.
 */
#ifndef RNULLBLK_BINDINGS_H
#define RNULLBLK_BINDINGS_H

#include <linux/badblocks.h>
#include <linux/blk-mq.h>
#include <linux/crc32.h>
#include <linux/hdreg.h>

void *rnullblk_page_address(const struct page *page);
void *rnullblk_kmalloc_node(size_t len, gfp_t flags, int node);
void *rnullblk_vmalloc_node(size_t len, gfp_t flags, int node);
void rnullblk_cond_resched(void);
void *rnullblk_alloc_page(gfp_t flags, int node);
unsigned long *rnullblk_page_owners(void *address);
void rnullblk_free_page_rcu(void *address);
bool rnullblk_is_killed(void);
bool rnullblk_node_has_memory(int node);
unsigned int rnullblk_online_nodes(void);
int rnullblk_node_of(const void *memory);
unsigned int rnullblk_msecs_to_jiffies(unsigned int msecs);

bool rnullblk_add_to_batch(struct request *rq, struct io_comp_batch *batch, bool is_error);
struct request *rnullblk_tag_to_rq(struct blk_mq_hw_ctx *hctx, unsigned int tag);
int rnullblk_tags_read_lock(struct blk_mq_hw_ctx *hctx);
void rnullblk_tags_read_unlock(struct blk_mq_hw_ctx *hctx, int lock);
void rnullblk_for_each_busy(struct request_queue *queue, bool (*fn)(struct request *, void *), void *data);
void rnullblk_requeue(struct request *rq, unsigned long delay_msecs);
u64 rnullblk_timeout_nsec(const struct request *rq);
unsigned int rnullblk_freeze_queue(struct request_queue *queue);
bool rnullblk_freeze_queue_within(struct request_queue *queue, unsigned int msecs, unsigned int *memflags);
bool rnullblk_freeze_set_within(struct blk_mq_tag_set *set, unsigned int msecs);
void rnullblk_unfreeze_set(struct blk_mq_tag_set *set);
void rnullblk_unfreeze_queue(struct request_queue *queue, unsigned int memflags);
bool rnullblk_is_read_only(struct gendisk *disk);
bool rnullblk_lock_if_closed(struct gendisk *disk);
void rnullblk_unlock_closed(struct gendisk *disk);
int rnullblk_add_disk(struct gendisk *disk);
void rnullblk_put_new_disk(struct blk_mq_tag_set *set, struct gendisk *disk);
void rnullblk_rescan_partitions(struct gendisk *disk);
void rnullblk_set_geometry(struct hd_geometry *geometry, u8 heads, u8 sectors, u16 cylinders);
struct blk_mq_hw_ctx *rnullblk_queue_hctx(struct request_queue *queue, unsigned int index);

void rnullblk_wait_for_users(void);
bool rnullblk_has_configfs(void);
struct badblocks *rnullblk_badblocks_new(void);
void rnullblk_badblocks_free(struct badblocks *bb);
bool rnullblk_badblocks_any(struct badblocks *bb);
bool rnullblk_badblocks_next(struct badblocks *bb, sector_t sector, sector_t *first, sector_t *last);

#ifdef __BINDGEN__
const blk_status_t RUST_CONST_HELPER_BLK_STS_OK = BLK_STS_OK;
const blk_status_t RUST_CONST_HELPER_BLK_STS_NOTSUPP = BLK_STS_NOTSUPP;
const blk_status_t RUST_CONST_HELPER_BLK_STS_IOERR = BLK_STS_IOERR;
const blk_status_t RUST_CONST_HELPER_BLK_STS_TIMEOUT = BLK_STS_TIMEOUT;
const blk_status_t RUST_CONST_HELPER_BLK_STS_NOSPC = BLK_STS_NOSPC;
const blk_status_t RUST_CONST_HELPER_BLK_STS_RESOURCE = BLK_STS_RESOURCE;
const blk_status_t RUST_CONST_HELPER_BLK_STS_DEV_RESOURCE = BLK_STS_DEV_RESOURCE;

const blk_opf_t RUST_CONST_HELPER_REQ_OP_MASK = REQ_OP_MASK;
const blk_opf_t RUST_CONST_HELPER_REQ_FUA = REQ_FUA;

const blk_features_t RUST_CONST_HELPER_BLK_FEAT_WRITE_CACHE = BLK_FEAT_WRITE_CACHE;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_FUA = BLK_FEAT_FUA;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_ROTATIONAL = BLK_FEAT_ROTATIONAL;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_ADD_RANDOM = BLK_FEAT_ADD_RANDOM;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_STABLE_WRITES = BLK_FEAT_STABLE_WRITES;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_SYNCHRONOUS = BLK_FEAT_SYNCHRONOUS;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_ATOMIC_WRITES = BLK_FEAT_ATOMIC_WRITES;

/* Without huge pages it is the size of a page, which bindgen cannot evaluate. */
const unsigned int RUST_CONST_HELPER_BLK_MAX_BLOCK_SIZE = BLK_MAX_BLOCK_SIZE;

const blk_mode_t RUST_CONST_HELPER_BLK_OPEN_READ = BLK_OPEN_READ;
const blk_mode_t RUST_CONST_HELPER_BLK_OPEN_WRITE = BLK_OPEN_WRITE;
const blk_mode_t RUST_CONST_HELPER_BLK_OPEN_EXCL = BLK_OPEN_EXCL;

const blk_mq_req_flags_t RUST_CONST_HELPER_BLK_MQ_REQ_RESERVED = BLK_MQ_REQ_RESERVED;

const gfp_t RUST_CONST_HELPER_GFP_KERNEL = GFP_KERNEL;
const gfp_t RUST_CONST_HELPER_GFP_NOIO = GFP_NOIO;
const gfp_t RUST_CONST_HELPER___GFP_NOMEMALLOC = __GFP_NOMEMALLOC;
const gfp_t RUST_CONST_HELPER___GFP_ZERO = __GFP_ZERO;
const gfp_t RUST_CONST_HELPER___GFP_NOWARN = __GFP_NOWARN;
const gfp_t RUST_CONST_HELPER___GFP_NORETRY = __GFP_NORETRY;
const gfp_t RUST_CONST_HELPER___GFP_RETRY_MAYFAIL = __GFP_RETRY_MAYFAIL;
#endif

#endif /* RNULLBLK_BINDINGS_H */
