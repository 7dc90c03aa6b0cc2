/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * seam_shim: the memory that a CPU shares with the emulator, and what other
 * modules here may ask of it. The layout is that of seam-emu/mailbox/src/slots.rs.
 */
#ifndef RIG_SHIM_H
#define RIG_SHIM_H

#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

#define SHIM_MAGIC	0x31584F424D414553ULL	/* "SEAMBOX1" */
#define SHIM_VERSION	1
#define SHIM_SLOTS	4096			/* where the slots begin */

struct shim_header {
	u64 magic;
	u32 version;
	u32 num_slots;
	u8 gap[48];
	u32 sleeps;		/* the emulator wants the doorbell */
};
static_assert(offsetof(struct shim_header, sleeps) == 64);

enum shim_kind {
	SHIM_SEAMCALL	= 1,
	SHIM_RECORD	= 2,	/* an event: kind, flags, a to d for registers */
	SHIM_READ_MSR	= 3,	/* RCX is its number, RAX comes back */
};

enum shim_outcome {
	SHIM_RETURN	= 0,
	SHIM_VMFAIL	= 1,
	SHIM_UD		= 2,
	SHIM_GP		= 3,
};

/* The operands of SEAMCALL, in the order in which a slot has them. */
enum shim_reg {
	SHIM_RAX, SHIM_RCX, SHIM_RDX, SHIM_RBX, SHIM_RSI, SHIM_RDI, SHIM_R8,
	SHIM_R9, SHIM_R10, SHIM_R11, SHIM_R12, SHIM_R13, SHIM_R14, SHIM_R15,
	NR_SHIM_REGS,
};

/* One CPU's. The number of a request is stored last, and that of a reply, too. */
struct shim_slot {
	u32 request;
	u32 kind;
	u32 flags;
	u32 gap;
	u64 guest_ns;
	u8 gap2[40];
	u64 regs[NR_SHIM_REGS];
	u8 gap3[16];
	u32 reply;
	u32 outcome;
	u8 gap4[56];
};
static_assert(offsetof(struct shim_slot, regs) == 64);
static_assert(offsetof(struct shim_slot, reply) == 192);
static_assert(sizeof(struct shim_slot) == 256);

/* For modules that go on without it: found by symbol_get(). */
struct seam_shim_ops {
	/* 0, or -EIO when the platform does not define the register. */
	int (*read_msr)(u32 msr, u64 *value);
	/* Puts an event into the rig's timeline now. Not from an NMI. */
	void (*record)(u16 kind, u32 flags, u64 a, u64 b, u64 c, u64 d);
};

extern const struct seam_shim_ops seam_shim_ops;

#endif /* RIG_SHIM_H */
