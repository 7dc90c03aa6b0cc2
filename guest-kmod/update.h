/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of tdx_update share. */
#ifndef RIG_UPDATE_H
#define RIG_UPDATE_H

#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/cpumask.h>
#include <linux/spinlock.h>
#include <linux/stddef.h>
#include <linux/types.h>

/* ---- image.c: the module image and what P-SEAMLDR wants to know of it ---- */

#define SEAMLDR_MAX_MODULE_PAGES	496
#define SEAMLDR_MAX_SIG_PAGES		1
#define SEAMLDR_SCENARIO_UPDATE		1

/* SEAMLDR_PARAMS of the SEAM Loader Interface Specification; page-aligned. */
struct seamldr_params {
	u32 version;
	u32 scenario;
	u64 sigstruct_pa[SEAMLDR_MAX_SIG_PAGES];
	u8 reserved[104];
	u64 num_module_pages;
	u64 module_pa[SEAMLDR_MAX_MODULE_PAGES];
} __packed;
static_assert(sizeof(struct seamldr_params) == 4096);

int update_image_parse(const u8 *data, u32 size, struct seamldr_params *params);

/* ---- firmware.c: the SEAMCALLs of an update ---- */

/* SEAMLDR_INFO; 256-byte aligned. Fields that nobody here reads are gaps. */
struct seamldr_info {
	u32 version;
	u32 attributes;
	u32 vendor_id;
	u32 build_date;
	u16 build_num;
	u16 minor_version;
	u16 major_version;
	u16 update_version;
	u32 acm_x2apicid;
	u32 num_remaining_updates;
	u8 unread[224];
} __packed;
static_assert(sizeof(struct seamldr_info) == 256);

struct tdx_version {
	u16 major;
	u16 minor;
	u16 update;
};

int firmware_shutdown(void);
int firmware_install(const struct seamldr_params *params);
int firmware_sys_init(void);
int firmware_cpu_init(void);
int firmware_run_update(void);
int firmware_read_version(struct tdx_version *version);
int firmware_read_info(struct seamldr_info *info);
int firmware_read(u64 field, u64 *value);
int firmware_probe(void);

/* Only where the kernel does not initialise the TDX module. */
int firmware_cpu_join(void);
int firmware_key_config(void *unused);
int firmware_config(phys_addr_t tdmrs, u32 num_tdmrs, u64 keyid);
int firmware_tdmr_init(u64 base, u64 *next);
bool firmware_is_ready(void);

/* ---- lockstep.c: all CPUs through the steps of an update together ---- */

/*
 * The steps of an update. All CPUs begin with START and go to DONE; none
 * begins a step before all have acknowledged the one before.
 */
enum step {
	STEP_START,		/* nothing; where a CPU comes from */
	STEP_SHUTDOWN,		/* lead: the module exports its state and stops */
	STEP_INSTALL,		/* all: P-SEAMLDR installs the new module */
	STEP_INIT,		/* all: the new module learns of each LP */
	STEP_UPDATE,		/* lead: the new module imports the state */
	STEP_DONE,		/* nothing; where all CPUs leave */
};

/* How acknowledgements are counted. */
enum ack_kind {
	ACK_LOCK,		/* plain counters under a raw spinlock */
	ACK_ATOMIC,		/* atomic counters, as multi_cpu_stop() has them */
};

/* How others are kept out and all CPUs are brought in, see engine.c. */
enum engine {
	ENGINE_STOP_MACHINE,
	ENGINE_RWLOCK,		/* a demonstration, not for use */
	ENGINE_KICK,		/* a demonstration, not for use */
	ENGINE_NOTIFIER,	/* a demonstration, not for use */
};

/*
 * One update under way. @num_ack counts the CPUs that acknowledged @step;
 * the last of them resets it and advances @step, unless a CPU failed. With
 * ACK_LOCK the counters are plain and under @lock, with ACK_ATOMIC they are not.
 *
 * The first words are those of the in-tree driver's update_ctrl, so that what
 * watches the one from outside can watch the other.
 */
struct lockstep {
	enum step step;
	union {
		int num_ack;
		atomic_t acks;
	};
	union {
		int num_failed;
		atomic_t failures;
	};
	/*
	 * Raw, because it is taken with interrupts disabled, where the spinlocks
	 * of PREEMPT_RT would sleep.
	 */
	raw_spinlock_t lock;
	enum ack_kind ack;
	enum engine engine;
	const struct seamldr_params *params;
};
static_assert(offsetof(struct lockstep, num_ack) == 4);
static_assert(offsetof(struct lockstep, num_failed) == 8);

int lockstep_update(const struct seamldr_params *params, enum ack_kind ack,
		    enum engine engine);
int lockstep_run(void *data);

/* The lockstep's parts, for the twins to put together wrongly. */
int lockstep_do_step(struct lockstep *ctrl, enum step step, bool lead);
void lockstep_ack_step(struct lockstep *ctrl, int result);
void lockstep_set_step(struct lockstep *ctrl, enum step step);
int lockstep_count_ack(struct lockstep *ctrl);
void lockstep_count_failure(struct lockstep *ctrl);

/* ---- engine.c: how all CPUs get there ---- */

void engine_choose(enum engine engine);
int engine_run(struct lockstep *ctrl);
void engine_direct(struct lockstep *ctrl);

#include "twins.h"

#endif /* RIG_UPDATE_H */
