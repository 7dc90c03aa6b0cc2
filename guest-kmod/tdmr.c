// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * TDMRs describe to the TDX module the memory that it may use, and the memory
 * for its page metadata (PAMT). Each TDMR is one aligned GiB that has convertible
 * memory; what is not convertible in it, and all PAMTs, are reserved areas.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "bringup.h"
#include "seamcall.h"
#include "update.h"

#define TDMR_SIZE		SZ_1G
#define TDMR_MAX		64
#define TDMR_MAX_RESERVED	16
#define TDMR_MAX_CMRS		32
#define PAMT_4K_ORDER		get_order(TDMR_SIZE / SZ_4K * PAMT_ENTRY_SIZE)
/* The only size of a PAMT entry that there is (unverified for modules after 2.0). */
#define PAMT_ENTRY_SIZE		16

struct tdmr_area {
	u64 offset;
	u64 size;
} __packed;

/* TDMR_INFO of the TDX Module ABI Specification. */
struct tdmr {
	u64 base;
	u64 size;
	u64 pamt_1g_base;
	u64 pamt_1g_size;
	u64 pamt_2m_base;
	u64 pamt_2m_size;
	u64 pamt_4k_base;
	u64 pamt_4k_size;
	struct tdmr_area reserved[TDMR_MAX_RESERVED];
} __packed __aligned(512);
static_assert(sizeof(struct tdmr) == 512);

struct cmrs {
	u32 num;
	struct { u64 base, size; } cmr[TDMR_MAX_CMRS];
};

static int cmrs_read(struct cmrs *cmrs)
{
	u64 num;
	int ret;
	u32 i;

	ret = firmware_read(TDX_FIELD_NUM_CMRS, &num);
	if (ret)
		return ret;
	if (num > TDMR_MAX_CMRS)
		return -EIO;
	cmrs->num = num;
	for (i = 0; i < cmrs->num && !ret; i++) {
		ret = firmware_read(TDX_FIELD_CMR_BASE + i, &cmrs->cmr[i].base);
		if (!ret)
			ret = firmware_read(TDX_FIELD_CMR_SIZE + i,
					    &cmrs->cmr[i].size);
	}
	/* The table may end in empty entries. */
	while (cmrs->num && !cmrs->cmr[cmrs->num - 1].size)
		cmrs->num--;
	return ret;
}

/* The PAMTs of one TDMR: one area for 4 KB pages, a small one for the rest. */
static int tdmr_alloc_pamts(struct tdmr *tdmr)
{
	struct page *large;
	void *small;

	tdmr->pamt_1g_size = PAGE_SIZE;
	tdmr->pamt_2m_size = TDMR_SIZE / SZ_2M * PAMT_ENTRY_SIZE;
	tdmr->pamt_4k_size = TDMR_SIZE / SZ_4K * PAMT_ENTRY_SIZE;

	large = alloc_pages(GFP_KERNEL | __GFP_NOWARN, PAMT_4K_ORDER);
	if (!large)
		return -ENOMEM;
	tdmr->pamt_4k_base = page_to_phys(large);

	small = alloc_pages_exact(tdmr->pamt_2m_size + tdmr->pamt_1g_size, GFP_KERNEL);
	if (!small)
		return -ENOMEM;
	tdmr->pamt_2m_base = virt_to_phys(small);
	tdmr->pamt_1g_base = tdmr->pamt_2m_base + tdmr->pamt_2m_size;
	return 0;
}

static void tdmr_free_pamts(struct tdmr *tdmr)
{
	if (tdmr->pamt_4k_base)
		__free_pages(pfn_to_page(PHYS_PFN(tdmr->pamt_4k_base)), PAMT_4K_ORDER);
	if (tdmr->pamt_2m_base)
		free_pages_exact(phys_to_virt(tdmr->pamt_2m_base),
				 tdmr->pamt_2m_size + tdmr->pamt_1g_size);
}

/* Reserves the part of [base, end) that lies in the TDMR. */
static int tdmr_reserve(struct tdmr *tdmr, u32 *used, u32 max, u64 base, u64 end)
{
	struct tdmr_area *last = *used ? &tdmr->reserved[*used - 1] : NULL;

	base = max(base, tdmr->base);
	end = min(end, tdmr->base + tdmr->size);
	if (base >= end)
		return 0;
	if (last && tdmr->base + last->offset + last->size == base) {
		last->size += end - base;
		return 0;
	}
	if (*used == max) {
		pr_err("a TDMR needs more than %u reserved areas\n", max);
		return -ENOSPC;
	}
	tdmr->reserved[(*used)++] = (struct tdmr_area) {
		.offset = base - tdmr->base,
		.size = end - base,
	};
	return 0;
}

/* What is between the CMRs, which come in the order of their addresses. */
static int tdmr_reserve_holes(struct tdmr *tdmr, u32 *used, u32 max,
			      const struct cmrs *cmrs)
{
	u64 hole = 0;
	int ret;
	u32 i;

	for (i = 0; i < cmrs->num; i++) {
		ret = tdmr_reserve(tdmr, used, max, hole, cmrs->cmr[i].base);
		if (ret)
			return ret;
		hole = cmrs->cmr[i].base + cmrs->cmr[i].size;
	}
	return tdmr_reserve(tdmr, used, max, hole, U64_MAX);
}

static int tdmr_reserve_pamts(struct tdmr *tdmr, u32 *used,
			      const struct tdmr_set *set)
{
	int ret = 0;
	u32 i;

	for (i = 0; i < set->num && !ret; i++) {
		const struct tdmr *of = &set->tdmrs[i];

		ret = tdmr_reserve(tdmr, used, set->max_reserved, of->pamt_4k_base,
				   of->pamt_4k_base + of->pamt_4k_size);
		if (!ret)
			ret = tdmr_reserve(tdmr, used, set->max_reserved,
					   of->pamt_2m_base,
					   of->pamt_1g_base + of->pamt_1g_size);
	}
	return ret;
}

static int tdmr_area_compare(const void *a, const void *b)
{
	const struct tdmr_area *left = a, *right = b;

	return left->offset < right->offset ? -1 : left->offset > right->offset;
}

static int tdmr_reserve_all(struct tdmr *tdmr, const struct tdmr_set *set,
			    const struct cmrs *cmrs)
{
	u32 used = 0;
	int ret;

	ret = tdmr_reserve_holes(tdmr, &used, set->max_reserved, cmrs);
	if (!ret)
		ret = tdmr_reserve_pamts(tdmr, &used, set);
	sort(tdmr->reserved, used, sizeof(tdmr->reserved[0]), tdmr_area_compare, NULL);
	return ret;
}

/* One TDMR for each GiB that has convertible memory. */
static int tdmr_set_lay_out(struct tdmr_set *set, const struct cmrs *cmrs)
{
	u64 next = 0, base, end;
	u32 i;

	for (i = 0; i < cmrs->num; i++) {
		base = max(next, ALIGN_DOWN(cmrs->cmr[i].base, TDMR_SIZE));
		end = cmrs->cmr[i].base + cmrs->cmr[i].size;
		for (; base < end; base += TDMR_SIZE) {
			if (set->num == TDMR_MAX) {
				pr_err("more than %u GiB of convertible memory\n", TDMR_MAX);
				return -ENOSPC;
			}
			set->tdmrs[set->num].base = base;
			set->tdmrs[set->num].size = TDMR_SIZE;
			set->num++;
			next = base + TDMR_SIZE;
		}
	}
	return 0;
}

static int tdmr_set_fill(struct tdmr_set *set, const struct cmrs *cmrs)
{
	int ret;
	u32 i;

	ret = tdmr_set_lay_out(set, cmrs);
	for (i = 0; i < set->num && !ret; i++)
		ret = tdmr_alloc_pamts(&set->tdmrs[i]);
	for (i = 0; i < set->num && !ret; i++) {
		ret = tdmr_reserve_all(&set->tdmrs[i], set, cmrs);
		set->addresses[i] = virt_to_phys(&set->tdmrs[i]);
	}
	return ret;
}

static struct tdmr_set *tdmr_set_alloc(void)
{
	struct tdmr_set *set = kzalloc(sizeof(*set), GFP_KERNEL);

	if (!set)
		return NULL;
	set->addresses = (u64 *)get_zeroed_page(GFP_KERNEL);
	set->tdmrs = alloc_pages_exact(TDMR_MAX * sizeof(struct tdmr),
				       GFP_KERNEL | __GFP_ZERO);
	if (set->addresses && set->tdmrs)
		return set;

	tdmr_set_destroy(set, true);
	return NULL;
}

/**
 * tdmr_set_create - describe all convertible memory to the TDX module
 *
 * Return: the set, or an error pointer.
 */
struct tdmr_set *tdmr_set_create(void)
{
	struct cmrs *cmrs = kzalloc(sizeof(*cmrs), GFP_KERNEL);
	struct tdmr_set *set = tdmr_set_alloc();
	int ret = -ENOMEM;
	u64 max_reserved;

	if (!cmrs || !set)
		goto out;
	ret = firmware_read(TDX_FIELD_MAX_RESERVED_PER_TDMR, &max_reserved);
	if (ret)
		goto out;
	set->max_reserved = min_t(u64, max_reserved, TDMR_MAX_RESERVED);
	ret = cmrs_read(cmrs);
	if (!ret)
		ret = tdmr_set_fill(set, cmrs);
out:
	kfree(cmrs);
	if (!ret)
		return set;
	tdmr_set_destroy(set, true);
	return ERR_PTR(ret);
}

/* The module initialises the PAMTs in pieces. */
int tdmr_set_init(const struct tdmr_set *set)
{
	int ret = 0;
	u64 next;
	u32 i;

	for (i = 0; i < set->num && !ret; i++) {
		do {
			ret = firmware_tdmr_init(set->tdmrs[i].base, &next);
			cond_resched();
		} while (!ret && next < set->tdmrs[i].base + set->tdmrs[i].size);
	}
	return ret;
}

/* PAMTs may be freed only if the module does not know them yet. */
void tdmr_set_destroy(struct tdmr_set *set, bool with_pamts)
{
	u32 i;

	if (!set)
		return;
	for (i = 0; with_pamts && i < set->num; i++)
		tdmr_free_pamts(&set->tdmrs[i]);
	if (set->tdmrs)
		free_pages_exact(set->tdmrs, TDMR_MAX * sizeof(struct tdmr));
	free_page((unsigned long)set->addresses);
	kfree(set);
}
