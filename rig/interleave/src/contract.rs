//! Functions of the kernel that are not executed, each with what stands for it and why.
//!
//! A function without a row here is executed as the kernel has it. A call of one that would sleep breaks a rule.

use std::collections::BTreeMap;

/// What stands for a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It returns this value and changes nothing that the section reads.
    Returns(u64),
    /// It must not be called in the section.
    Forbidden,
    /// The uploader's call that starts the section.
    Starts,
}

/// A function that is not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Its name in the kernel.
    pub function: &'static str,
    /// What stands for it.
    pub effect: Effect,
    /// Why that is enough.
    pub reason: &'static str,
}

/// What the uploader's heap allocation returns, and the page frame that its pages get.
pub(crate) const HEAP: u64 = 0xffff_8882_0000_0000;
const FRAME: u64 = 0x1234;

const fn row(function: &'static str, effect: Effect, reason: &'static str) -> Contract {
    Contract { function, effect, reason }
}

const SLEEPS: &str = "it can sleep, which nothing in stop_machine's section may";
const HEARTBEAT: &str = "it tells a watchdog or RCU that the CPU lives; nothing in the section reads that";
const RING: &str = "the module's own record of the update, in words of its own, which nothing in the section reads";
const OUTSIDE: &str = "the uploader calls it outside the section, on one CPU";

/// Inside the section.
pub(crate) const SECTION: &[Contract] = &[
    row("_printk", Effect::Returns(0), "the log has locks and buffers of its own, which nothing in the section reads"),
    row("touch_nmi_watchdog", Effect::Returns(0), HEARTBEAT),
    row("touch_softlockup_watchdog", Effect::Returns(0), HEARTBEAT),
    row("rcu_momentary_eqs", Effect::Returns(0), HEARTBEAT),
    row("msleep", Effect::Forbidden, SLEEPS),
    row("usleep_range_state", Effect::Forbidden, SLEEPS),
    row("schedule", Effect::Forbidden, SLEEPS),
    row("schedule_timeout", Effect::Forbidden, SLEEPS),
    row("mutex_lock", Effect::Forbidden, SLEEPS),
    row("down_read", Effect::Forbidden, SLEEPS),
    row("down_write", Effect::Forbidden, SLEEPS),
    row("wait_for_completion", Effect::Forbidden, SLEEPS),
    row("synchronize_rcu", Effect::Forbidden, SLEEPS),
    row("vmalloc_noprof", Effect::Forbidden, SLEEPS),
    row("panic", Effect::Forbidden, "it ends the kernel"),
];

/// In the uploader's part, before and after the section.
pub(crate) const UPLOADER: &[Contract] = &[
    row("cpus_read_lock", Effect::Returns(0), OUTSIDE),
    row("cpus_read_unlock", Effect::Returns(0), OUTSIDE),
    row("kfree", Effect::Returns(0), OUTSIDE),
    row("__kmalloc_cache_noprof", Effect::Returns(HEAP), "one page of zeroes for SEAMLDR_PARAMS"),
    row("__kmalloc_noprof", Effect::Returns(HEAP), "one page of zeroes for SEAMLDR_PARAMS"),
    row("vmalloc_to_pfn", Effect::Returns(FRAME), "the firmware model does not read the image's pages"),
    row("memcmp", Effect::Returns(0), "the uploaded image has the right signature"),
    row("memchr_inv", Effect::Returns(0), "the uploaded image's reserved bytes are zero"),
    row("stop_machine_cpuslocked", Effect::Starts, "its part of the section is the proof's own start"),
];

/// Inside the section of the update module, besides.
pub(crate) const KMOD_SECTION: &[Contract] = &[
    row("ring_stamp", Effect::Returns(0), RING),
    row("ring_watched", Effect::Returns(0), RING),
    row("ring_seamcall", Effect::Returns(0), RING),
    row("ring_function", Effect::Returns(0), RING),
];

/// In the uploader's part of the update module.
pub(crate) const KMOD_UPLOADER: &[Contract] = &[
    row("ring_begin", Effect::Returns(0), RING),
    row("ring_end", Effect::Returns(0), RING),
    row("stop_machine", Effect::Starts, "its part of the section is the proof's own start"),
];

/// Contracts by the address of their functions.
#[derive(Clone, Debug, Default)]
pub struct Contracts(BTreeMap<u64, Contract>);

impl Contracts {
    /// Those of `table` whose function `find` knows.
    pub fn new(table: &[Contract], find: impl Fn(&str) -> Option<u64>) -> Self {
        Self(table.iter().filter_map(|contract| Some((find(contract.function)?, *contract))).collect())
    }

    /// The contract of the function at `address`.
    pub fn at(&self, address: u64) -> Option<&Contract> {
        self.0.get(&address)
    }
}
