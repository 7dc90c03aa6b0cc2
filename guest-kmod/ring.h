/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happened in the latest update, event by event, in the form in which the
 * rig's emulator records the same from outside: 64 bytes each.
 * /proc/tdx_update_events gives all records, unsorted; @seq orders them.
 */
#ifndef RIG_RING_H
#define RIG_RING_H

#include <linux/build_bug.h>
#include <linux/types.h>

/* The rig's event kinds that are recorded here, with the meaning of a to d. */
enum ring_kind {
	RING_SEAMCALL_ENTER	= 1,	/* RAX, RCX, RDX, R8 */
	RING_SEAMCALL_EXIT	= 2,	/* RAX at entry, RAX, RCX, RDX */
	RING_WATCH		= 3,	/* enum ring_watch, value, address, PC */
	RING_FUNCTION_ENTER	= 4,	/* enum ring_function, return address */
	RING_FUNCTION_EXIT	= 5,	/* enum ring_function, result */
};

/* The watched words, in the order of struct lockstep. */
enum ring_watch {
	RING_STEP,
	RING_NUM_ACK,
	RING_NUM_FAILED,
	RING_NUM_ONLINE,	/* the kernel's count of online CPUs */
};

/* The functions that are followed. */
enum ring_function {
	RING_LOCKSTEP_RUN,
};

#define RING_FLAG_IF		BIT(0)	/* interrupts were enabled */
#define RING_FLAG_HARDIRQ	BIT(2)	/* in a hard interrupt */
#define RING_FLAG_CONTEXT_KNOWN	BIT(3)	/* the bit before means something */
#define RING_FLAG_STORE		BIT(4)	/* the watched word was stored to */
#define RING_FLAG_VMFAIL	BIT(5)
#define RING_FLAG_UD		BIT(6)
#define RING_FLAG_GP		BIT(7)

struct ring_record {
	u64 seq;
	u64 host_ns;	/* 0: there is no clock of the host here */
	u64 guest_ns;
	u16 lp;		/* the CPU's number */
	u16 kind;
	u32 flags;
	u64 a;
	u64 b;
	u64 c;
	u64 d;
};
static_assert(sizeof(struct ring_record) == 64);

int ring_create(void);
void ring_destroy(void);

/* Forgets the update before and begins to record; ends to record. */
void ring_begin(void);
void ring_end(void);

/*
 * The place of an event in the order of all. An event that others react to takes
 * its place before it happens, and is recorded when its outcome is known.
 */
u64 ring_stamp(void);
void ring_watched(u64 seq, enum ring_watch watch, u64 value, const void *address,
		  bool store);
void ring_seamcall(u64 seq, enum ring_kind kind, u32 flags, u64 a, u64 b, u64 c,
		   u64 d);
void ring_function(enum ring_kind kind, enum ring_function function, u64 b);

#endif /* RIG_RING_H */
