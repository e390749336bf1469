/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The input of bindgen: what the kernel crate's own bindings lack.
 *
 * Function prototypes are picked by name in Kbuild. Macros that bindgen cannot evaluate, because
 * they contain a cast, become constants here; the prefix is cut off afterwards.
 */
#ifndef RNULLBLK_BINDINGS_H
#define RNULLBLK_BINDINGS_H

#include <linux/blk-mq.h>
#include <linux/vmalloc.h>

void *rnullblk_page_address(const struct page *page);
bool rnullblk_node_has_memory(int node);

#ifdef __BINDGEN__
const blk_status_t RUST_CONST_HELPER_BLK_STS_OK = BLK_STS_OK;
const blk_status_t RUST_CONST_HELPER_BLK_STS_NOTSUPP = BLK_STS_NOTSUPP;
const blk_status_t RUST_CONST_HELPER_BLK_STS_IOERR = BLK_STS_IOERR;

const blk_opf_t RUST_CONST_HELPER_REQ_OP_MASK = REQ_OP_MASK;
const blk_opf_t RUST_CONST_HELPER_REQ_FUA = REQ_FUA;

const blk_features_t RUST_CONST_HELPER_BLK_FEAT_WRITE_CACHE = BLK_FEAT_WRITE_CACHE;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_FUA = BLK_FEAT_FUA;

const gfp_t RUST_CONST_HELPER_GFP_KERNEL = GFP_KERNEL;
const gfp_t RUST_CONST_HELPER___GFP_ZERO = __GFP_ZERO;
const gfp_t RUST_CONST_HELPER___GFP_NOWARN = __GFP_NOWARN;
const gfp_t RUST_CONST_HELPER___GFP_RETRY_MAYFAIL = __GFP_RETRY_MAYFAIL;
#endif

#endif /* RNULLBLK_BINDINGS_H */
