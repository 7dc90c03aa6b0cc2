// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Engines: how other users of SEAMCALL are kept out during an update, and how
 * all CPUs are brought in. stop_machine() does both. The others are kept as
 * demonstrations of what they lack; they are not for use. Two are designs that
 * were rejected in review, the third has the shape of an engine that a vendor's
 * kernel had in 2023:
 *
 * rwlock: each SEAMCALL is a reader, the update is the writer. A CPU that wants
 *	to read with interrupts disabled spins until the update is over, and the
 *	update waits for that CPU to take part: nothing can direct it.
 * kick:	entries to guests take a lock, and CPUs that are in guests are kicked
 *	out. Other callers of SEAMCALL are not kept out.
 *
 * notifier: users of SEAMCALL register, are told before and after an update, and
 *	keep themselves out. Each step is a call to all CPUs, which go back to
 *	what they did before: between two steps a CPU does anything. Who did not
 *	register is not kept out.
 *
 * In the first two, the lead stops the old module before it directs the other
 * CPUs by interrupts: the steps until then do not need them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/cpu.h>
#include <linux/export.h>
#include <linux/irqflags.h>
#include <linux/notifier.h>
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
/* ENGINE_KICK, ENGINE_NOTIFIER: who enters a guest reads. */
static DECLARE_RWSEM(engine_guests);
/* ENGINE_NOTIFIER: who wants to be told of updates. */
static BLOCKING_NOTIFIER_HEAD(engine_users);

/* What the users of SEAMCALL are told. */
enum engine_event {
	ENGINE_BEFORE,
	ENGINE_AFTER,
};

/* ENGINE_NOTIFIER: what a CPU is called for. */
struct engine_call {
	struct lockstep *ctrl;
	enum step step;
};

static DEFINE_PER_CPU(call_single_data_t, engine_interrupt);
/* CPUs that were directed and have not left yet. */
static atomic_t engine_directed;
static int engine_result;

static void engine_kicked(void *unused)
{
	/* The interrupt was all: the CPU is out of its guest. */
}

/* Between the two events no guest is entered. */
static int engine_tell_guests(struct notifier_block *block, unsigned long event,
			      void *unused)
{
	if (event == ENGINE_BEFORE) {
		down_write(&engine_guests);
		smp_call_function(engine_kicked, NULL, 1);
	} else {
		up_write(&engine_guests);
	}
	return NOTIFY_OK;
}

/* Guests stand for all who register. */
static struct notifier_block engine_guests_block = {
	.notifier_call = engine_tell_guests,
};

void engine_choose(enum engine engine)
{
	engine_chosen = engine;
	if (engine == ENGINE_NOTIFIER)
		blocking_notifier_chain_register(&engine_users, &engine_guests_block);
}

/* Whether entries to guests take the lock. */
static bool engine_locks_guests(void)
{
	return engine_chosen == ENGINE_KICK || engine_chosen == ENGINE_NOTIFIER;
}

void tdx_update_gate_enter(bool guest)
{
	if (engine_chosen == ENGINE_RWLOCK)
		read_lock(&engine_calls);
	else if (engine_locks_guests() && guest)
		down_read(&engine_guests);
}
ENGINE_EXPORT(tdx_update_gate_enter);

void tdx_update_gate_leave(bool guest)
{
	if (engine_chosen == ENGINE_RWLOCK)
		read_unlock(&engine_calls);
	else if (engine_locks_guests() && guest)
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

	if (ctrl->engine != ENGINE_RWLOCK && ctrl->engine != ENGINE_KICK)
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

/* What one CPU is called for, with interrupts disabled. */
static void engine_do_step(void *data)
{
	const struct engine_call *call = data;
	int ret = lockstep_do_step(call->ctrl, call->step, smp_processor_id() == 0);

	if (ret)
		WRITE_ONCE(engine_result, ret);
}

/* Calls all CPUs for one step after the other, and waits for each step's end. */
static int engine_call_cpus(struct lockstep *ctrl)
{
	struct engine_call call = { .ctrl = ctrl };
	enum step step;

	for (step = STEP_SHUTDOWN; step < STEP_DONE; step++) {
		call.step = step;
		on_each_cpu(engine_do_step, &call, 1);
		if (READ_ONCE(engine_result))
			break;
	}
	return READ_ONCE(engine_result);
}

static int engine_run_told(struct lockstep *ctrl)
{
	int ret;

	blocking_notifier_call_chain(&engine_users, ENGINE_BEFORE, NULL);
	ret = engine_call_cpus(ctrl);
	blocking_notifier_call_chain(&engine_users, ENGINE_AFTER, NULL);
	return ret;
}

static int engine_run_led(struct lockstep *ctrl)
{
	int ret;

	if (ctrl->engine == ENGINE_KICK) {
		down_write(&engine_guests);
		smp_call_function(engine_kicked, NULL, 1);
	}
	ret = smp_call_on_cpu(0, engine_lead, ctrl, false);
	if (ctrl->engine == ENGINE_KICK)
		up_write(&engine_guests);
	return ret;
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
	ret = ctrl->engine == ENGINE_NOTIFIER ? engine_run_told(ctrl) : engine_run_led(ctrl);
	cpus_read_unlock();
	return ret;
}
