// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tdx_update_twins: tdx_update with deliberate errors, chosen by twin=NAME at
 * load. Never for use on a machine that matters.
 *
 * The invariants that the table names are those of the rig's oracle.
 */
#define TDX_UPDATE_TWINS

/* One object of all sources, each compiled a second time with the hooks on. */
#include "main.c"
/* The tracepoints are there by now. */
#undef CREATE_TRACE_POINTS
#include "image.c"
#include "firmware.c"
#include "lockstep.c"
#include "engine.c"
#include "bringup.c"
#include "tdmr.c"
#include "vmx.c"
#include "ring.c"
#include "platform.c"
#include "upload.c"

#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/stop_machine.h>

#include "seamcall.h"

enum twin chosen_twin;

static char *twin = "";
module_param(twin, charp, 0444);
MODULE_PARM_DESC(twin, "Which deliberate error to make; none: behave properly");

static uint window_ms = 200;
module_param(window_ms, uint, 0444);
MODULE_PARM_DESC(window_ms, "How long no-hotplug-lock leaves a window between choosing and stopping CPUs (200)");

static const struct {
	const char *name;
	const char *breaks;
} twin_table[NR_TWINS] = {
	/* The step advances when one CPU has yet to acknowledge it. */
	[TWIN_EARLY_ADVANCE]	 = { "early-advance", "lockstep" },
	/* The counter is reset after the step is published: acknowledgements get lost. */
	[TWIN_LATE_RESET]	 = { "late-reset", "lockstep" },
	/* The counter is incremented without a lock or an atomic operation. */
	[TWIN_LOST_ACK]		 = { "lost-ack", "lockstep" },
	/* A CPU acknowledges, then works. */
	[TWIN_ACK_BEFORE_WORK]	 = { "ack-before-work", "lockstep" },
	/* The last CPU acknowledges and never works. */
	[TWIN_MISSING_CPU]	 = { "missing-cpu", "participation" },
	/* All CPUs do the lead's steps. */
	[TWIN_LEAD_EVERYWHERE]	 = { "lead-everywhere", "lead-only" },
	/* The steps run with interrupts enabled. */
	[TWIN_INTERRUPTS_ON]	 = { "interrupts-on", "interrupts-off" },
	/* A CPU's failure is acknowledged like success. */
	[TWIN_FAILURE_IGNORED]	 = { "failure-ignored", "stop-on-failure" },
	/* The uploader is told of success, whatever happened. */
	[TWIN_SWALLOWED_FAILURE] = { "swallowed-failure", "stop-on-failure" },
	/* P-SEAMLDR is called without its lock. */
	[TWIN_NO_LOADER_LOCK]	 = { "no-loader-lock", "serial-loader" },
	/* The last CPU reads metadata between its LP.INIT and the end. */
	[TWIN_FOREIGN_SEAMCALL]	 = { "foreign-seamcall", "update-only" },
	/* The last CPU installs twice. */
	[TWIN_DOUBLE_INSTALL]	 = { "double-install", "participation" },
	/* CPUs remember that they were initialised, for the old module. */
	[TWIN_STALE_INIT_FLAG]	 = { "stale-init-flag", "participation" },
	/* The CPUs that take part are chosen before hotplug is locked out. */
	[TWIN_NO_HOTPLUG_LOCK]	 = { "no-hotplug-lock", "lockstep" },
	/* LP.INIT comes before INSTALL. */
	[TWIN_SWAPPED_STEPS]	 = { "swapped-steps", "participation" },
	/* Only one CPU goes through the steps. */
	[TWIN_ONE_CPU]		 = { "one-cpu", "lockstep" },
	/* The last CPU never acknowledges INSTALL. */
	[TWIN_NEVER_ACKS]	 = { "never-acks", "progress" },
};

/* How long a twin that needs luck keeps its window open, in spins. */
#define TWIN_WINDOW_SPINS	2000
/* How long a CPU dawdles where others must be seen to overtake it. */
#define TWIN_DAWDLE_US		500
/* How long a CPU waits for others to call P-SEAMLDR at the same time, in spins. */
#define TWIN_MEET_SPINS		20000

static struct cpumask twin_cpus;

/* One line for each twin: its name and the invariant that it breaks. */
static int twin_table_get(char *buffer, const struct kernel_param *kp)
{
	int at = 0, i;

	for (i = TWIN_NONE + 1; i < NR_TWINS; i++)
		at += sysfs_emit_at(buffer, at, "%s %s\n", twin_table[i].name,
				    twin_table[i].breaks);
	return at;
}

static const struct kernel_param_ops twin_table_ops = {
	.get = twin_table_get,
};
module_param_cb(table, &twin_table_ops, NULL, 0444);
MODULE_PARM_DESC(table, "All twins with the invariant that each breaks (read only)");

int twin_choose(void)
{
	int i;

	if (!*twin)
		return 0;
	for (i = TWIN_NONE + 1; i < NR_TWINS; i++) {
		if (!strcmp(twin, twin_table[i].name)) {
			chosen_twin = i;
			pr_warn("twin %s: breaks %s on purpose\n", twin,
				twin_table[i].breaks);
			return 0;
		}
	}
	pr_err("twin=%s: no such twin, see the parameter table\n", twin);
	return -EINVAL;
}

static void twin_window(void)
{
	int i;

	for (i = 0; i < TWIN_WINDOW_SPINS; i++)
		cpu_relax();
}

/*
 * Holds CPUs back until two are here, so that they go on at the same time; not
 * for ever, since there may be no second one.
 */
void twin_meet(void)
{
	static atomic_t arrived;
	int mine = atomic_inc_return(&arrived), i;

	for (i = 0; i < TWIN_MEET_SPINS && atomic_read(&arrived) < ALIGN(mine, 2); i++)
		cpu_relax();
}

/* The CPU that errs where only one does. */
static bool twin_on_last_cpu(void)
{
	return smp_processor_id() == cpumask_last(cpu_online_mask);
}

static bool twin_all_acked(int acks, int needed, struct lockstep *ctrl)
{
	return acks == needed && !lockstep_failed(ctrl);
}

/* Counts like the proper code, but asks for @needed acknowledgements. */
static void twin_ack_needing(struct lockstep *ctrl, int result, int needed)
{
	if (ctrl->ack == ACK_ATOMIC) {
		if (result)
			lockstep_count_failure(ctrl);
		if (twin_all_acked(lockstep_count_ack(ctrl), needed, ctrl))
			lockstep_set_step(ctrl, ctrl->step + 1);
		return;
	}
	raw_spin_lock(&ctrl->lock);
	if (result)
		lockstep_count_failure(ctrl);
	if (twin_all_acked(lockstep_count_ack(ctrl), needed, ctrl))
		lockstep_set_step(ctrl, ctrl->step + 1);
	raw_spin_unlock(&ctrl->lock);
}

/*
 * The straggler acknowledges a step that is over. It must not count for the
 * next one, else the error would grow from one CPU to all.
 */
static void twin_ack_early(struct lockstep *ctrl, enum step step, int result)
{
	int needed = max_t(int, num_online_cpus() - 1, 1);

	/* Pairs with smp_store_release() in lockstep_set_step(). */
	if (smp_load_acquire(&ctrl->step) == step)
		twin_ack_needing(ctrl, result, needed);
}

/* The step is published before the counter is ready for it. */
static void twin_ack_late_reset(struct lockstep *ctrl, int result)
{
	int acks;

	raw_spin_lock(&ctrl->lock);
	if (result)
		lockstep_count_failure(ctrl);
	acks = lockstep_count_ack(ctrl);
	raw_spin_unlock(&ctrl->lock);

	if (!twin_all_acked(acks, num_online_cpus(), ctrl))
		return;
	ring_watched(ring_stamp(), RING_STEP, ctrl->step + 1, &ctrl->step, true);
	/* Pairs with smp_load_acquire() in lockstep_run(). */
	smp_store_release(&ctrl->step, ctrl->step + 1);
	twin_window();
	WRITE_ONCE(ctrl->num_ack, 0);
}

/* A read and a write with time between them. */
static void twin_ack_unlocked(struct lockstep *ctrl, int result)
{
	int acks = READ_ONCE(ctrl->num_ack);

	if (result)
		lockstep_count_failure(ctrl);
	twin_window();
	ring_watched(ring_stamp(), RING_NUM_ACK, acks + 1, &ctrl->num_ack, true);
	WRITE_ONCE(ctrl->num_ack, acks + 1);
	if (twin_all_acked(acks + 1, num_online_cpus(), ctrl))
		lockstep_set_step(ctrl, ctrl->step + 1);
}

/* Those of the chosen CPUs that are still there: the update gets to its end. */
static int twin_num_chosen(void)
{
	int cpu, chosen = 0;

	for_each_online_cpu(cpu)
		chosen += cpumask_test_cpu(cpu, &twin_cpus);
	return chosen;
}

static void twin_ack(struct lockstep *ctrl, enum step step, int result)
{
	switch (chosen_twin) {
	case TWIN_EARLY_ADVANCE:
		twin_ack_early(ctrl, step, result);
		break;
	case TWIN_LATE_RESET:
		twin_ack_late_reset(ctrl, result);
		break;
	case TWIN_LOST_ACK:
		twin_ack_unlocked(ctrl, result);
		break;
	case TWIN_FAILURE_IGNORED:
		lockstep_ack_step(ctrl, 0);
		break;
	case TWIN_NO_HOTPLUG_LOCK:
		twin_ack_needing(ctrl, result, twin_num_chosen());
		break;
	case TWIN_ONE_CPU:
		twin_ack_needing(ctrl, result, 1);
		break;
	case TWIN_NEVER_ACKS:
		if (step == STEP_INSTALL && twin_on_last_cpu())
			break;
		fallthrough;
	default:
		lockstep_ack_step(ctrl, result);
		break;
	}
}

static int twin_double_install(struct lockstep *ctrl, enum step step, bool lead)
{
	int ret = lockstep_do_step(ctrl, step, lead);

	if (step == STEP_INSTALL && twin_on_last_cpu())
		lockstep_do_step(ctrl, step, lead);
	return ret;
}

static int twin_foreign_seamcall(struct lockstep *ctrl, enum step step, bool lead)
{
	int ret = lockstep_do_step(ctrl, step, lead);
	u64 value;

	if (step == STEP_INIT && twin_on_last_cpu())
		seamcall_sys_rd(TDX_FIELD_UPDATE_VERSION, &value);
	return ret;
}

static int twin_interrupts_on(struct lockstep *ctrl, enum step step, bool lead)
{
	int ret;

	local_irq_enable();
	ret = lockstep_do_step(ctrl, step, lead);
	local_irq_disable();
	return ret;
}

static enum step twin_swapped(enum step step)
{
	switch (step) {
	case STEP_INSTALL:
		return STEP_INIT;
	case STEP_INIT:
		return STEP_INSTALL;
	default:
		return step;
	}
}

static int twin_do_step(struct lockstep *ctrl, enum step step, bool lead)
{
	switch (chosen_twin) {
	case TWIN_MISSING_CPU:
		return twin_on_last_cpu() ? 0 : lockstep_do_step(ctrl, step, lead);
	case TWIN_LEAD_EVERYWHERE:
		return lockstep_do_step(ctrl, step, true);
	case TWIN_INTERRUPTS_ON:
		return twin_interrupts_on(ctrl, step, lead);
	case TWIN_FOREIGN_SEAMCALL:
		return twin_foreign_seamcall(ctrl, step, lead);
	case TWIN_DOUBLE_INSTALL:
		return twin_double_install(ctrl, step, lead);
	case TWIN_STALE_INIT_FLAG:
		/*
		 * Every CPU was initialised once, when the kernel came up. The
		 * module as a whole is not: this twin breaks one invariant.
		 */
		return step == STEP_INIT ? firmware_sys_init() : lockstep_do_step(ctrl, step, lead);
	case TWIN_SWAPPED_STEPS:
		return lockstep_do_step(ctrl, twin_swapped(step), lead);
	default:
		return lockstep_do_step(ctrl, step, lead);
	}
}

/* A failure is still reported, though late: this twin breaks one invariant. */
static int twin_ack_then_work(struct lockstep *ctrl, enum step step, bool lead)
{
	int ret;

	lockstep_ack_step(ctrl, 0);
	if (twin_on_last_cpu())
		udelay(TWIN_DAWDLE_US);
	ret = lockstep_do_step(ctrl, step, lead);
	if (ret) {
		raw_spin_lock(&ctrl->lock);
		lockstep_count_failure(ctrl);
		raw_spin_unlock(&ctrl->lock);
	}
	return ret;
}

bool twin_take_step(struct lockstep *ctrl, enum step step, bool lead, int *ret)
{
	if (!twin_is_any())
		return false;

	if (twin_is(TWIN_ACK_BEFORE_WORK)) {
		*ret = twin_ack_then_work(ctrl, step, lead);
	} else {
		*ret = twin_do_step(ctrl, step, lead);
		twin_ack(ctrl, step, *ret);
	}
	return true;
}

int twin_stop_machine(int (*run)(void *data), struct lockstep *ctrl)
{
	switch (chosen_twin) {
	case TWIN_ONE_CPU:
		return stop_machine(run, ctrl, cpumask_of(0));
	case TWIN_NO_HOTPLUG_LOCK:
		cpumask_copy(&twin_cpus, cpu_online_mask);
		msleep(window_ms);
		return stop_machine(run, ctrl, &twin_cpus);
	default:
		return stop_machine(run, ctrl, cpu_online_mask);
	}
}

