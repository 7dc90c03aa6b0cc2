// SPDX-License-Identifier: GPL-2.0-or-later
/* The CPU, or the emulator behind seam_shim if that is loaded. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

#include <asm/msr.h>

#include "compat.h"
#include "platform.h"
#include "ring.h"
#include "shim.h"

static const struct seam_shim_ops *platform_shim;

/* Takes seam_shim, which then stays, if it was loaded before. */
void platform_attach(void)
{
	platform_shim = symbol_get(seam_shim_ops);
}

void platform_detach(void)
{
	if (platform_shim)
		symbol_put(seam_shim_ops);
	platform_shim = NULL;
}

bool platform_is_shim(void)
{
	return platform_shim;
}

/* Return: 0 or an errno. */
int platform_read_msr(u32 msr, u64 *value)
{
	return platform_shim ? platform_shim->read_msr(msr, value) :
			       rdmsrl_safe(msr, value);
}

/* The emulator sees SEAMCALLs itself. */
void platform_record(const struct ring_record *record)
{
	if (!platform_shim || record->kind == RING_SEAMCALL_ENTER ||
	    record->kind == RING_SEAMCALL_EXIT)
		return;
	platform_shim->record(record->kind, record->flags, record->a, record->b,
			      record->c, record->d);
}
