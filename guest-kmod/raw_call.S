/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SEAMCALL with all general registers but RBP and RSP, which TDH.VP.ENTER
 * needs. The JC follows the instruction at once: it is where an emulator that
 * cannot set CF reports VMfailInvalid.
 */
#include <linux/linkage.h>
#include <asm/asm.h>

#include "raw.h"

/* u32 raw_seamcall(struct tdx_raw_call *call): how it ended. */
SYM_FUNC_START(raw_seamcall)
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rdi

	movq	RAW_RAX(%rdi), %rax
	movq	RAW_RBX(%rdi), %rbx
	movq	RAW_RCX(%rdi), %rcx
	movq	RAW_RDX(%rdi), %rdx
	movq	RAW_RSI(%rdi), %rsi
	movq	RAW_R8(%rdi), %r8
	movq	RAW_R9(%rdi), %r9
	movq	RAW_R10(%rdi), %r10
	movq	RAW_R11(%rdi), %r11
	movq	RAW_R12(%rdi), %r12
	movq	RAW_R13(%rdi), %r13
	movq	RAW_R14(%rdi), %r14
	movq	RAW_R15(%rdi), %r15
	movq	RAW_RDI(%rdi), %rdi

.Lseamcall:
	.byte	0x66, 0x0f, 0x01, 0xcf
	jc	.Lvmfail

	/* Every register is an output: RDI makes way for the pointer. */
	pushq	%rdi
	movq	8(%rsp), %rdi
	movq	%rax, RAW_RAX(%rdi)
	movq	%rbx, RAW_RBX(%rdi)
	movq	%rcx, RAW_RCX(%rdi)
	movq	%rdx, RAW_RDX(%rdi)
	movq	%rsi, RAW_RSI(%rdi)
	movq	%r8, RAW_R8(%rdi)
	movq	%r9, RAW_R9(%rdi)
	movq	%r10, RAW_R10(%rdi)
	movq	%r11, RAW_R11(%rdi)
	movq	%r12, RAW_R12(%rdi)
	movq	%r13, RAW_R13(%rdi)
	movq	%r14, RAW_R14(%rdi)
	movq	%r15, RAW_R15(%rdi)
	popq	%rax
	movq	%rax, RAW_RDI(%rdi)
	movl	$RAW_RETURNED, %eax

.Lout:
	addq	$8, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	RET

.Lvmfail:
	movl	$RAW_VMFAIL, %eax
	jmp	.Lout

	/* The exception fixup left the vector in RAX. */
.Ltrap:
	movq	(%rsp), %rdi
	movq	%rax, RAW_RAX(%rdi)
	movl	$RAW_TRAPPED, %eax
	jmp	.Lout

	_ASM_EXTABLE_FAULT(.Lseamcall, .Ltrap)
SYM_FUNC_END(raw_seamcall)
