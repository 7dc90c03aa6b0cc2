// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From a loaded TDX module to a ready one, where the kernel does not do it:
 * VMX operation, SYS.INIT and LP.INIT on all CPUs, then TDMRs over all
 * convertible memory, SYS.CONFIG, SYS.KEY.CONFIG on each package, TDMR.INIT.
 *
 * Each TDMR is one GiB. Memory that becomes PAMT belongs to the module until
 * the machine is reset, also after this kernel module is gone.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/err.h>
#include <linux/io.h>
#include <linux/printk.h>
#include <linux/smp.h>
#include <linux/topology.h>

#include <asm/smp.h>

#include "bringup.h"
#include "platform.h"
#include "seamcall.h"
#include "update.h"

#define MSR_KEYID_PARTITIONING	0x87

static int bringup_hotplug_state;

/* A CPU that comes online enters VMX operation and is made known. */
static int bringup_cpu_online(unsigned int cpu)
{
	int ret;

	ret = vmx_cpu_enter();
	if (ret)
		return ret;
	ret = firmware_cpu_join();
	if (ret)
		vmx_cpu_leave();
	return ret;
}

static int bringup_cpu_offline(unsigned int cpu)
{
	vmx_cpu_leave();
	return 0;
}

/* KEY.CONFIG wants one call on each package; a CPU of each is asked. */
static int bringup_configure_keys(void)
{
	unsigned int cpu, other;
	int ret = 0;

	for_each_online_cpu(cpu) {
		bool first = true;

		for_each_online_cpu(other) {
			if (other >= cpu)
				break;
			if (topology_physical_package_id(other) ==
			    topology_physical_package_id(cpu))
				first = false;
		}
		if (first)
			ret = smp_call_on_cpu(cpu, firmware_key_config, NULL, true);
		if (ret)
			return ret;
	}
	return 0;
}

/* The first private KeyID, which the module itself uses. */
static int bringup_global_keyid(u64 *keyid)
{
	u64 partitioning;
	u32 mktme, tdx;

	if (platform_read_msr(MSR_KEYID_PARTITIONING, &partitioning))
		return -ENODEV;
	mktme = lower_32_bits(partitioning);
	tdx = upper_32_bits(partitioning);
	if (tdx < 2) {
		pr_err("the platform has %u TDX KeyIDs, and 2 are the least\n", tdx);
		return -ENODEV;
	}
	*keyid = mktme + 1;
	return 0;
}

/* With the CPUs held: SYS.CONFIG to SYS_READY. */
static int bringup_configure(void)
{
	struct tdmr_set *set;
	u64 keyid;
	int ret;

	ret = bringup_global_keyid(&keyid);
	if (ret)
		return ret;
	set = tdmr_set_create();
	if (IS_ERR(set))
		return PTR_ERR(set);

	ret = firmware_config(virt_to_phys(set->addresses), set->num, keyid);
	if (ret) {
		tdmr_set_destroy(set, true);
		return ret;
	}
	/* No line of the PAMTs may be written back over the module's. */
	wbinvd_on_all_cpus();
	ret = bringup_configure_keys();
	if (!ret)
		ret = tdmr_set_init(set);
	tdmr_set_destroy(set, false);
	return ret;
}

/**
 * bringup_start - make the TDX module ready
 *
 * Return: 0; -EBUSY when KVM is in VMX operation; else the errno of the call
 * that failed, which is in the log.
 */
int bringup_start(void)
{
	int ret;

	ret = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "tdx_update:online",
				bringup_cpu_online, bringup_cpu_offline);
	if (ret < 0)
		return ret;
	bringup_hotplug_state = ret;

	/* A module that an earlier load of this driver configured stays so. */
	if (firmware_is_ready())
		return 0;

	cpus_read_lock();
	ret = bringup_configure();
	cpus_read_unlock();
	if (ret)
		bringup_stop();
	return ret;
}

void bringup_stop(void)
{
	if (bringup_hotplug_state)
		cpuhp_remove_state(bringup_hotplug_state);
	bringup_hotplug_state = 0;
}
