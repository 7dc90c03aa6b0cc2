// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * seam_shim: SEAMCALL for guests of KVM, where it raises #UD in the guest.
 *
 * The kernel asks its die notifiers before it looks for an exception fixup, so
 * every SEAMCALL of the kernel and of its modules comes here, unmodified. The
 * operands go to the emulator through this CPU's slot of an ivshmem device; the
 * answer is written to the registers and CF, and the instruction is stepped over.
 *
 * Interrupts: #UD comes through an interrupt gate and the notifiers run before
 * the kernel enables interrupts again, so a CPU waits with interrupts disabled,
 * as it does inside SEAM, and its slot has one user, in any context.
 *
 * NMI: one may come while this CPU waits; it does not touch the slot and the wait
 * goes on. A SEAMCALL made by an NMI handler meanwhile finds the slot busy: it is
 * left to the kernel as the #UD that it is, and warned of.
 *
 * Nested #UD: a WARN in the wait itself is UD2, which the kernel takes before any
 * notifier; another SEAMCALL cannot come from the wait. Should one all the same,
 * it is treated as that of an NMI.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bits.h>
#include <linux/cpumask.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/io.h>
#include <linux/irqflags.h>
#include <linux/kdebug.h>
#include <linux/kprobes.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/processor.h>
#include <linux/ptrace.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include <asm/barrier.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "ring.h"
#include "seamcall.h"
#include "shim.h"

#define IVSHMEM_VENDOR		0x1af4
#define IVSHMEM_DEVICE		0x1110
#define IVSHMEM_REGISTERS	0	/* BAR */
#define IVSHMEM_MEMORY		2	/* BAR */
#define IVSHMEM_DOORBELL	12	/* offset */
#define IVSHMEM_EMULATOR	BIT(16)		/* peer 1, its first vector */

static const u8 seamcall_opcode[] = { 0x66, 0x0f, 0x01, 0xcf };

static struct pci_dev *shim_device;
static void __iomem *shim_registers;
static struct shim_header *shim_header;
static DEFINE_PER_CPU(bool, shim_busy);

static struct shim_slot *shim_slot(void)
{
	struct shim_slot *slots = (void *)shim_header + SHIM_SLOTS;

	return &slots[smp_processor_id()];
}

/*
 * Posts the request in @slot and waits for its answer, however long that takes:
 * the emulator decides how long a SEAMCALL lasts. Interrupts are disabled.
 */
static void shim_ask(struct shim_slot *slot, enum shim_kind kind, u32 flags)
{
	u32 number = READ_ONCE(slot->reply) + 1;

	slot->kind = kind;
	slot->flags = flags;
	slot->guest_ns = ktime_get_mono_fast_ns();
	/* The emulator reads the rest after it saw the number. */
	smp_store_release(&slot->request, number);
	/* The emulator reads the request before it sleeps, or "sleeps" is set here. */
	smp_mb();
	if (READ_ONCE(shim_header->sleeps))
		writel(IVSHMEM_EMULATOR, shim_registers + IVSHMEM_DOORBELL);

	/* The answer is read after its number. */
	while (smp_load_acquire(&slot->reply) != number)
		cpu_relax();
}

static u32 shim_context(const struct pt_regs *regs)
{
	return (regs->flags & X86_EFLAGS_IF ? RING_FLAG_IF : 0) |
	       (in_hardirq() ? RING_FLAG_HARDIRQ : 0) | RING_FLAG_CONTEXT_KNOWN;
}

static void shim_load(u64 *to, const struct pt_regs *regs)
{
	to[SHIM_RAX] = regs->ax;
	to[SHIM_RCX] = regs->cx;
	to[SHIM_RDX] = regs->dx;
	to[SHIM_RBX] = regs->bx;
	to[SHIM_RSI] = regs->si;
	to[SHIM_RDI] = regs->di;
	to[SHIM_R8] = regs->r8;
	to[SHIM_R9] = regs->r9;
	to[SHIM_R10] = regs->r10;
	to[SHIM_R11] = regs->r11;
	to[SHIM_R12] = regs->r12;
	to[SHIM_R13] = regs->r13;
	to[SHIM_R14] = regs->r14;
	to[SHIM_R15] = regs->r15;
}

static void shim_store(struct pt_regs *regs, const u64 *from)
{
	regs->ax = from[SHIM_RAX];
	regs->cx = from[SHIM_RCX];
	regs->dx = from[SHIM_RDX];
	regs->bx = from[SHIM_RBX];
	regs->si = from[SHIM_RSI];
	regs->di = from[SHIM_RDI];
	regs->r8 = from[SHIM_R8];
	regs->r9 = from[SHIM_R9];
	regs->r10 = from[SHIM_R10];
	regs->r11 = from[SHIM_R11];
	regs->r12 = from[SHIM_R12];
	regs->r13 = from[SHIM_R13];
	regs->r14 = from[SHIM_R14];
	regs->r15 = from[SHIM_R15];
}

/* Whether the emulator completed the instruction; else #UD is what it is. */
static bool shim_serve(struct pt_regs *regs)
{
	struct shim_slot *slot = shim_slot();

	shim_load(slot->regs, regs);
	shim_ask(slot, SHIM_SEAMCALL, shim_context(regs));
	switch (slot->outcome) {
	case SHIM_RETURN:
		shim_store(regs, slot->regs);
		regs->flags &= ~X86_EFLAGS_CF;
		break;
	case SHIM_VMFAIL:
		regs->flags |= X86_EFLAGS_CF;
		break;
	default:
		return false;
	}
	regs->ip += sizeof(seamcall_opcode);
	return true;
}

static bool shim_is_seamcall(const struct pt_regs *regs)
{
	u8 code[sizeof(seamcall_opcode)];

	if (user_mode(regs))
		return false;
	if (copy_from_kernel_nofault(code, (void *)regs->ip, sizeof(code)))
		return false;
	return !memcmp(code, seamcall_opcode, sizeof(code));
}

static int shim_notify(struct notifier_block *block, unsigned long event,
		       void *data)
{
	struct die_args *args = data;
	bool served;

	if (event != DIE_TRAP || args->trapnr != X86_TRAP_UD ||
	    !shim_is_seamcall(args->regs))
		return NOTIFY_DONE;
	if (this_cpu_read(shim_busy)) {
		pr_warn_once("SEAMCALL inside a SEAMCALL of the same CPU is not served\n");
		return NOTIFY_DONE;
	}

	this_cpu_write(shim_busy, true);
	served = shim_serve(args->regs);
	this_cpu_write(shim_busy, false);
	return served ? NOTIFY_STOP : NOTIFY_DONE;
}
NOKPROBE_SYMBOL(shim_notify);

static struct notifier_block shim_block = {
	.notifier_call	= shim_notify,
	.priority	= INT_MAX,
};

static int shim_read_msr(u32 msr, u64 *value)
{
	struct shim_slot *slot;
	unsigned long flags;
	int ret = -EIO;

	local_irq_save(flags);
	slot = shim_slot();
	slot->regs[SHIM_RCX] = msr;
	shim_ask(slot, SHIM_READ_MSR, 0);
	if (slot->outcome == SHIM_RETURN) {
		*value = slot->regs[SHIM_RAX];
		ret = 0;
	}
	local_irq_restore(flags);
	return ret;
}

static void shim_record(u16 kind, u32 event_flags, u64 a, u64 b, u64 c, u64 d)
{
	struct shim_slot *slot;
	unsigned long flags;

	local_irq_save(flags);
	slot = shim_slot();
	slot->regs[0] = kind;
	slot->regs[1] = event_flags;
	slot->regs[2] = a;
	slot->regs[3] = b;
	slot->regs[4] = c;
	slot->regs[5] = d;
	shim_ask(slot, SHIM_RECORD, 0);
	local_irq_restore(flags);
}

const struct seam_shim_ops seam_shim_ops = {
	.read_msr	= shim_read_msr,
	.record		= shim_record,
};
EXPORT_SYMBOL_GPL(seam_shim_ops);

/* Whether SEAMCALL is something else than an undefined instruction here. */
static bool __init shim_is_needless(void)
{
	struct seamcall_args args = {};

	return seamcall(SEAMLDR_INFO, &args) != SEAMCALL_UD;
}

static int __init shim_check_header(u64 bytes)
{
	u64 slots_fit = (bytes - SHIM_SLOTS) / sizeof(struct shim_slot);

	if (shim_header->magic != SHIM_MAGIC ||
	    shim_header->version != SHIM_VERSION) {
		pr_err("the ivshmem device is no mailbox of version %d\n",
		       SHIM_VERSION);
		return -ENODEV;
	}
	if (nr_cpu_ids > min_t(u64, slots_fit, shim_header->num_slots)) {
		pr_err("%u CPUs, and the mailbox has %u slots\n", nr_cpu_ids,
		       shim_header->num_slots);
		return -E2BIG;
	}
	return 0;
}

static int __init shim_map(void)
{
	u64 bytes = pci_resource_len(shim_device, IVSHMEM_MEMORY);
	int ret;

	if (bytes <= SHIM_SLOTS)
		return -ENODEV;
	shim_registers = pci_iomap(shim_device, IVSHMEM_REGISTERS, 0);
	if (!shim_registers)
		return -ENOMEM;
	shim_header = memremap(pci_resource_start(shim_device, IVSHMEM_MEMORY),
			       bytes, MEMREMAP_WB);
	if (!shim_header) {
		ret = -ENOMEM;
		goto unmap_registers;
	}
	ret = shim_check_header(bytes);
	if (!ret)
		return 0;

	memunmap(shim_header);
unmap_registers:
	pci_iounmap(shim_device, shim_registers);
	return ret;
}

static void shim_unmap(void)
{
	memunmap(shim_header);
	pci_iounmap(shim_device, shim_registers);
}

static int __init shim_init(void)
{
	int ret;

	if (shim_is_needless()) {
		pr_err("SEAMCALL works here, or the CPU knows it\n");
		return -EBUSY;
	}
	shim_device = pci_get_device(IVSHMEM_VENDOR, IVSHMEM_DEVICE, NULL);
	if (!shim_device) {
		pr_err("there is no ivshmem device, so no emulator\n");
		return -ENODEV;
	}
	ret = pci_enable_device(shim_device);
	if (ret)
		goto put_device;
	ret = shim_map();
	if (ret)
		goto disable_device;
	ret = register_die_notifier(&shim_block);
	if (ret)
		goto unmap;
	return 0;

unmap:
	shim_unmap();
disable_device:
	pci_disable_device(shim_device);
put_device:
	pci_dev_put(shim_device);
	return ret;
}
module_init(shim_init);

static void __exit shim_exit(void)
{
	unregister_die_notifier(&shim_block);
	shim_unmap();
	pci_disable_device(shim_device);
	pci_dev_put(shim_device);
}
module_exit(shim_exit);

MODULE_DESCRIPTION("SEAMCALL through an emulator outside the virtual machine");
MODULE_LICENSE("GPL");
