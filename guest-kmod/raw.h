/* SPDX-License-Identifier: GPL-2.0-or-later WITH Linux-syscall-note */
/*
 * /dev/tdx_raw: SEAMCALLs of user space's choice, and the pages to make them
 * with. All numbers are the host's byte order.
 */
#ifndef RIG_RAW_H
#define RIG_RAW_H

/* Offsets into struct tdx_raw_call, for raw_call.S. */
#define RAW_RAX		0
#define RAW_RBX		8
#define RAW_RCX		16
#define RAW_RDX		24
#define RAW_RSI		32
#define RAW_RDI		40
#define RAW_R8		48
#define RAW_R9		56
#define RAW_R10		64
#define RAW_R11		72
#define RAW_R12		80
#define RAW_R13		88
#define RAW_R14		96
#define RAW_R15		104

/* How the instruction ended. */
#define RAW_RETURNED	0	/* all registers are its outputs */
#define RAW_VMFAIL	1	/* VMfailInvalid (CF): registers are as they were */
#define RAW_TRAPPED	2	/* RAX holds the exception's vector */

/* The call may run on any CPU. */
#define RAW_ANY_CPU	0xFFFFFFFF

/* Largest block of pages, bytes. */
#define RAW_MAX_BLOCK	(1 << 20)

#ifndef __ASSEMBLY__
#include <linux/ioctl.h>
#include <linux/types.h>

/* Registers before and after; RBP and RSP are never passed. */
struct tdx_raw_call {
	__u64 rax;
	__u64 rbx;
	__u64 rcx;
	__u64 rdx;
	__u64 rsi;
	__u64 rdi;
	__u64 r8;
	__u64 r9;
	__u64 r10;
	__u64 r11;
	__u64 r12;
	__u64 r13;
	__u64 r14;
	__u64 r15;
	__u32 cpu;	/* in: the caller's CPU, or RAW_ANY_CPU; out: where it ran */
	__u32 end;	/* out: RAW_RETURNED, RAW_VMFAIL or RAW_TRAPPED */
};

/* Physically contiguous pages, zeroed, for TDX or for operands. */
struct tdx_raw_block {
	__u64 bytes;	/* in: a multiple of 4096, at most RAW_MAX_BLOCK */
	__u64 address;	/* physical; out for ALLOC, in for FREE */
};

/* A copy between user space and a block. */
struct tdx_raw_copy {
	__u64 address;	/* physical */
	__u64 bytes;
	__u64 buffer;	/* user space */
};

/* What the platform gives TDs. */
struct tdx_raw_info {
	__u32 first_keyid;	/* the kernel keeps this one for the module itself */
	__u32 nr_keyids;	/* that one included */
};

/*
 * CALL: EXDEV when the caller is on another CPU than it says, ENODEV when that
 * CPU has VMX off. FREE: EBUSY while a page belongs to the TDX module. READ,
 * WRITE: ENXIO outside the file's own blocks.
 */
#define TDX_RAW_CALL	_IOWR(0xD7, 1, struct tdx_raw_call)
#define TDX_RAW_ALLOC	_IOWR(0xD7, 2, struct tdx_raw_block)
#define TDX_RAW_FREE	_IOW(0xD7, 3, struct tdx_raw_block)
#define TDX_RAW_READ	_IOW(0xD7, 4, struct tdx_raw_copy)
#define TDX_RAW_WRITE	_IOW(0xD7, 5, struct tdx_raw_copy)
#define TDX_RAW_INFO	_IOR(0xD7, 6, struct tdx_raw_info)

#ifdef __KERNEL__
/* One SEAMCALL; returns how it ended. In raw_call.S. */
u32 raw_seamcall(struct tdx_raw_call *call);
#endif
#endif /* __ASSEMBLY__ */

#endif /* RIG_RAW_H */
