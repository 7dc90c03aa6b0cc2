// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module image as it is published ("TDX-BLOB" version 0x200): a header
 * page, at most one page of SEAM_SIGSTRUCT, then the module's pages.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "update.h"

#define IMAGE_VERSION	0x200
#define IMAGE_MAGIC	"TDX-BLOB"

struct image_header {
	u16 version;
	u16 checksum;		/* makes the 16-bit sum of the file 0 */
	u8 magic[8];
	u32 num_sig_pages;
	u32 num_module_pages;
	u8 reserved[4076];
} __packed;
static_assert(sizeof(struct image_header) == PAGE_SIZE);

/* Why the image is none, or NULL. */
static const char *image_fault(const struct image_header *header, u32 size)
{
	u64 pages;

	if (size < sizeof(*header))
		return "shorter than its header";
	if (header->version != IMAGE_VERSION)
		return "of an unknown version";
	if (memcmp(header->magic, IMAGE_MAGIC, sizeof(header->magic)))
		return "without TDX-BLOB in its header";
	if (!header->num_sig_pages || header->num_sig_pages > SEAMLDR_MAX_SIG_PAGES)
		return "without exactly one page of SEAM_SIGSTRUCT";
	if (!header->num_module_pages ||
	    header->num_module_pages > SEAMLDR_MAX_MODULE_PAGES)
		return "without 1 to 496 module pages";
	if (memchr_inv(header->reserved, 0, sizeof(header->reserved)))
		return "with reserved bytes that are not zero";

	/* Both terms are small by now: this cannot overflow. */
	pages = 1 + header->num_sig_pages + header->num_module_pages;
	if (pages * PAGE_SIZE != size)
		return "not of the size that its header says";
	return NULL;
}

/* Writes the physical address of each page of a vmalloc()ed range. */
static void image_addresses(u64 *addresses, const u8 *start, u32 num_pages)
{
	u32 i;

	for (i = 0; i < num_pages; i++)
		addresses[i] = PFN_PHYS(vmalloc_to_pfn(start + i * PAGE_SIZE));
}

/**
 * update_image_parse - describe a module image to P-SEAMLDR
 * @data: the image, as vmalloc() or vmap() gives memory
 * @size: its size in bytes
 * @params: zeroed; gets the addresses of the image's pages
 *
 * Return: 0, or -EINVAL with a line in the log when the image is none.
 */
int update_image_parse(const u8 *data, u32 size, struct seamldr_params *params)
{
	const struct image_header *header = (const struct image_header *)data;
	const char *fault = image_fault(header, size);
	const u8 *sig = data + sizeof(*header);

	if (fault) {
		pr_err("module image refused: it is %s\n", fault);
		return -EINVAL;
	}

	params->scenario = SEAMLDR_SCENARIO_UPDATE;
	params->num_module_pages = header->num_module_pages;
	image_addresses(params->sigstruct_pa, sig, header->num_sig_pages);
	image_addresses(params->module_pa,
			sig + header->num_sig_pages * PAGE_SIZE,
			header->num_module_pages);
	return 0;
}
