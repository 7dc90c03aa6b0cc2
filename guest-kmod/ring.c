// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The record of the latest update. Each CPU writes to its own part, with
 * preemption disabled; nothing of an update is recorded from interrupts.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/instruction_pointer.h>
#include <linux/irqflags.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/smp.h>
#include <linux/timekeeping.h>

#include "platform.h"
#include "ring.h"

#define RING_FILE	"tdx_update_events"
/* An update makes some twenty records on a CPU, retries a few more. */
#define RING_RECORDS	128

struct ring {
	u32 used;
	u32 lost;
	struct ring_record records[RING_RECORDS];
};

static struct ring __percpu *rings;
static atomic64_t ring_seq;
static bool ring_recording;

u64 ring_stamp(void)
{
	return atomic64_inc_return(&ring_seq) - 1;
}

static void ring_append(const struct ring_record *record)
{
	struct ring *ring;

	if (!READ_ONCE(ring_recording))
		return;

	ring = get_cpu_ptr(rings);
	if (ring->used < RING_RECORDS) {
		ring->records[ring->used] = *record;
		ring->records[ring->used].lp = smp_processor_id();
		ring->used++;
	} else {
		ring->lost++;
	}
	put_cpu_ptr(rings);
	platform_record(record);
}

void ring_watched(u64 seq, enum ring_watch watch, u64 value, const void *address,
		  bool store)
{
	struct ring_record record = {
		.seq = seq,
		.guest_ns = ktime_get_mono_fast_ns(),
		.kind = RING_WATCH,
		.flags = (irqs_disabled() ? 0 : RING_FLAG_IF) |
			 (store ? RING_FLAG_STORE : 0),
		.a = watch,
		.b = value,
		.c = (unsigned long)address,
		.d = _RET_IP_,
	};

	ring_append(&record);
}

void ring_seamcall(u64 seq, enum ring_kind kind, u32 flags, u64 a, u64 b, u64 c,
		   u64 d)
{
	struct ring_record record = {
		.seq = seq,
		.guest_ns = ktime_get_mono_fast_ns(),
		.kind = kind,
		.flags = flags | (irqs_disabled() ? 0 : RING_FLAG_IF),
		.a = a,
		.b = b,
		.c = c,
		.d = d,
	};

	ring_append(&record);
}

void ring_function(enum ring_kind kind, enum ring_function function, u64 b)
{
	struct ring_record record = {
		.seq = ring_stamp(),
		.guest_ns = ktime_get_mono_fast_ns(),
		.kind = kind,
		.flags = irqs_disabled() ? 0 : RING_FLAG_IF,
		.a = function,
		.b = b,
	};

	ring_append(&record);
}

void ring_begin(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		per_cpu_ptr(rings, cpu)->used = 0;
		per_cpu_ptr(rings, cpu)->lost = 0;
	}
	atomic64_set(&ring_seq, 0);
	WRITE_ONCE(ring_recording, true);
}

void ring_end(void)
{
	unsigned int cpu;
	u32 lost = 0;

	WRITE_ONCE(ring_recording, false);
	for_each_possible_cpu(cpu)
		lost += per_cpu_ptr(rings, cpu)->lost;
	if (lost)
		pr_warn("%u events did not fit into %s\n", lost, RING_FILE);
}

static int ring_show(struct seq_file *file, void *unused)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct ring *ring = per_cpu_ptr(rings, cpu);

		seq_write(file, ring->records, ring->used * sizeof(ring->records[0]));
	}
	return 0;
}

/* Return: 0 or an errno. */
int ring_create(void)
{
	rings = alloc_percpu(struct ring);
	if (!rings)
		return -ENOMEM;
	if (proc_create_single(RING_FILE, 0400, NULL, ring_show))
		return 0;

	free_percpu(rings);
	return -ENOMEM;
}

void ring_destroy(void)
{
	remove_proc_entry(RING_FILE, NULL);
	free_percpu(rings);
}
