// SPDX-License-Identifier: GPL-2.0
/*
 * taken: has the name "rnullblk" in configfs, so that nobody else can have it.
 */
#include <linux/configfs.h>
#include <linux/module.h>

static const struct config_item_type taken_type = { .ct_owner = THIS_MODULE };

static struct configfs_subsystem taken = {
	.su_group.cg_item = { .ci_namebuf = "rnullblk", .ci_type = &taken_type },
	.su_mutex = __MUTEX_INITIALIZER(taken.su_mutex),
};

static int __init taken_init(void)
{
	config_group_init(&taken.su_group);
	return configfs_register_subsystem(&taken);
}

static void __exit taken_exit(void)
{
	configfs_unregister_subsystem(&taken);
}

module_init(taken_init);
module_exit(taken_exit);

MODULE_DESCRIPTION("Takes a name in configfs");
MODULE_LICENSE("GPL");
