/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Busted twins: deliberate errors in the update, each of which breaks one
 * invariant, so that a test can show that a checker finds it. They exist only in
 * tdx_update_twins.ko (TDX_UPDATE_TWINS); in tdx_update.ko every hook below is
 * a constant.
 */
#ifndef RIG_TWINS_H
#define RIG_TWINS_H

struct lockstep;
enum step;

enum twin {
	TWIN_NONE,
	TWIN_EARLY_ADVANCE,
	TWIN_LATE_RESET,
	TWIN_LOST_ACK,
	TWIN_ACK_BEFORE_WORK,
	TWIN_MISSING_CPU,
	TWIN_LEAD_EVERYWHERE,
	TWIN_INTERRUPTS_ON,
	TWIN_FAILURE_IGNORED,
	TWIN_SWALLOWED_FAILURE,
	TWIN_NO_LOADER_LOCK,
	TWIN_FOREIGN_SEAMCALL,
	TWIN_DOUBLE_INSTALL,
	TWIN_STALE_INIT_FLAG,
	TWIN_NO_HOTPLUG_LOCK,
	TWIN_SWAPPED_STEPS,
	TWIN_ONE_CPU,
	TWIN_NEVER_ACKS,
	NR_TWINS,
};

#ifdef TDX_UPDATE_TWINS

extern enum twin chosen_twin;

#define twin_is(twin)	(chosen_twin == (twin))
#define twin_is_any()	(chosen_twin != TWIN_NONE)

/* Lets two CPUs go on at the same time. */
void twin_meet(void);

/* Finds the twin that the module parameter names. */
int twin_choose(void);

/* Takes a CPU's step its own way; false: the caller does it properly. */
bool twin_take_step(struct lockstep *ctrl, enum step step, bool lead, int *ret);

/* Brings the CPUs together, in one twin's way or properly. */
int twin_stop_machine(int (*run)(void *data), struct lockstep *ctrl);

#else

static inline bool twin_is(enum twin twin)
{
	return false;
}

static inline bool twin_is_any(void)
{
	return false;
}

static inline void twin_meet(void)
{
}

static inline int twin_choose(void)
{
	return 0;
}

static inline bool twin_take_step(struct lockstep *ctrl, enum step step,
				  bool lead, int *ret)
{
	return false;
}

static inline int twin_stop_machine(int (*run)(void *data),
				    struct lockstep *ctrl)
{
	return 0;
}

#endif /* TDX_UPDATE_TWINS */
#endif /* RIG_TWINS_H */
