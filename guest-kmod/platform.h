/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where SEAMCALLs go: to the CPU, or, in a guest of KVM, to an emulator through
 * seam_shim. There no VMX operation has to be entered, the platform's MSRs are the
 * emulator's, and what this module sees goes into the rig's timeline at once.
 */
#ifndef RIG_PLATFORM_H
#define RIG_PLATFORM_H

#include <linux/types.h>

struct ring_record;

void platform_attach(void);
void platform_detach(void);
bool platform_is_shim(void);
int platform_read_msr(u32 msr, u64 *value);
void platform_record(const struct ring_record *record);

#endif /* RIG_PLATFORM_H */
