// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tdx_raw: a character device through which user space makes any SEAMCALL and
 * gets the pages that the calls need, so that it can build, run and end trust
 * domains beside a kernel whose own TDX support is under test.
 *
 * It keeps the kernel's rule: each SEAMCALL runs with preemption disabled on
 * the CPU that the caller names, and stop_machine() does not interrupt such
 * regions. So no call is under way while the TDX module is updated.
 *
 * For emulated machines only: on hardware TDH.VP.ENTER spoils MSRs and extended
 * state that a real VMM saves, and user space could give the TDX module pages
 * that belong to others. It refuses to load outside a virtual machine.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/cpu.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>

#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/special_insns.h>

#include "raw.h"
#include "seamcall.h"

#define RAW_KEYID_PARTITIONING_MSR	0x87

/* TDH.PHYMEM.PAGE.RDMD: the page belongs to no TD and not to the module. */
#define RAW_PAGE_FREE			0

/* A busy TDX module is asked so often about a page. */
#define RAW_RDMD_TRIES			100

static_assert(offsetof(struct tdx_raw_call, rdi) == RAW_RDI);
static_assert(offsetof(struct tdx_raw_call, r15) == RAW_R15);

/* Pages that an open file owns. */
struct raw_block {
	struct list_head list;
	phys_addr_t address;
	size_t bytes;
};

struct raw_file {
	struct mutex lock;	/* protects blocks */
	struct list_head blocks;
};

static bool raw_vmx_is_on(void)
{
	return __read_cr4() & X86_CR4_VMXE;
}

/* One call, on a CPU that the caller cannot leave meanwhile. */
static int raw_run(struct tdx_raw_call *call)
{
	u32 cpu;
	int ret = 0;

	preempt_disable();
	cpu = smp_processor_id();
	if (call->cpu != RAW_ANY_CPU && call->cpu != cpu)
		ret = -EXDEV;
	else if (!raw_vmx_is_on())
		ret = -ENODEV;
	else
		call->end = raw_seamcall(call);
	preempt_enable();

	call->cpu = cpu;
	return ret;
}

static int raw_call(void __user *argument)
{
	struct tdx_raw_call call;
	int ret;

	if (copy_from_user(&call, argument, sizeof(call)))
		return -EFAULT;
	ret = raw_run(&call);
	if (ret)
		return ret;
	return copy_to_user(argument, &call, sizeof(call)) ? -EFAULT : 0;
}

/* Whether the TDX module has given the page back, as far as one can ask. */
static bool raw_page_is_free(phys_addr_t address)
{
	int try;

	for (try = 0; try < RAW_RDMD_TRIES; try++) {
		struct tdx_raw_call call = {
			.rax = TDH_PHYMEM_PAGE_RDMD,
			.rcx = address,
			.cpu = RAW_ANY_CPU,
		};

		if (raw_run(&call) || call.end != RAW_RETURNED)
			return false;
		if (!call.rax)
			return call.rcx == RAW_PAGE_FREE;
		if ((call.rax & TDX_STATUS_MASK) != TDX_STATUS_OPERAND_BUSY)
			return false;
		cond_resched();
	}
	return false;
}

static bool raw_block_is_free(const struct raw_block *block)
{
	size_t at;

	for (at = 0; at < block->bytes; at += PAGE_SIZE) {
		if (!raw_page_is_free(block->address + at))
			return false;
	}
	return true;
}

static void raw_free_block(struct raw_block *block)
{
	list_del(&block->list);
	free_pages_exact(phys_to_virt(block->address), block->bytes);
	kfree(block);
}

static int raw_add_block(struct raw_file *file, size_t bytes, u64 *address)
{
	struct raw_block *block;
	void *pages;

	block = kzalloc(sizeof(*block), GFP_KERNEL);
	if (!block)
		return -ENOMEM;
	pages = alloc_pages_exact(bytes, GFP_KERNEL | __GFP_ZERO);
	if (!pages) {
		kfree(block);
		return -ENOMEM;
	}
	block->address = virt_to_phys(pages);
	block->bytes = bytes;
	*address = block->address;

	mutex_lock(&file->lock);
	list_add(&block->list, &file->blocks);
	mutex_unlock(&file->lock);
	return 0;
}

static int raw_alloc(struct raw_file *file, void __user *argument)
{
	struct tdx_raw_block block;
	int ret;

	if (copy_from_user(&block, argument, sizeof(block)))
		return -EFAULT;
	if (!block.bytes || block.bytes > RAW_MAX_BLOCK ||
	    block.bytes % PAGE_SIZE)
		return -EINVAL;
	ret = raw_add_block(file, block.bytes, &block.address);
	if (ret)
		return ret;
	/* On a fault the block stays the file's until it is closed. */
	return copy_to_user(argument, &block, sizeof(block)) ? -EFAULT : 0;
}

/* The block that holds all of a range; the caller has the lock. */
static struct raw_block *raw_find(struct raw_file *file, u64 address, u64 bytes)
{
	struct raw_block *block;

	list_for_each_entry(block, &file->blocks, list) {
		u64 at = address - block->address;

		if (address >= block->address && at <= block->bytes &&
		    bytes <= block->bytes - at)
			return block;
	}
	return NULL;
}

static int raw_free(struct raw_file *file, void __user *argument)
{
	struct tdx_raw_block wanted;
	struct raw_block *block;
	int ret = 0;

	if (copy_from_user(&wanted, argument, sizeof(wanted)))
		return -EFAULT;

	mutex_lock(&file->lock);
	block = raw_find(file, wanted.address, PAGE_SIZE);
	if (!block || block->address != wanted.address)
		ret = -ENXIO;
	else if (!raw_block_is_free(block))
		ret = -EBUSY;
	else
		raw_free_block(block);
	mutex_unlock(&file->lock);
	return ret;
}

static int raw_copy(struct raw_file *file, void __user *argument, bool write)
{
	struct tdx_raw_copy copy;
	void __user *buffer;
	int ret = 0;
	void *pages;

	if (copy_from_user(&copy, argument, sizeof(copy)))
		return -EFAULT;
	buffer = u64_to_user_ptr(copy.buffer);

	mutex_lock(&file->lock);
	pages = phys_to_virt(copy.address);
	if (!raw_find(file, copy.address, copy.bytes))
		ret = -ENXIO;
	else if (write && copy_from_user(pages, buffer, copy.bytes))
		ret = -EFAULT;
	else if (!write && copy_to_user(buffer, pages, copy.bytes))
		ret = -EFAULT;
	mutex_unlock(&file->lock);
	return ret;
}

static int raw_info(void __user *argument)
{
	struct tdx_raw_info info = {};
	u32 nr_mktme, nr_tdx;

	if (rdmsr_safe(RAW_KEYID_PARTITIONING_MSR, &nr_mktme, &nr_tdx))
		return -ENODEV;
	/* KeyID 0 is neither. */
	info.first_keyid = nr_mktme + 1;
	info.nr_keyids = nr_tdx;
	return copy_to_user(argument, &info, sizeof(info)) ? -EFAULT : 0;
}

static long raw_ioctl(struct file *opened, unsigned int command,
		      unsigned long argument)
{
	void __user *user = (void __user *)argument;
	struct raw_file *file = opened->private_data;

	switch (command) {
	case TDX_RAW_CALL:
		return raw_call(user);
	case TDX_RAW_ALLOC:
		return raw_alloc(file, user);
	case TDX_RAW_FREE:
		return raw_free(file, user);
	case TDX_RAW_READ:
		return raw_copy(file, user, false);
	case TDX_RAW_WRITE:
		return raw_copy(file, user, true);
	case TDX_RAW_INFO:
		return raw_info(user);
	default:
		return -ENOTTY;
	}
}

static int raw_open(struct inode *inode, struct file *opened)
{
	struct raw_file *file;

	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	file = kzalloc(sizeof(*file), GFP_KERNEL);
	if (!file)
		return -ENOMEM;
	mutex_init(&file->lock);
	INIT_LIST_HEAD(&file->blocks);
	opened->private_data = file;
	return 0;
}

/* Pages that the TDX module still has must not be used for anything else. */
static int raw_release(struct inode *inode, struct file *opened)
{
	struct raw_file *file = opened->private_data;
	struct raw_block *block, *next;
	size_t lost = 0;

	list_for_each_entry_safe(block, next, &file->blocks, list) {
		if (raw_block_is_free(block)) {
			raw_free_block(block);
			continue;
		}
		lost += block->bytes;
		list_del(&block->list);
		kfree(block);
	}
	if (lost)
		pr_warn("%zu KiB still belong to the TDX module and are lost\n",
			lost / 1024);
	kfree(file);
	return 0;
}

static const struct file_operations raw_operations = {
	.owner		= THIS_MODULE,
	.open		= raw_open,
	.release	= raw_release,
	.unlocked_ioctl	= raw_ioctl,
};

static struct miscdevice raw_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "tdx_raw",
	.fops	= &raw_operations,
	.mode	= 0600,
};

static void raw_count_vmx_off(void *count)
{
	if (!raw_vmx_is_on())
		atomic_inc(count);
}

/* Whether SEAMCALL works here, on every CPU. */
static int __init raw_check_platform(void)
{
	atomic_t without_vmx = ATOMIC_INIT(0);
	struct tdx_raw_call call = {
		.rax = TDH_SYS_RD,
		.rdx = TDX_FIELD_UPDATE_VERSION,
		.cpu = RAW_ANY_CPU,
	};

	if (!boot_cpu_has(X86_FEATURE_HYPERVISOR)) {
		pr_err("this is no virtual machine: user space could ruin it\n");
		return -EPERM;
	}
#ifdef X86_FEATURE_TDX_HOST_PLATFORM
	if (!boot_cpu_has(X86_FEATURE_TDX_HOST_PLATFORM)) {
		pr_err("the kernel found no TDX platform\n");
		return -ENODEV;
	}
#endif
	on_each_cpu(raw_count_vmx_off, &without_vmx, 1);
	if (atomic_read(&without_vmx)) {
		pr_err("VMX is off on %d CPUs (CR4.VMXE): nobody uses TDX\n",
		       atomic_read(&without_vmx));
		return -ENODEV;
	}
	if (raw_run(&call) || call.end != RAW_RETURNED || call.rax) {
		pr_err("no TDX module answers: TDH.SYS.RD gave 0x%016llx (end %u)\n",
		       call.rax, call.end);
		return -ENODEV;
	}
	return 0;
}

static int __init raw_init(void)
{
	int ret;

	ret = raw_check_platform();
	if (ret)
		return ret;
	return misc_register(&raw_device);
}
module_init(raw_init);

static void __exit raw_exit(void)
{
	misc_deregister(&raw_device);
}
module_exit(raw_exit);

MODULE_DESCRIPTION("SEAMCALLs of user space's choice, in emulated machines");
MODULE_LICENSE("GPL");
