// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A firmware upload device for kernels without CONFIG_FW_UPLOAD. Files, words
 * and errnos are those of drivers/base/firmware_loader/sysfs_upload.c and of
 * Documentation/ABI/testing/sysfs-class-firmware.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "upload.h"

#ifdef RIG_OWN_UPLOAD

/* Longer than any image that P-SEAMLDR takes. */
#define UPLOAD_MAX_SIZE	SZ_4M

enum upload_progress {
	UPLOAD_IDLE,
	UPLOAD_RECEIVING,
	UPLOAD_PREPARING,
	UPLOAD_TRANSFERRING,
	UPLOAD_PROGRAMMING,
};

static const char * const progress_names[] = {
	[UPLOAD_IDLE]		= "idle",
	[UPLOAD_RECEIVING]	= "receiving",
	[UPLOAD_PREPARING]	= "preparing",
	[UPLOAD_TRANSFERRING]	= "transferring",
	[UPLOAD_PROGRAMMING]	= "programming",
};

static const char * const error_names[] = {
	[FW_UPLOAD_ERR_HW_ERROR]	= "hw-error",
	[FW_UPLOAD_ERR_TIMEOUT]		= "timeout",
	[FW_UPLOAD_ERR_CANCELED]	= "user-abort",
	[FW_UPLOAD_ERR_BUSY]		= "device-busy",
	[FW_UPLOAD_ERR_INVALID_SIZE]	= "invalid-file-size",
	[FW_UPLOAD_ERR_RW_ERROR]	= "read-write-error",
	[FW_UPLOAD_ERR_WEAROUT]		= "flash-wearout",
	[FW_UPLOAD_ERR_FW_INVALID]	= "firmware-invalid",
};

/* One upload device; @lock is over all that follows it. */
struct upload {
	struct device dev;
	struct fw_upload handle;
	const struct fw_upload_ops *ops;
	struct work_struct work;
	struct mutex lock;
	u8 *data;
	u32 size;
	enum upload_progress progress;
	enum upload_progress failed_in;
	enum fw_upload_err err;
};

static struct upload *to_upload(struct device *dev)
{
	return container_of(dev, struct upload, dev);
}

static void upload_drop(struct upload *upload)
{
	vfree(upload->data);
	upload->data = NULL;
	upload->size = 0;
}

static void upload_reach(struct upload *upload, enum upload_progress progress)
{
	mutex_lock(&upload->lock);
	upload->progress = progress;
	mutex_unlock(&upload->lock);
}

/* All of the image through the driver's hands. */
static enum fw_upload_err upload_transfer(struct upload *upload)
{
	u32 offset = 0, written = 0;
	enum fw_upload_err err;

	while (offset < upload->size) {
		err = upload->ops->write(&upload->handle, upload->data, offset,
					 upload->size - offset, &written);
		if (err != FW_UPLOAD_ERR_NONE)
			return err;
		offset += written;
	}
	upload_reach(upload, UPLOAD_PROGRAMMING);
	return upload->ops->poll_complete(&upload->handle);
}

static void upload_work(struct work_struct *work)
{
	struct upload *upload = container_of(work, struct upload, work);
	enum fw_upload_err err;

	err = upload->ops->prepare(&upload->handle, upload->data, upload->size);
	if (err == FW_UPLOAD_ERR_NONE) {
		upload_reach(upload, UPLOAD_TRANSFERRING);
		err = upload_transfer(upload);
		upload->ops->cleanup(&upload->handle);
	}

	mutex_lock(&upload->lock);
	upload->failed_in = upload->progress;
	upload->err = err;
	upload->progress = UPLOAD_IDLE;
	upload_drop(upload);
	mutex_unlock(&upload->lock);
}

static int upload_set_loading(struct upload *upload, int loading)
{
	switch (loading) {
	case 1:
		if (upload->progress != UPLOAD_IDLE && upload->progress != UPLOAD_RECEIVING)
			return -EBUSY;
		upload_drop(upload);
		upload->progress = UPLOAD_RECEIVING;
		return 0;
	case 0:
		if (upload->progress != UPLOAD_RECEIVING)
			return 0;
		upload->err = FW_UPLOAD_ERR_NONE;
		upload->progress = upload->size ? UPLOAD_PREPARING : UPLOAD_IDLE;
		if (upload->size)
			queue_work(system_long_wq, &upload->work);
		return 0;
	case -1:
		if (upload->progress == UPLOAD_RECEIVING) {
			upload_drop(upload);
			upload->progress = UPLOAD_IDLE;
		}
		return 0;
	default:
		return -EINVAL;
	}
}

static ssize_t loading_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	return sysfs_emit(buf, "%d\n",
			  READ_ONCE(to_upload(dev)->progress) == UPLOAD_RECEIVING);
}

static ssize_t loading_store(struct device *dev, struct device_attribute *attr,
			     const char *buf, size_t count)
{
	struct upload *upload = to_upload(dev);
	int loading, ret;

	ret = kstrtoint(buf, 10, &loading);
	if (ret)
		return ret;
	mutex_lock(&upload->lock);
	ret = upload_set_loading(upload, loading);
	mutex_unlock(&upload->lock);
	return ret ?: count;
}
static DEVICE_ATTR_RW(loading);

static ssize_t status_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%s\n",
			  progress_names[READ_ONCE(to_upload(dev)->progress)]);
}
static DEVICE_ATTR_RO(status);

static ssize_t error_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	struct upload *upload = to_upload(dev);
	int ret = 0;

	mutex_lock(&upload->lock);
	if (upload->progress != UPLOAD_IDLE)
		ret = -EBUSY;
	else if (upload->err != FW_UPLOAD_ERR_NONE)
		ret = sysfs_emit(buf, "%s:%s\n", progress_names[upload->failed_in],
				 error_names[upload->err]);
	mutex_unlock(&upload->lock);
	return ret;
}
static DEVICE_ATTR_RO(error);

/* Makes room for @size bytes; what is there stays. */
static int upload_grow(struct upload *upload, u32 size)
{
	u8 *data;

	if (size <= upload->size)
		return 0;
	data = vzalloc(size);
	if (!data)
		return -ENOMEM;
	if (upload->size)
		memcpy(data, upload->data, upload->size);
	vfree(upload->data);
	upload->data = data;
	upload->size = size;
	return 0;
}

static ssize_t data_write(struct file *file, struct kobject *kobj,
			  struct bin_attribute *attr, char *buf, loff_t offset,
			  size_t count)
{
	struct upload *upload = to_upload(kobj_to_dev(kobj));
	int ret = -ENODEV;

	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	if (offset < 0 || offset > UPLOAD_MAX_SIZE || count > UPLOAD_MAX_SIZE - offset)
		return -EFBIG;

	mutex_lock(&upload->lock);
	if (upload->progress == UPLOAD_RECEIVING) {
		ret = upload_grow(upload, offset + count);
		if (!ret)
			memcpy(upload->data + offset, buf, count);
	}
	mutex_unlock(&upload->lock);
	return ret ?: count;
}
static BIN_ATTR_WO(data, 0);

static struct attribute *upload_attrs[] = {
	&dev_attr_loading.attr,
	&dev_attr_status.attr,
	&dev_attr_error.attr,
	NULL,
};

static struct bin_attribute *upload_bin_attrs[] = {
	&bin_attr_data,
	NULL,
};

static const struct attribute_group upload_group = {
	.attrs = upload_attrs,
	.bin_attrs = upload_bin_attrs,
};

static const struct attribute_group *upload_groups[] = {
	&upload_group,
	NULL,
};

static void upload_release(struct device *dev)
{
	struct upload *upload = to_upload(dev);

	upload_drop(upload);
	kfree(upload);
}

static struct class upload_class = {
	.name = "tdx_firmware",
	.dev_groups = upload_groups,
	.dev_release = upload_release,
};

/**
 * upload_register - make an upload device
 * @parent: the device that it belongs to
 * @name: its name in the class
 * @ops: what happens to an image
 *
 * Return: the device, to be given to upload_unregister(), or an error pointer.
 */
struct fw_upload *upload_register(struct device *parent, const char *name,
				  const struct fw_upload_ops *ops)
{
	struct upload *upload;
	int ret;

	ret = class_register(&upload_class);
	if (ret)
		return ERR_PTR(ret);

	upload = kzalloc(sizeof(*upload), GFP_KERNEL);
	if (!upload) {
		ret = -ENOMEM;
		goto unregister_class;
	}
	upload->ops = ops;
	mutex_init(&upload->lock);
	INIT_WORK(&upload->work, upload_work);
	device_initialize(&upload->dev);
	upload->dev.parent = parent;
	upload->dev.class = &upload_class;
	ret = dev_set_name(&upload->dev, "%s", name);
	if (!ret)
		ret = device_add(&upload->dev);
	if (!ret)
		return &upload->handle;

	put_device(&upload->dev);
unregister_class:
	class_unregister(&upload_class);
	return ERR_PTR(ret);
}

void upload_unregister(struct fw_upload *handle)
{
	struct upload *upload = container_of(handle, struct upload, handle);

	/* No file is left through which work could be queued. */
	device_del(&upload->dev);
	cancel_work_sync(&upload->work);
	put_device(&upload->dev);
	class_unregister(&upload_class);
}

#endif /* RIG_OWN_UPLOAD */
