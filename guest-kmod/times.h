/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long something took, as a distribution: 16 buckets for each doubling, so
 * that what is read of it is right to 3 %.
 */
#ifndef RIG_TIMES_H
#define RIG_TIMES_H

#include <linux/bitops.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/types.h>

#define TIMES_PER_DOUBLING	16
#define TIMES_FIRST_SHIFT	4	/* ilog2(TIMES_PER_DOUBLING) */
#define TIMES_BUCKETS		((32 - TIMES_FIRST_SHIFT + 1) * TIMES_PER_DOUBLING)

struct times {
	u32 buckets[TIMES_BUCKETS];
};

/* Below 16 ns each bucket is one nanosecond; longest is U32_MAX, 4 s. */
static inline u32 times_bucket(u64 ns)
{
	u32 shift;

	ns = min_t(u64, ns, U32_MAX);
	if (ns < TIMES_PER_DOUBLING)
		return ns;
	shift = fls64(ns) - 1 - TIMES_FIRST_SHIFT;
	return shift * TIMES_PER_DOUBLING + (ns >> shift);
}

/* The middle of a bucket. */
static inline u64 times_value_ns(u32 bucket)
{
	u64 shift;

	if (bucket < 2 * TIMES_PER_DOUBLING)
		return bucket;
	shift = bucket / TIMES_PER_DOUBLING - 1;
	return ((bucket - shift * TIMES_PER_DOUBLING) << shift) + BIT(shift) / 2;
}

static inline void times_add(struct times *times, u64 ns)
{
	times->buckets[times_bucket(ns)]++;
}

static inline void times_merge(struct times *into, const struct times *from)
{
	int i;

	for (i = 0; i < TIMES_BUCKETS; i++)
		into->buckets[i] += READ_ONCE(from->buckets[i]);
}

/* The time that @percent of all did not exceed; 0 where there was none. */
static inline u64 times_quantile_ns(const struct times *times, u32 percent)
{
	u64 all = 0, seen = 0;
	int i;

	for (i = 0; i < TIMES_BUCKETS; i++)
		all += times->buckets[i];
	for (i = 0; i < TIMES_BUCKETS; i++) {
		seen += times->buckets[i];
		if (all && seen * 100 >= all * percent)
			return times_value_ns(i);
	}
	return 0;
}

#endif /* RIG_TIMES_H */
