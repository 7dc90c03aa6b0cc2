/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What differs between the kernels from 6.1 on that these modules build for. */
#ifndef RIG_COMPAT_H
#define RIG_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*function)(struct hrtimer *),
				 clockid_t clock_id, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock_id, mode);
	timer->function = function;
}
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
#define rdmsrl_safe(msr, value)	rdmsrq_safe(msr, value)
#endif

#endif /* RIG_COMPAT_H */
