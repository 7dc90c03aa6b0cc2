// SPDX-License-Identifier: GPL-2.0-or-later
/* The smallest module: shows that modules can be built against a cached kernel. */
#include <linux/module.h>

static int __init rig_hello_init(void)
{
	pr_info("hello\n");
	return 0;
}
module_init(rig_hello_init);

static void __exit rig_hello_exit(void)
{
}
module_exit(rig_hello_exit);

MODULE_DESCRIPTION("Shows that modules can be built");
MODULE_LICENSE("GPL");
