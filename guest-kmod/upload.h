/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's firmware upload class, or a stand-in with the same files and the
 * same answers for kernels that were built without it (Debian's 6.1): there
 * /sys/class/tdx_firmware/NAME takes the place of /sys/class/firmware/NAME.
 */
#ifndef RIG_UPLOAD_H
#define RIG_UPLOAD_H

#include <linux/firmware.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
/* The class has no word for it yet. */
#define FW_UPLOAD_ERR_FW_INVALID	FW_UPLOAD_ERR_MAX
#endif

#if !IS_ENABLED(CONFIG_FW_UPLOAD) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define RIG_OWN_UPLOAD
#endif

#ifdef RIG_OWN_UPLOAD

struct fw_upload *upload_register(struct device *parent, const char *name,
				  const struct fw_upload_ops *ops);
void upload_unregister(struct fw_upload *upload);

#else

static inline struct fw_upload *upload_register(struct device *parent, const char *name,
						const struct fw_upload_ops *ops)
{
	return firmware_upload_register(NULL, parent, name, ops, NULL);
}

static inline void upload_unregister(struct fw_upload *upload)
{
	firmware_upload_unregister(upload);
}

#endif /* RIG_OWN_UPLOAD */
#endif /* RIG_UPLOAD_H */
