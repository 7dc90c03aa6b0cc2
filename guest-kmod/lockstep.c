// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * All CPUs through the steps of an update in lockstep.
 *
 * The pattern is that of multi_cpu_stop() in kernel/stop_machine.c: all CPUs
 * watch one state, each does what the state asks for and acknowledges it, and
 * the last one to acknowledge advances the state. The engine, stop_machine(),
 * brings all online CPUs here with interrupts disabled and keeps the set of them
 * stable.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpumask.h>
#include <linux/errno.h>
#include <linux/instruction_pointer.h>
#include <linux/nmi.h>
#include <linux/processor.h>
#include <linux/smp.h>

#include "ring.h"
#include "trace.h"
#include "update.h"

static struct lockstep lockstep;

/*
 * Advances to @step. A CPU that sees it may acknowledge at once, so the counter
 * is reset first.
 */
void lockstep_set_step(struct lockstep *ctrl, enum step step)
{
	WRITE_ONCE(ctrl->num_ack, 0);
	ring_watched(ring_stamp(), RING_STEP, step, &ctrl->step, true);
	/* Pairs with smp_load_acquire() in lockstep_run(). */
	smp_store_release(&ctrl->step, step);
}

/* Counts one ack and gives their number, the way @ctrl->ack says. */
int lockstep_count_ack(struct lockstep *ctrl)
{
	u64 seq = ring_stamp();
	int acks;

	if (ctrl->ack == ACK_LOCK)
		acks = ++ctrl->num_ack;
	else
		acks = atomic_inc_return(&ctrl->acks);
	ring_watched(seq, RING_NUM_ACK, acks, &ctrl->num_ack, true);
	return acks;
}

/* Counts one CPU that failed. */
void lockstep_count_failure(struct lockstep *ctrl)
{
	u64 seq = ring_stamp();
	int failed;

	if (ctrl->ack == ACK_LOCK)
		failed = ++ctrl->num_failed;
	else
		failed = atomic_inc_return(&ctrl->failures);
	ring_watched(seq, RING_NUM_FAILED, failed, &ctrl->num_failed, true);
}

static bool lockstep_failed(struct lockstep *ctrl)
{
	return READ_ONCE(ctrl->num_failed);
}

/*
 * A failure is counted before the ack, and with ACK_ATOMIC atomic_inc_return()
 * orders the two: who counts the last ack sees every failure.
 */
static void lockstep_ack_counted(struct lockstep *ctrl, int result)
{
	if (result)
		lockstep_count_failure(ctrl);
	if (lockstep_count_ack(ctrl) == num_online_cpus() && !lockstep_failed(ctrl))
		lockstep_set_step(ctrl, ctrl->step + 1);
}

/* Acknowledges the current step. The last CPU to do so advances it. */
void lockstep_ack_step(struct lockstep *ctrl, int result)
{
	if (ctrl->ack == ACK_ATOMIC) {
		lockstep_ack_counted(ctrl, result);
		return;
	}
	raw_spin_lock(&ctrl->lock);
	lockstep_ack_counted(ctrl, result);
	raw_spin_unlock(&ctrl->lock);
}

/* The lead stops the old module; from here on an update needs all CPUs. */
static int lockstep_shutdown(struct lockstep *ctrl)
{
	int ret = firmware_shutdown();

	if (!ret)
		engine_direct(ctrl);
	return ret;
}

/* The work of one step on this CPU. */
int lockstep_do_step(struct lockstep *ctrl, enum step step, bool lead)
{
	switch (step) {
	case STEP_SHUTDOWN:
		return lead ? lockstep_shutdown(ctrl) : 0;
	case STEP_INSTALL:
		return firmware_install(ctrl->params);
	case STEP_INIT:
		return firmware_cpu_init();
	case STEP_UPDATE:
		return lead ? firmware_run_update() : 0;
	default:
		return 0;
	}
}

/* Runs on all online CPUs at once, interrupts disabled. */
int lockstep_run(void *data)
{
	/* CPU 0 is always online. */
	bool lead = smp_processor_id() == 0;
	enum step step = STEP_START, target;
	struct lockstep *ctrl = data;
	int ret = 0;

	ring_function(RING_FUNCTION_ENTER, RING_LOCKSTEP_RUN, _RET_IP_);
	ring_watched(ring_stamp(), RING_NUM_ONLINE, num_online_cpus(), NULL, false);
	/* Here, where the set of online CPUs is stable at last. */
	if (lead)
		lockstep_set_step(ctrl, STEP_START + 1);

	do {
		/* Pairs with smp_store_release() in lockstep_set_step(). */
		target = smp_load_acquire(&ctrl->step);
		if (target == step) {
			/* A slow step of another CPU is no lockup of this one. */
			touch_nmi_watchdog();
			cpu_relax();
			continue;
		}
		step = target;
		ring_watched(ring_stamp(), RING_STEP, step, &ctrl->step, false);
		trace_tdx_update_step(step, lead);
		if (twin_take_step(ctrl, step, lead, &ret))
			continue;
		ret = lockstep_do_step(ctrl, step, lead);
		trace_tdx_update_ack(step, ret);
		lockstep_ack_step(ctrl, ret);
	} while (step != STEP_DONE && !lockstep_failed(ctrl));

	ring_function(RING_FUNCTION_EXIT, RING_LOCKSTEP_RUN, (u32)ret);
	return ret;
}

/**
 * lockstep_update - replace the TDX module
 * @params: the new module, as P-SEAMLDR wants it described
 * @ack: how acknowledgements are counted
 * @engine: how all CPUs are brought in
 *
 * The caller allows one update at a time.
 *
 * Return: 0, or the errno of a CPU that failed. After SHUTDOWN succeeded, a
 * failure leaves the machine without a module.
 */
int lockstep_update(const struct seamldr_params *params, enum ack_kind ack,
		    enum engine engine)
{
	struct lockstep *ctrl = &lockstep;
	int ret;

	*ctrl = (struct lockstep) {
		.ack = ack,
		.engine = engine,
		.params = params,
	};
	raw_spin_lock_init(&ctrl->lock);
	ring_begin();
	if (twin_is_any())
		ret = twin_stop_machine(lockstep_run, ctrl);
	else
		ret = engine_run(ctrl);
	ring_end();
	return ret;
}
