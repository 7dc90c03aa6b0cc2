// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * VMX operation, which SEAMCALL needs, on kernels that do not enter it for TDX.
 *
 * Before Linux 6.19 this module enters it and excludes KVM: the second of
 * the two finds CR4.VMXE set and gives up. Since then only KVM can enter it, and
 * must have done so.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/printk.h>

#include <asm/asm.h>
#include <asm/msr.h>
#include <asm/special_insns.h>
#include <asm/tlbflush.h>

#include "bringup.h"
#include "compat.h"
#include "platform.h"

#ifdef RIG_OWN_VMX

#define VMX_REVISION_MASK	GENMASK(30, 0)

/* The VMXON region of each CPU. */
static DEFINE_PER_CPU(struct page *, vmxon_page);

/* 0, or -EIO when the instruction failed or trapped. */
static int vmx_on(u64 region)
{
	asm goto("1:	vmxon	%[region]\n"
		 "	jbe	%l[failed]\n"
		 _ASM_EXTABLE(1b, %l[failed])
		 : : [region] "m" (region) : "cc", "memory" : failed);
	return 0;
failed:
	return -EIO;
}

static void vmx_off(void)
{
	asm goto("1:	vmxoff\n"
		 _ASM_EXTABLE(1b, %l[trapped])
		 : : : "cc", "memory" : trapped);
trapped:
	return;
}

/* Enters VMX operation on this CPU; @page is its region from now on. */
static int vmx_enter(struct page *page)
{
	u64 basic;
	int ret;

	if (native_read_cr4() & X86_CR4_VMXE) {
		pr_err("CPU %d is in VMX operation already: unload KVM first\n",
		       raw_smp_processor_id());
		return -EBUSY;
	}
	if (rdmsrl_safe(MSR_IA32_VMX_BASIC, &basic))
		return -EOPNOTSUPP;

	*(u32 *)page_address(page) = basic & VMX_REVISION_MASK;
	cr4_set_bits(X86_CR4_VMXE);
	ret = vmx_on(page_to_phys(page));
	if (ret)
		cr4_clear_bits(X86_CR4_VMXE);
	return ret;
}

/**
 * vmx_cpu_enter - enter VMX operation on this CPU
 *
 * Called where the CPU stays the same and may sleep (a CPU hotplug callback).
 *
 * Return: 0 or an errno; -EBUSY when somebody else is in VMX operation.
 */
int vmx_cpu_enter(void)
{
	struct page *page;
	int ret;

	if (platform_is_shim())
		return 0;
	page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!page)
		return -ENOMEM;
	ret = vmx_enter(page);
	if (ret)
		__free_page(page);
	else
		this_cpu_write(vmxon_page, page);
	return ret;
}

/* Leaves VMX operation on this CPU, if this module entered it. */
void vmx_cpu_leave(void)
{
	struct page *page = this_cpu_read(vmxon_page);

	if (!page)
		return;
	vmx_off();
	cr4_clear_bits(X86_CR4_VMXE);
	this_cpu_write(vmxon_page, NULL);
	__free_page(page);
}

#else

/**
 * vmx_cpu_enter - see that this CPU is in VMX operation
 *
 * Return: 0; -EOPNOTSUPP when KVM has not entered it.
 */
int vmx_cpu_enter(void)
{
	if (platform_is_shim() || native_read_cr4() & X86_CR4_VMXE)
		return 0;
	pr_err("CPU %d is not in VMX operation: load kvm_intel first, with enable_virt_at_load\n",
	       raw_smp_processor_id());
	return -EOPNOTSUPP;
}

void vmx_cpu_leave(void)
{
	/* It is KVM's. */
}

#endif /* RIG_OWN_VMX */
