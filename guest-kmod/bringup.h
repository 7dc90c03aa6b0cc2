/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a TDX module ready on kernels without TDX host support, and wherever
 * seam_shim serves SEAMCALLs: there the kernel finds no TDX platform.
 *
 * Kernels since 6.19 keep CR4 to themselves and KVM, so that no other module can
 * enter VMX operation. There kvm_intel has to be loaded first, which does so on
 * every CPU (enable_virt_at_load), and has to stay.
 */
#ifndef RIG_BRINGUP_H
#define RIG_BRINGUP_H

#include <linux/errno.h>
#include <linux/printk.h>
#include <linux/types.h>
#include <linux/version.h>

#if !IS_ENABLED(CONFIG_INTEL_TDX_HOST) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
#define RIG_OWN_VMX
#endif

/* bringup.c */
int bringup_start(void);
void bringup_stop(void);

/* vmx.c */
int vmx_cpu_enter(void);
void vmx_cpu_leave(void);

/* tdmr.c: TDMRs over all convertible memory, and their PAMTs. */
struct tdmr_set {
	u32 num;
	u32 max_reserved;
	struct tdmr *tdmrs;	/* @num, 512-byte aligned */
	u64 *addresses;		/* physical addresses of @tdmrs */
};

struct tdmr_set *tdmr_set_create(void);
int tdmr_set_init(const struct tdmr_set *set);
void tdmr_set_destroy(struct tdmr_set *set, bool with_pamts);

#endif /* RIG_BRINGUP_H */
