// SPDX-License-Identifier: GPL-2.0
/*
 * Functions of the kernel that exist only as inline functions or macros, so that Rust can call them.
 */
#include <linux/mm.h>
#include <linux/nodemask.h>

#include "bindings.h"

#ifdef CONFIG_HIGHMEM
#error "rnullblk reaches the pages of a request through the kernel's linear map: it needs a 64-bit kernel"
#endif

void *rnullblk_page_address(const struct page *page)
{
	return page_address(page);
}

bool rnullblk_node_has_memory(int node)
{
	return node >= 0 && node < MAX_NUMNODES && node_state(node, N_MEMORY);
}
