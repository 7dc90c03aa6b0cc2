/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SEAMCALL and the numbers that these modules use with it.
 *
 * Sources: Intel TDX Module ABI Specification; SEAM Loader Interface
 * Specification (343755). The software-defined results have the values that
 * Linux gives them, so that logs read alike.
 */
#ifndef RIG_SEAMCALL_H
#define RIG_SEAMCALL_H

#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/types.h>

#include <asm/asm.h>
#include <asm/trapnr.h>

/* P-SEAMLDR leaves: bit 63 distinguishes them from the TDX module's. */
#define SEAMLDR_INFO			0x8000000000000000ULL
#define SEAMLDR_INSTALL			0x8000000000000001ULL

/* TDX module leaves. */
#define TDH_PHYMEM_PAGE_RDMD		24
#define TDH_SYS_KEY_CONFIG		31
#define TDH_SYS_INIT			33
#define TDH_SYS_RD			34
#define TDH_SYS_LP_INIT			35
#define TDH_SYS_TDMR_INIT		36
#define TDH_SYS_CONFIG			45
#define TDH_SYS_SHUTDOWN		52
#define TDH_SYS_UPDATE			53

/* Metadata fields for TDH_SYS_RD. */
#define TDX_FIELD_MINOR_VERSION		0x0800000100000003ULL
#define TDX_FIELD_MAJOR_VERSION		0x0800000100000004ULL
#define TDX_FIELD_UPDATE_VERSION	0x0800000100000005ULL
#define TDX_FIELD_MODULE_HV		0x8900000100000000ULL
#define TDX_FIELD_NUM_CMRS		0x9000000100000000ULL
#define TDX_FIELD_CMR_BASE		0x9000000300000080ULL	/* + index */
#define TDX_FIELD_CMR_SIZE		0x9000000300000100ULL	/* + index */
#define TDX_FIELD_MAX_RESERVED_PER_TDMR	0x9100000100000009ULL

/* Completion status: the class and name, without operand ids in the low half. */
#define TDX_STATUS_MASK			GENMASK_ULL(63, 32)
#define TDX_STATUS_OPERAND_BUSY		0x8000020000000000ULL
#define TDX_STATUS_SYS_BUSY		0x8000020200000000ULL
#define TDX_STATUS_RND_NO_ENTROPY	0x8000020300000000ULL
#define TDX_STATUS_SYS_INIT_NOT_PENDING	0xC000050000000000ULL
#define TDX_STATUS_SYS_LP_INIT_DONE	0xC000050300000000ULL
#define TDX_STATUS_SYS_LP_INIT_NOT_PENDING 0xC000050B00000000ULL
#define TDX_STATUS_SYS_NOT_READY	0xC000050500000000ULL
#define TDX_STATUS_SYS_SHUTDOWN		0xC000050600000000ULL

/* Results that no firmware returns. */
#define SEAMCALL_SW_ERROR		(BIT_ULL(63) | GENMASK_ULL(47, 40))
#define SEAMCALL_VMFAILINVALID		(SEAMCALL_SW_ERROR | 0xFFFF0000ULL)
#define SEAMCALL_GP			(SEAMCALL_SW_ERROR | X86_TRAP_GP)
#define SEAMCALL_UD			(SEAMCALL_SW_ERROR | X86_TRAP_UD)

/* The operands that the leaves above use, in and out. */
struct seamcall_args {
	u64 rcx;
	u64 rdx;
	u64 r8;
	u64 r9;
	u64 r10;
	u64 r11;
};

/* How the instruction itself ended. */
enum seamcall_end {
	SEAMCALL_RETURNED,
	SEAMCALL_VMFAIL,
	SEAMCALL_TRAPPED,
};

/*
 * One SEAMCALL. The JC follows the instruction at once: it is where an emulator
 * that cannot set CF reports VMfailInvalid. On a trap the exception fixup
 * leaves its vector in RAX.
 *
 * Returns the completion status, or one of the results that no firmware
 * returns.
 */
static __always_inline u64 seamcall(u64 leaf, struct seamcall_args *args)
{
	register u64 r8 asm("r8") = args->r8;
	register u64 r9 asm("r9") = args->r9;
	register u64 r10 asm("r10") = args->r10;
	register u64 r11 asm("r11") = args->r11;
	u32 end = SEAMCALL_RETURNED;
	u64 rax = leaf;

	asm volatile("1:	.byte 0x66, 0x0f, 0x01, 0xcf\n"
		     "	jc	2f\n"
		     "	jmp	4f\n"
		     "2:	movl	%[vmfail], %[end]\n"
		     "	jmp	4f\n"
		     "3:	movl	%[trapped], %[end]\n"
		     "4:\n"
		     _ASM_EXTABLE_FAULT(1b, 3b)
		     : "+a" (rax), "+c" (args->rcx), "+d" (args->rdx),
		       "+r" (r8), "+r" (r9), "+r" (r10), "+r" (r11),
		       [end] "+r" (end)
		     : [vmfail] "i" (SEAMCALL_VMFAIL),
		       [trapped] "i" (SEAMCALL_TRAPPED)
		     : "cc", "memory");

	args->r8 = r8;
	args->r9 = r9;
	args->r10 = r10;
	args->r11 = r11;

	switch (end) {
	case SEAMCALL_VMFAIL:
		return SEAMCALL_VMFAILINVALID;
	case SEAMCALL_TRAPPED:
		return SEAMCALL_SW_ERROR | rax;
	default:
		return rax;
	}
}

/* Reads one metadata field; the caller stays on its CPU. */
static inline u64 seamcall_sys_rd(u64 field, u64 *value)
{
	struct seamcall_args args = { .rdx = field };
	u64 status = seamcall(TDH_SYS_RD, &args);

	*value = args.r8;
	return status;
}

/* The errno that Linux gives to a result. */
static inline int seamcall_errno(u64 status)
{
	switch (status) {
	case 0:
		return 0;
	case SEAMCALL_VMFAILINVALID:
		return -ENODEV;
	case SEAMCALL_GP:
		return -EOPNOTSUPP;
	case SEAMCALL_UD:
		return -EACCES;
	default:
		return -EIO;
	}
}

#endif /* RIG_SEAMCALL_H */
