// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Engines: how other users of SEAMCALL are kept out during an update, and how
 * all CPUs are brought in. stop_machine() does both. The two others are designs
 * that were rejected in review, kept as demonstrations of what they lack; they
 * are not for use:
 *
 * rwlock: each SEAMCALL is a reader, the update is the writer. A CPU that wants
 *	to read with interrupts disabled spins until the update is over, and the
 *	update waits for that CPU to take part: nothing can direct it.
 * kick:	entries to guests take a lock, and CPUs that are in guests are kicked
 *	out. Other callers of SEAMCALL are not kept out.
 *
 * In both, the lead stops the old module before it directs the other CPUs by
 * interrupts: the steps until then do not need them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/cpu.h>
#include <linux/export.h>
#include <linux/irqflags.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <linux/rwsem.h>
#include <linux/smp.h>
#include <linux/stop_machine.h>

#include "gate.h"
#include "update.h"

/* The twins have no engine but stop_machine(), and one name has one owner. */
#ifdef TDX_UPDATE_TWINS
#define ENGINE_EXPORT(symbol)
#else
#define ENGINE_EXPORT(symbol)	EXPORT_SYMBOL_GPL(symbol)
#endif

/* What others see of the engine; set once, when the module is loaded. */
static enum engine engine_chosen;

/* ENGINE_RWLOCK: who makes a SEAMCALL reads. */
static DEFINE_RWLOCK(engine_calls);
/* ENGINE_KICK: who enters a guest reads. */
static DECLARE_RWSEM(engine_guests);

static DEFINE_PER_CPU(call_single_data_t, engine_interrupt);
/* CPUs that were directed and have not left yet. */
static atomic_t engine_directed;
static int engine_result;

void engine_choose(enum engine engine)
{
	engine_chosen = engine;
}

void tdx_update_gate_enter(bool guest)
{
	if (engine_chosen == ENGINE_RWLOCK)
		read_lock(&engine_calls);
	else if (engine_chosen == ENGINE_KICK && guest)
		down_read(&engine_guests);
}
ENGINE_EXPORT(tdx_update_gate_enter);

void tdx_update_gate_leave(bool guest)
{
	if (engine_chosen == ENGINE_RWLOCK)
		read_unlock(&engine_calls);
	else if (engine_chosen == ENGINE_KICK && guest)
		up_read(&engine_guests);
}
ENGINE_EXPORT(tdx_update_gate_leave);

/* A directed CPU goes through the steps in the interrupt. */
static void engine_arrive(void *ctrl)
{
	int ret = lockstep_run(ctrl);

	if (ret)
		WRITE_ONCE(engine_result, ret);
	atomic_dec(&engine_directed);
}

/* The lead calls the other CPUs in; it has interrupts disabled and does not wait. */
void engine_direct(struct lockstep *ctrl)
{
	unsigned int cpu;

	if (ctrl->engine == ENGINE_STOP_MACHINE)
		return;

	for_each_online_cpu(cpu) {
		call_single_data_t *interrupt = per_cpu_ptr(&engine_interrupt, cpu);

		if (cpu == smp_processor_id())
			continue;
		INIT_CSD(interrupt, engine_arrive, ctrl);
		atomic_inc(&engine_directed);
		if (smp_call_function_single_async(cpu, interrupt))
			atomic_dec(&engine_directed);
	}
}

static void engine_kicked(void *unused)
{
	/* The interrupt was all: the CPU is out of its guest. */
}

/* On CPU 0, in process context. */
static int engine_lead(void *data)
{
	struct lockstep *ctrl = data;
	int ret;

	if (ctrl->engine == ENGINE_RWLOCK) {
		write_lock_irq(&engine_calls);
		ret = lockstep_run(ctrl);
		write_unlock_irq(&engine_calls);
	} else {
		local_irq_disable();
		ret = lockstep_run(ctrl);
		local_irq_enable();
	}
	while (atomic_read(&engine_directed))
		cpu_relax();
	return ret ?: READ_ONCE(engine_result);
}

/*
 * Keeps others out, brings all CPUs to lockstep_run() and lets them go.
 *
 * Return: 0 or the errno of a CPU.
 */
int engine_run(struct lockstep *ctrl)
{
	int ret;

	if (ctrl->engine == ENGINE_STOP_MACHINE)
		return stop_machine(lockstep_run, ctrl, cpu_online_mask);

	cpus_read_lock();
	WRITE_ONCE(engine_result, 0);
	if (ctrl->engine == ENGINE_KICK) {
		down_write(&engine_guests);
		smp_call_function(engine_kicked, NULL, 1);
	}
	ret = smp_call_on_cpu(0, engine_lead, ctrl, false);
	if (ctrl->engine == ENGINE_KICK)
		up_write(&engine_guests);
	cpus_read_unlock();
	return ret;
}
