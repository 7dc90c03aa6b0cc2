// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tdx_load: SEAMCALLs from process context, from per-CPU timers and from IPIs,
 * to keep the TDX module busy on all CPUs while it is updated.
 *
 * How it stands aside during an update: stop_machine() does not interrupt
 * regions with preemption disabled, nor interrupts. So an operation, of however
 * many SEAMCALLs, that runs with preemption disabled lies before or after an
 * update, never across one. stand_aside=0 breaks that rule on purpose:
 * then an operation can find one module at its beginning and another at its
 * end, which the statistics count as torn.
 *
 * With another engine of tdx_update than stop_machine, each operation passes that
 * engine's gate first; operations from process context stand in for entries to
 * guests. tdx_update must be loaded before this module then.
 *
 * A read of /sys/module/tdx_load/parameters/stats shows what was achieved, and
 * how long a TDH.SYS.RD took from here.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/sysfs.h>
#include <linux/timekeeping.h>

#include "compat.h"
#include "gate.h"
#include "seamcall.h"
#include "times.h"

#define MAX_RATE_HZ	1000000

static uint process_hz = 1000;
module_param(process_hz, uint, 0444);
MODULE_PARM_DESC(process_hz, "Operations per second and CPU from a kernel thread (0: none)");

static uint timer_hz = 1000;
module_param(timer_hz, uint, 0444);
MODULE_PARM_DESC(timer_hz, "Operations per second and CPU from a high-resolution timer (0: none)");

static uint ipi_hz = 100;
module_param(ipi_hz, uint, 0444);
MODULE_PARM_DESC(ipi_hz, "Operations per second and CPU from an IPI (0: none)");

static uint rd_weight = 3;
module_param(rd_weight, uint, 0444);
MODULE_PARM_DESC(rd_weight, "Share of operations that read the module's version (TDH.SYS.RD)");

static uint rdmd_weight = 1;
module_param(rdmd_weight, uint, 0444);
MODULE_PARM_DESC(rdmd_weight, "Share of operations that read a page's metadata (TDH.PHYMEM.PAGE.RDMD)");

static uint info_weight;
module_param(info_weight, uint, 0444);
MODULE_PARM_DESC(info_weight, "Share of operations that ask P-SEAMLDR (INFO), under no lock: others see VMfailInvalid (0)");

static bool stand_aside = true;
module_param(stand_aside, bool, 0444);
MODULE_PARM_DESC(stand_aside, "Keep preemption disabled over each operation; 0 breaks the rule on purpose (1)");

enum load_context {
	LOAD_PROCESS,
	LOAD_TIMER,
	LOAD_IPI,
	NR_LOAD_CONTEXTS,
};

static const char * const load_context_names[] = {
	[LOAD_PROCESS]	= "process",
	[LOAD_TIMER]	= "timer",
	[LOAD_IPI]	= "ipi",
};

/* What became of a SEAMCALL. */
enum load_outcome {
	LOAD_SUCCESS,
	LOAD_BUSY,		/* another LP holds what the leaf needs */
	LOAD_NOT_READY,		/* the module is shut down or not initialised */
	LOAD_VMFAIL,		/* no module, or P-SEAMLDR is in use */
	LOAD_TRAP,		/* #UD or #GP */
	LOAD_OTHER,
	NR_LOAD_OUTCOMES,
};

static const char * const load_outcome_names[] = {
	[LOAD_SUCCESS]		= "success",
	[LOAD_BUSY]		= "busy",
	[LOAD_NOT_READY]	= "not_ready",
	[LOAD_VMFAIL]		= "vmfail",
	[LOAD_TRAP]		= "trap",
	[LOAD_OTHER]		= "other",
};

/* Each row is written only in its own context, and those do not nest on a CPU. */
struct load_stats {
	u64 operations[NR_LOAD_CONTEXTS];
	u64 torn[NR_LOAD_CONTEXTS];
	u64 outcomes[NR_LOAD_CONTEXTS][NR_LOAD_OUTCOMES];
};

/* How long TDH.SYS.RD took; each is written in its own context only, too. */
struct load_times {
	struct times of[NR_LOAD_CONTEXTS];
};

struct load_cpu {
	struct task_struct *thread;
	struct hrtimer timer;
	u32 turn[NR_LOAD_CONTEXTS];
};

static DEFINE_PER_CPU(struct load_stats, load_stats);
static DEFINE_PER_CPU(struct load_cpu, load_cpu);

/* Too large for a module's static part. */
static struct load_times __percpu *load_times;

/* The first status that falls under "other". */
static u64 first_other;

/* For RDMD to ask about, and for INFO to write to. */
static struct page *load_page;

/* The gate of tdx_update, or NULL. */
static void (*load_gate_enter)(bool guest);
static void (*load_gate_leave)(bool guest);

static struct task_struct *ipi_thread;
static int load_hotplug_state;

static enum load_outcome load_classify(u64 status)
{
	if (status == SEAMCALL_VMFAILINVALID)
		return LOAD_VMFAIL;
	if (status == SEAMCALL_GP || status == SEAMCALL_UD)
		return LOAD_TRAP;

	switch (status & TDX_STATUS_MASK) {
	case 0:
		return LOAD_SUCCESS;
	case TDX_STATUS_OPERAND_BUSY:
	case TDX_STATUS_SYS_BUSY:
		return LOAD_BUSY;
	case TDX_STATUS_SYS_NOT_READY:
	case TDX_STATUS_SYS_SHUTDOWN:
		return LOAD_NOT_READY;
	default:
		return LOAD_OTHER;
	}
}

static bool load_account(enum load_context context, u64 status)
{
	enum load_outcome outcome = load_classify(status);

	this_cpu_inc(load_stats.outcomes[context][outcome]);
	if (outcome == LOAD_OTHER)
		cmpxchg64(&first_other, 0, status);
	return outcome == LOAD_SUCCESS;
}

static bool load_rd(enum load_context context, u64 field, u64 *value)
{
	u64 began_ns = ktime_get_mono_fast_ns();
	u64 status = seamcall_sys_rd(field, value);
	u64 ns = ktime_get_mono_fast_ns() - began_ns;

	if (!load_account(context, status))
		return false;
	times_add(&this_cpu_ptr(load_times)->of[context], ns);
	return true;
}

/* Reads the whole version, and its last part once more: it must be the same. */
static void load_read_version(enum load_context context)
{
	u64 major, minor, update, again;

	if (!load_rd(context, TDX_FIELD_UPDATE_VERSION, &update) ||
	    !load_rd(context, TDX_FIELD_MAJOR_VERSION, &major) ||
	    !load_rd(context, TDX_FIELD_MINOR_VERSION, &minor) ||
	    !load_rd(context, TDX_FIELD_UPDATE_VERSION, &again))
		return;

	if (update != again)
		this_cpu_inc(load_stats.torn[context]);
}

static void load_one_page(enum load_context context, u64 leaf)
{
	struct seamcall_args args = { .rcx = page_to_phys(load_page) };

	load_account(context, seamcall(leaf, &args));
}

/* One operation of the mix; the caller stays on its CPU. */
static void load_operation(enum load_context context)
{
	u32 turn = this_cpu_inc_return(load_cpu.turn[context]);

	turn %= rd_weight + rdmd_weight + info_weight;
	if (turn < rd_weight)
		load_read_version(context);
	else if (turn < rd_weight + rdmd_weight)
		load_one_page(context, TDH_PHYMEM_PAGE_RDMD);
	else
		load_one_page(context, SEAMLDR_INFO);
	this_cpu_inc(load_stats.operations[context]);
}

static void load_enter(enum load_context context)
{
	if (load_gate_enter)
		load_gate_enter(context == LOAD_PROCESS);
}

static void load_leave(enum load_context context)
{
	if (load_gate_leave)
		load_gate_leave(context == LOAD_PROCESS);
}

/* One operation in interrupt context. */
static void load_interrupt(enum load_context context)
{
	load_enter(context);
	load_operation(context);
	load_leave(context);
}

/* Sleeps for a period, or only lets others run when it is too short to sleep. */
static void load_pause(uint hz)
{
	unsigned long period_us = USEC_PER_SEC / hz;

	if (period_us < 10)
		cond_resched();
	else
		usleep_range(period_us, period_us + period_us / 8);
}

static int load_process_thread(void *unused)
{
	while (!kthread_should_stop()) {
		load_enter(LOAD_PROCESS);
		if (stand_aside) {
			preempt_disable();
			load_operation(LOAD_PROCESS);
			preempt_enable();
		} else {
			load_operation(LOAD_PROCESS);
		}
		load_leave(LOAD_PROCESS);
		load_pause(process_hz);
	}
	return 0;
}

static enum hrtimer_restart load_timer_fired(struct hrtimer *timer)
{
	load_interrupt(LOAD_TIMER);
	hrtimer_forward_now(timer, ns_to_ktime(NSEC_PER_SEC / timer_hz));
	return HRTIMER_RESTART;
}

static void load_ipi_arrived(void *unused)
{
	load_interrupt(LOAD_IPI);
}

/* Interrupts all CPUs but its own, on which it does not stay. */
static int load_ipi_thread(void *unused)
{
	while (!kthread_should_stop()) {
		smp_call_function(load_ipi_arrived, NULL, 1);
		load_pause(ipi_hz);
	}
	return 0;
}

static int load_start_thread(unsigned int cpu, struct load_cpu *load)
{
	struct task_struct *thread;

	thread = kthread_create_on_cpu(load_process_thread, NULL, cpu,
				       "tdx_load/%u");
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	load->thread = thread;
	wake_up_process(thread);
	return 0;
}

/* Runs on the CPU that came online. */
static int load_cpu_online(unsigned int cpu)
{
	struct load_cpu *load = per_cpu_ptr(&load_cpu, cpu);
	int ret = 0;

	if (process_hz)
		ret = load_start_thread(cpu, load);
	if (ret)
		return ret;

	if (timer_hz) {
		hrtimer_setup(&load->timer, load_timer_fired, CLOCK_MONOTONIC,
			      HRTIMER_MODE_REL_PINNED_HARD);
		hrtimer_start(&load->timer, ns_to_ktime(NSEC_PER_SEC / timer_hz),
			      HRTIMER_MODE_REL_PINNED_HARD);
	}
	return 0;
}

/* Runs on the CPU that goes offline. */
static int load_cpu_offline(unsigned int cpu)
{
	struct load_cpu *load = per_cpu_ptr(&load_cpu, cpu);

	if (timer_hz)
		hrtimer_cancel(&load->timer);
	if (load->thread)
		kthread_stop(load->thread);
	load->thread = NULL;
	return 0;
}

static u64 load_sum_outcomes(enum load_context context, enum load_outcome outcome)
{
	unsigned int cpu;
	u64 sum = 0;

	for_each_possible_cpu(cpu)
		sum += per_cpu(load_stats.outcomes[context][outcome], cpu);
	return sum;
}

static int load_show_times(char *buffer, int at, enum load_context context)
{
	struct times *all = kzalloc(sizeof(*all), GFP_KERNEL);
	unsigned int cpu;

	if (!all)
		return at;
	for_each_possible_cpu(cpu)
		times_merge(all, &per_cpu_ptr(load_times, cpu)->of[context]);
	at += sysfs_emit_at(buffer, at, " sys_rd_median_ns=%llu sys_rd_p99_ns=%llu",
			    times_quantile_ns(all, 50), times_quantile_ns(all, 99));
	kfree(all);
	return at;
}

static int load_show_context(char *buffer, int at, enum load_context context)
{
	u64 operations = 0, torn = 0;
	unsigned int cpu, i;

	for_each_possible_cpu(cpu) {
		operations += per_cpu(load_stats.operations[context], cpu);
		torn += per_cpu(load_stats.torn[context], cpu);
	}
	at += sysfs_emit_at(buffer, at, "%s operations=%llu torn=%llu",
			    load_context_names[context], operations, torn);
	for (i = 0; i < NR_LOAD_OUTCOMES; i++)
		at += sysfs_emit_at(buffer, at, " %s=%llu", load_outcome_names[i],
				    load_sum_outcomes(context, i));
	at = load_show_times(buffer, at, context);
	return at + sysfs_emit_at(buffer, at, "\n");
}

/* One line for each context, and the first unexpected status. */
static int load_stats_get(char *buffer, const struct kernel_param *kp)
{
	int at = 0, i;

	for (i = 0; i < NR_LOAD_CONTEXTS; i++)
		at = load_show_context(buffer, at, i);
	return at + sysfs_emit_at(buffer, at, "first_other=0x%016llx\n",
				  READ_ONCE(first_other));
}

static const struct kernel_param_ops load_stats_ops = {
	.get = load_stats_get,
};
module_param_cb(stats, &load_stats_ops, NULL, 0444);
MODULE_PARM_DESC(stats, "What was achieved, one line for each context (read only)");

static int __init load_check_parameters(void)
{
	if (process_hz > MAX_RATE_HZ || timer_hz > MAX_RATE_HZ ||
	    ipi_hz > MAX_RATE_HZ || !(process_hz | timer_hz | ipi_hz)) {
		pr_err("rates are 0 to %u per second, not all 0\n", MAX_RATE_HZ);
		return -EINVAL;
	}
	if (rd_weight > 1000 || rdmd_weight > 1000 || info_weight > 1000 ||
	    !(rd_weight | rdmd_weight | info_weight)) {
		pr_err("weights are 0 to 1000, not all 0\n");
		return -EINVAL;
	}
	return 0;
}

/* Whether SEAMCALL works here at all. */
static int __init load_check_module(void)
{
	u64 value, status;

	preempt_disable();
	status = seamcall_sys_rd(TDX_FIELD_UPDATE_VERSION, &value);
	preempt_enable();
	if (!status)
		return 0;

	pr_err("no TDX module answers: TDH.SYS.RD gave 0x%016llx\n", status);
	return -ENODEV;
}

/* Both halves of tdx_update's gate, if it is loaded. */
static void __init load_find_gate(void)
{
	load_gate_enter = symbol_get(tdx_update_gate_enter);
	if (load_gate_enter)
		load_gate_leave = symbol_get(tdx_update_gate_leave);
}

static void load_forget_gate(void)
{
	if (load_gate_enter)
		symbol_put(tdx_update_gate_enter);
	if (load_gate_leave)
		symbol_put(tdx_update_gate_leave);
}

static int __init load_start(void)
{
	int ret;

	ret = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "tdx_load:online",
				load_cpu_online, load_cpu_offline);
	if (ret < 0)
		return ret;
	load_hotplug_state = ret;

	if (!ipi_hz)
		return 0;
	ipi_thread = kthread_run(load_ipi_thread, NULL, "tdx_load_ipi");
	if (!IS_ERR(ipi_thread))
		return 0;

	cpuhp_remove_state(load_hotplug_state);
	return PTR_ERR(ipi_thread);
}

static int __init load_init(void)
{
	int ret;

	ret = load_check_parameters();
	if (ret)
		return ret;
	ret = load_check_module();
	if (ret)
		return ret;

	load_page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!load_page)
		return -ENOMEM;
	ret = -ENOMEM;
	load_times = alloc_percpu(struct load_times);
	if (!load_times)
		goto free_page;

	load_find_gate();
	ret = load_start();
	if (!ret)
		return 0;

	load_forget_gate();
	free_percpu(load_times);
free_page:
	__free_page(load_page);
	return ret;
}
module_init(load_init);

static void __exit load_exit(void)
{
	if (ipi_thread)
		kthread_stop(ipi_thread);
	cpuhp_remove_state(load_hotplug_state);
	load_forget_gate();
	free_percpu(load_times);
	__free_page(load_page);
}
module_exit(load_exit);

MODULE_DESCRIPTION("SEAMCALL load from process and interrupt context");
MODULE_LICENSE("GPL");
