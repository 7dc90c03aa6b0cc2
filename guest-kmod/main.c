// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tdx_update: the run-time update of the TDX module as a loadable module, with
 * the interface of the in-tree driver: a firmware upload device "tdx_module",
 * and the attributes version, seamldr_version and num_remaining_updates of
 * /sys/devices/tdx_update. /proc/tdx_update_events has the latest update event by
 * event.
 *
 * Where the kernel supports TDX hosts it has initialised the TDX module; where it
 * does not, or seam_shim takes SEAMCALLs elsewhere, this module does
 * (bringup.c). Beside the in-tree driver (tdx-host) it does not load.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/version.h>
#if IS_ENABLED(CONFIG_TDX_HOST_SERVICES)
#include <linux/device/faux.h>
#endif

#include "bringup.h"
#include "platform.h"
#include "ring.h"
#include "update.h"
#include "upload.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static const char * const ack_names[] = {
	[ACK_LOCK]	= "lock",
	[ACK_ATOMIC]	= "atomic",
};

static char *ack = "lock";
module_param(ack, charp, 0444);
MODULE_PARM_DESC(ack, "How CPUs acknowledge a step: lock (raw spinlock) or atomic (lock)");

static const char * const engine_names[] = {
	[ENGINE_STOP_MACHINE]	= "stop_machine",
	[ENGINE_RWLOCK]		= "rwlock",
	[ENGINE_KICK]		= "kick",
	[ENGINE_NOTIFIER]	= "notifier",
};

static char *engine = "stop_machine";
module_param(engine, charp, 0444);
MODULE_PARM_DESC(engine, "How all CPUs are brought in: stop_machine; for demonstration also rwlock, kick, notifier (stop_machine)");

static enum ack_kind ack_kind;
static enum engine engine_kind;
static struct device *update_device;
static struct fw_upload *update_upload;

static ssize_t version_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct tdx_version version;

	if (firmware_read_version(&version))
		return -ENXIO;
	return sysfs_emit(buf, "%u.%u.%02u\n", version.major, version.minor,
			  version.update);
}
static DEVICE_ATTR_RO(version);

/* P-SEAMLDR's description of itself; the caller frees it. */
static struct seamldr_info *read_info(void)
{
	struct seamldr_info *info = kzalloc(sizeof(*info), GFP_KERNEL);
	int ret;

	if (!info)
		return ERR_PTR(-ENOMEM);
	ret = firmware_read_info(info);
	if (!ret)
		return info;

	kfree(info);
	return ERR_PTR(ret);
}

static ssize_t seamldr_version_show(struct device *dev,
				    struct device_attribute *attr, char *buf)
{
	struct seamldr_info *info = read_info();
	ssize_t ret;

	if (IS_ERR(info))
		return PTR_ERR(info);
	ret = sysfs_emit(buf, "%u.%u.%02u\n", info->major_version,
			 info->minor_version, info->update_version);
	kfree(info);
	return ret;
}
static DEVICE_ATTR_ADMIN_RO(seamldr_version);

static ssize_t num_remaining_updates_show(struct device *dev,
					  struct device_attribute *attr,
					  char *buf)
{
	struct seamldr_info *info = read_info();
	ssize_t ret;

	if (IS_ERR(info))
		return PTR_ERR(info);
	ret = sysfs_emit(buf, "%u\n", info->num_remaining_updates);
	kfree(info);
	return ret;
}
static DEVICE_ATTR_ADMIN_RO(num_remaining_updates);

static struct attribute *update_attrs[] = {
	&dev_attr_version.attr,
	&dev_attr_seamldr_version.attr,
	&dev_attr_num_remaining_updates.attr,
	NULL,
};
ATTRIBUTE_GROUPS(update);

/* The upload framework allows one upload at a time; it keeps the module here. */
static enum fw_upload_err update_prepare(struct fw_upload *upload,
					 const u8 *data, u32 size)
{
	return try_module_get(THIS_MODULE) ? FW_UPLOAD_ERR_NONE : FW_UPLOAD_ERR_BUSY;
}

static int update_install(const u8 *data, u32 size)
{
	struct seamldr_params *params;
	int ret;

	params = (void *)get_zeroed_page(GFP_KERNEL);
	if (!params)
		return -ENOMEM;
	ret = update_image_parse(data, size, params);
	if (!ret)
		ret = lockstep_update(params, ack_kind, engine_kind);
	free_page((unsigned long)params);
	return ret;
}

static enum fw_upload_err update_write(struct fw_upload *upload, const u8 *data,
				       u32 offset, u32 size, u32 *written)
{
	int ret = update_install(data, size);

	if (ret && !twin_is(TWIN_SWALLOWED_FAILURE)) {
		pr_err("update failed: %d\n", ret);
		return FW_UPLOAD_ERR_FW_INVALID;
	}
	*written = size;
	return FW_UPLOAD_ERR_NONE;
}

static enum fw_upload_err update_poll_complete(struct fw_upload *upload)
{
	/* The write was all. */
	return FW_UPLOAD_ERR_NONE;
}

static void update_cancel(struct fw_upload *upload)
{
	/* An update cannot be cancelled, but the operation must be there. */
}

static void update_cleanup(struct fw_upload *upload)
{
	module_put(THIS_MODULE);
}

static const struct fw_upload_ops update_ops = {
	.prepare	= update_prepare,
	.write		= update_write,
	.poll_complete	= update_poll_complete,
	.cancel		= update_cancel,
	.cleanup	= update_cleanup,
};

/* Whether the in-tree driver is there: it sits on the faux bus. */
#if IS_ENABLED(CONFIG_TDX_HOST_SERVICES)
static bool __init in_tree_driver_present(void)
{
	struct faux_device *probe;
	struct device *found;

	probe = faux_device_create("tdx_update_probe", NULL, NULL);
	if (!probe)
		return false;
	found = bus_find_device_by_name(probe->dev.bus, NULL, "tdx_host");
	put_device(found);
	faux_device_destroy(probe);
	return found;
}
#else
static bool __init in_tree_driver_present(void)
{
	return false;
}
#endif

static int __init update_check(void)
{
	int ret;

	ret = match_string(ack_names, ARRAY_SIZE(ack_names), ack);
	if (ret < 0) {
		pr_err("ack=%s: it is lock or atomic\n", ack);
		return -EINVAL;
	}
	ack_kind = ret;

	ret = match_string(engine_names, ARRAY_SIZE(engine_names), engine);
	if (ret < 0) {
		pr_err("engine=%s: it is stop_machine, rwlock, kick or notifier\n", engine);
		return -EINVAL;
	}
	engine_kind = ret;
	engine_choose(engine_kind);
	if (engine_kind != ENGINE_STOP_MACHINE)
		pr_warn("engine %s: a demonstration, known to be wrong\n", engine);

	ret = twin_choose();
	if (ret)
		return ret;

	if (in_tree_driver_present()) {
		pr_err("the in-tree driver updates TDX modules here: remove tdx_host first\n");
		return -EBUSY;
	}

	return 0;
}

/* A kernel with TDX host support has made the module ready; else it is done here. */
static int __init update_reach_module(void)
{
	int ret = firmware_probe();

	if (!ret)
		return 0;
	if (IS_ENABLED(CONFIG_INTEL_TDX_HOST) && !platform_is_shim()) {
		pr_err("no TDX module answers SEAMCALL (%d): the kernel has not enabled TDX\n",
		       ret);
		return ret;
	}
	return bringup_start();
}

static int __init update_register(void)
{
	int ret;

	update_device = root_device_register("tdx_update");
	if (IS_ERR(update_device))
		return PTR_ERR(update_device);

	ret = device_add_groups(update_device, update_groups);
	if (ret)
		goto unregister_device;

	/* No owner: what needs the module holds it for itself, see prepare. */
	update_upload = upload_register(update_device, "tdx_module", &update_ops);
	ret = PTR_ERR_OR_ZERO(update_upload);
	if (ret)
		goto remove_groups;
	return 0;

remove_groups:
	device_remove_groups(update_device, update_groups);
unregister_device:
	root_device_unregister(update_device);
	return ret;
}

static int __init update_init(void)
{
	int ret;

	ret = update_check();
	if (ret)
		return ret;
	ret = ring_create();
	if (ret)
		return ret;
	platform_attach();
	ret = update_reach_module();
	if (ret)
		goto destroy_ring;
	ret = update_register();
	if (!ret)
		return 0;

	bringup_stop();
destroy_ring:
	platform_detach();
	ring_destroy();
	return ret;
}
module_init(update_init);

static void __exit update_exit(void)
{
	upload_unregister(update_upload);
	device_remove_groups(update_device, update_groups);
	root_device_unregister(update_device);
	bringup_stop();
	platform_detach();
	ring_destroy();
}
module_exit(update_exit);

MODULE_DESCRIPTION("Run-time update of the TDX module");
MODULE_LICENSE("GPL");
