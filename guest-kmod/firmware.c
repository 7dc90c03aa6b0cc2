// SPDX-License-Identifier: GPL-2.0-or-later
/* The SEAMCALLs of an update, with their locks, retries and errors. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/spinlock.h>

#include "ring.h"
#include "seamcall.h"
#include "trace.h"
#include "update.h"

/* As often as Linux asks again when the module found no entropy. */
#define ENTROPY_RETRIES	10

/*
 * Only one LP can be inside P-SEAMLDR; a second one gets VMfailInvalid. Raw,
 * because INSTALL comes with interrupts disabled.
 */
static DEFINE_RAW_SPINLOCK(loader_lock);

/*
 * TDH.SYS.INIT is made once for each module, by whichever CPU comes first.
 * SHUTDOWN of the old module begins a new round. Under @init_lock.
 */
static DEFINE_RAW_SPINLOCK(init_lock);
static bool sys_init_done;
static int sys_init_result;

static u32 firmware_flags(u64 status)
{
	switch (status) {
	case SEAMCALL_VMFAILINVALID:
		return RING_FLAG_VMFAIL;
	case SEAMCALL_UD:
		return RING_FLAG_UD;
	case SEAMCALL_GP:
		return RING_FLAG_GP;
	default:
		return 0;
	}
}

/* One SEAMCALL, with its traces. */
static u64 firmware_recorded_call(u64 leaf, struct seamcall_args *args)
{
	u64 status;

	ring_seamcall(ring_stamp(), RING_SEAMCALL_ENTER, 0, leaf, args->rcx,
		      args->rdx, args->r8);
	status = seamcall(leaf, args);
	ring_seamcall(ring_stamp(), RING_SEAMCALL_EXIT, firmware_flags(status),
		      leaf, status, args->rcx, args->rdx);
	trace_tdx_update_seamcall(leaf, status);
	return status;
}

/* One SEAMCALL, asked again while the module finds no entropy. */
static u64 firmware_status(u64 leaf, struct seamcall_args *args)
{
	struct seamcall_args in = *args;
	int tries = ENTROPY_RETRIES;
	u64 status;

	do {
		*args = in;
		preempt_disable();
		status = firmware_recorded_call(leaf, args);
		preempt_enable();
	} while (status == TDX_STATUS_RND_NO_ENTROPY && --tries);

	return status;
}

static int firmware_report(u64 leaf, u64 status)
{
	int ret = seamcall_errno(status);

	if (ret == -EIO)
		pr_err("SEAMCALL (0x%016llx) failed: 0x%016llx\n", leaf, status);
	return ret;
}

static int firmware_call(u64 leaf, struct seamcall_args *args)
{
	return firmware_report(leaf, firmware_status(leaf, args));
}

static int firmware_loader_call(u64 leaf, phys_addr_t operand)
{
	struct seamcall_args args = { .rcx = operand };
	unsigned long flags;
	int ret;

	if (twin_is(TWIN_NO_LOADER_LOCK)) {
		twin_meet();
		return firmware_call(leaf, &args);
	}

	raw_spin_lock_irqsave(&loader_lock, flags);
	ret = firmware_call(leaf, &args);
	raw_spin_unlock_irqrestore(&loader_lock, flags);
	return ret;
}

/* Reads one metadata field. */
int firmware_read(u64 field, u64 *value)
{
	struct seamcall_args args = { .rdx = field };
	int ret = firmware_call(TDH_SYS_RD, &args);

	*value = args.r8;
	return ret;
}

/* Stops the module; it hands over at its own, highest, handoff version. */
int firmware_shutdown(void)
{
	struct seamcall_args args = {};
	int ret;

	ret = firmware_read(TDX_FIELD_MODULE_HV, &args.rcx);
	if (ret)
		return ret;

	ret = firmware_call(TDH_SYS_SHUTDOWN, &args);
	if (ret)
		return ret;

	/* No other CPU initialises anything now: they wait for this step. */
	sys_init_done = false;
	return 0;
}

int firmware_install(const struct seamldr_params *params)
{
	return firmware_loader_call(SEAMLDR_INSTALL, virt_to_phys((void *)params));
}

/* Initialises the new module as a whole, once. */
int firmware_sys_init(void)
{
	struct seamcall_args args = {};
	unsigned long flags;
	int ret;

	raw_spin_lock_irqsave(&init_lock, flags);
	if (!sys_init_done) {
		sys_init_result = firmware_call(TDH_SYS_INIT, &args);
		sys_init_done = true;
	}
	ret = sys_init_result;
	raw_spin_unlock_irqrestore(&init_lock, flags);
	return ret;
}

/* Makes this CPU known to the new module. */
int firmware_cpu_init(void)
{
	struct seamcall_args args = {};
	int ret;

	ret = firmware_sys_init();
	if (ret)
		return ret;
	return firmware_call(TDH_SYS_LP_INIT, &args);
}

/* The new module takes over what the old one handed over. */
int firmware_run_update(void)
{
	struct seamcall_args args = {};

	return firmware_call(TDH_SYS_UPDATE, &args);
}

/*
 * Reads the whole version of one module: stop_machine(), hence an update, does
 * not interrupt a region with preemption disabled.
 */
int firmware_read_version(struct tdx_version *version)
{
	u64 major, minor, update;
	int ret;

	preempt_disable();
	ret = firmware_read(TDX_FIELD_MAJOR_VERSION, &major);
	if (!ret)
		ret = firmware_read(TDX_FIELD_MINOR_VERSION, &minor);
	if (!ret)
		ret = firmware_read(TDX_FIELD_UPDATE_VERSION, &update);
	preempt_enable();
	if (ret)
		return ret;

	*version = (struct tdx_version) {
		.major = major,
		.minor = minor,
		.update = update,
	};
	return 0;
}

/* @info comes from kmalloc(): P-SEAMLDR wants its physical address. */
int firmware_read_info(struct seamldr_info *info)
{
	return firmware_loader_call(SEAMLDR_INFO, virt_to_phys(info));
}

/* Whether SEAMCALL works on this CPU and a module answers. */
int firmware_probe(void)
{
	u64 value;

	return firmware_read(TDX_FIELD_UPDATE_VERSION, &value);
}

/*
 * Makes this CPU known to the module, whatever was done before: an earlier load
 * of this driver may have initialised it already.
 */
int firmware_cpu_join(void)
{
	struct seamcall_args args = {};
	u64 status;

	status = firmware_status(TDH_SYS_INIT, &args);
	if (status && status != TDX_STATUS_SYS_INIT_NOT_PENDING)
		return firmware_report(TDH_SYS_INIT, status);

	args = (struct seamcall_args) {};
	status = firmware_status(TDH_SYS_LP_INIT, &args);
	if (status && status != TDX_STATUS_SYS_LP_INIT_DONE &&
	    status != TDX_STATUS_SYS_LP_INIT_NOT_PENDING)
		return firmware_report(TDH_SYS_LP_INIT, status);

	/* Answered only where the LP is known, whenever that came about. */
	return firmware_probe();
}

/* Has the form that smp_call_on_cpu() wants. */
int firmware_key_config(void *unused)
{
	struct seamcall_args args = {};

	return firmware_call(TDH_SYS_KEY_CONFIG, &args);
}

/* @tdmrs: physical address of an array of @num_tdmrs physical addresses. */
int firmware_config(phys_addr_t tdmrs, u32 num_tdmrs, u64 keyid)
{
	struct seamcall_args args = {
		.rcx = tdmrs,
		.rdx = num_tdmrs,
		.r8 = keyid,
	};

	return firmware_call(TDH_SYS_CONFIG, &args);
}

/* Initialises a piece of the TDMR at @base; @next is where the rest begins. */
int firmware_tdmr_init(u64 base, u64 *next)
{
	struct seamcall_args args = { .rcx = base };
	int ret = firmware_call(TDH_SYS_TDMR_INIT, &args);

	*next = args.rdx;
	return ret;
}

/* Whether the module is past its configuration: any page will do to ask. */
bool firmware_is_ready(void)
{
	struct seamcall_args args = { .rcx = page_to_phys(ZERO_PAGE(0)) };
	u64 status = firmware_status(TDH_PHYMEM_PAGE_RDMD, &args);

	return (status & TDX_STATUS_MASK) != TDX_STATUS_SYS_NOT_READY;
}
