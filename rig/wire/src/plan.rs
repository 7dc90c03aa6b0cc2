//! The plan file: everything the emulator needs to know at launch, as JSON.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Version of the plan's form; the emulator refuses any other.
pub const PLAN_VERSION: u32 = 4;

/// In deterministic mode one instruction takes `1 << DETERMINISTIC_SHIFT` nanoseconds of guest time (QEMU's
/// `-icount shift=`).
pub const DETERMINISTIC_SHIFT: u32 = 1;

/// With this exit code the emulator ends a deterministic machine that makes no progress (`EX_SOFTWARE` of sysexits.h).
pub const STALLED_EXIT_CODE: i32 = 70;

/// What the rig hands to the emulator. `F` is the firmware's own configuration (`seam_emu::Config`), which this crate
/// does not need to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Plan<F> {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// Configuration of the emulated firmware, faults included.
    pub firmware: F,
    /// The module image (blob 0x200) that is loaded when the machine starts.
    pub module_image: PathBuf,
    /// The event ring's file (see [`crate::ring`]); none: record nothing, which only benchmarks do.
    pub ring: Option<PathBuf>,
    /// Unix socket on which the emulator takes [`Control`] lines. In deterministic mode it takes them only while the machine
    /// stands still at [`crate::exchange`]'s instruction.
    pub control: Option<PathBuf>,
    /// Unix socket of the rig to which the emulator carries the agent's stream ([`crate::exchange`]); none: the agent has a
    /// port.
    #[serde(default)]
    pub exchange: Option<PathBuf>,
    /// In deterministic mode: guest time that the update's code may spin without any progress before the emulator ends
    /// QEMU, behind a [`crate::event::Mark::Stalled`], nanoseconds; none: for ever.
    #[serde(default)]
    pub stall_ns: Option<u64>,
    /// Firmware and facade state to start from, saved beside a snapshot; none: power-on state.
    pub restore: Option<PathBuf>,
    /// The vCPUs run one at a time on an instruction-counted clock: identify them by QEMU's
    /// `current_cpu`, read no host clock.
    pub deterministic: bool,
    /// Yield the host thread at PAUSE, because vCPUs outnumber host cores.
    pub yield_at_pause: bool,
    /// Words of the kernel to watch, and the functions whose instructions may touch them.
    pub watches: Vec<Watch>,
    /// Functions whose entries and exits are recorded.
    pub functions: Vec<Function>,
    /// `IA32_VMX_BASIC` bit 60: SEAMRET keeps the current VMCS. Clear it to show the erratum.
    pub seamret_keeps_vmcs: bool,
    /// Holds of each update in turn: the n-th list is in force from the n-th update on. Updates beyond the last list have no
    /// holds.
    #[serde(default)]
    pub schedules: Vec<Vec<Hold>>,
    /// Index in `functions` of the function that every CPU enters once in an update: an update begins when an LP enters it
    /// that has entered it before. Without it the first list is in force from the start.
    #[serde(default)]
    pub update_function: Option<usize>,
    /// Count the instructions of each vCPU, which [`Until::Instructions`] needs.
    #[serde(default)]
    pub counts_instructions: bool,
    /// Offsets of the kernel's per-CPU `__preempt_count`, to recognise interrupt context; none: unknown.
    pub preempt_count_offset: Option<u64>,
    /// Bits of `__preempt_count` that count hard interrupts: [`hardirq_mask`] of the kernel's release.
    pub hardirq_mask: u32,
    /// What makes QEMU 11.1 quicker, by its own functions; none: another QEMU, which is slower.
    #[serde(default)]
    pub shortcuts: Option<Shortcuts>,
    /// Single instructions to log; none: none, which is far quicker.
    #[serde(default)]
    pub instruction_log: Option<InstructionLog>,
}

/// Which instructions are logged ([`crate::instructions`]), and where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstructionLog {
    /// The file, which is made anew.
    pub file: PathBuf,
    /// An LP's instructions are logged from the first one of this function on until it returns: guest virtual address range
    /// `[start, end)`.
    pub function: (u64, u64),
    /// Only the instructions of these ranges are logged; that function's are among them.
    pub within: Vec<(u64, u64)>,
}

/// What makes a QEMU quicker of which the emulator knows the inside (11.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shortcuts {
    /// Where the kernel's code lies, in whole pages; what is not named here is found out page by page.
    pub code: Vec<PhysicalRange>,
    /// While the guest boots, periodic ticks of all vCPUs but the first are so many times rarer than it asks; 1: they are not.
    pub tick_stretch: u32,
}

/// Guest-physical memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhysicalRange {
    /// Its first byte.
    pub start: u64,
    /// How many.
    pub length: u64,
}

/// Bits of `preempt_count` that count hard interrupts, by a kernel's release. Source: include/linux/preempt.h, where 7.3
/// put 8 bits of another count (`HARDIRQ_DISABLE_BITS`) below them; that 7.2 did not is unverified.
pub fn hardirq_mask(release: &str) -> u32 {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (7, 3) { 0x0f00_0000 } else { 0x000f_0000 }
}

/// One word of guest memory to watch. Loads and stores are seen only from instructions inside `within`, which costs
/// nothing elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Name for people, such as `update_ctrl.state`.
    pub name: String,
    /// Guest virtual address of the word; 0: not known before [`Control::Watch`] says it.
    pub address: u64,
    /// Its size in bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// Guest virtual address ranges `[start, end)` of the code that is instrumented.
    pub within: Vec<(u64, u64)>,
}

/// A function whose entry (its first instruction) and exits (its `ret` instructions) are recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Symbol name.
    pub name: String,
    /// Guest virtual address range `[start, end)`; empty: not known before [`Control::Watch`] says it.
    pub range: (u64, u64),
}

/// A vCPU that is kept from going on, by executing one instruction again and again: it makes no progress, the machine does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Which LP.
    pub lp: u16,
    /// Where.
    pub at: Point,
    /// On which of its passes in this update, from 1.
    pub nth: u32,
    /// From when the hold is in force, and passes are counted for it.
    #[serde(default, skip_serializing_if = "HoldStart::is_section")]
    pub from: HoldStart,
    /// Until when.
    pub until: Until,
    /// A hold that is not satisfied within this time ends as expired, and is reported, nanoseconds.
    pub limit_ns: u64,
}

/// From when a hold is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum HoldStart {
    /// A CPU has entered the function that every CPU enters once in an update.
    #[default]
    Section,
    /// The upload begins: what the kernel does before it gathers the CPUs is in it.
    Upload,
}

impl HoldStart {
    /// It is the default, which is not written.
    pub fn is_section(&self) -> bool {
        *self == Self::Section
    }
}

/// A point in an LP's execution. The LP is held before the instruction in question takes effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Point {
    /// Before a SEAMCALL of this leaf (RAX without the version bits) enters the firmware.
    SeamcallEnter {
        /// Leaf number, bit 63 set for P-SEAMLDR.
        leaf: u64,
    },
    /// After the firmware served it, before the LP goes on.
    SeamcallExit {
        /// Leaf number, bit 63 set for P-SEAMLDR.
        leaf: u64,
    },
    /// Before the instruction at this guest virtual address.
    Pc {
        /// The address.
        address: u64,
    },
    /// Before an instrumented instruction loads a watched word.
    Load {
        /// Index of the watch.
        watch: usize,
    },
    /// Before an instrumented instruction stores to a watched word.
    Store {
        /// Index of the watch.
        watch: usize,
    },
    /// Before an instrumented PAUSE.
    Pause,
    /// Before the first instrumented instruction after the LP loaded this value from a watched word.
    Saw {
        /// Index of the watch.
        watch: usize,
        /// The value.
        value: u64,
    },
}

/// What ends a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Until {
    /// Another LP has passed a point this many times. It passed a load or a store when the access is done, any other point
    /// when it is let go.
    Passed {
        /// Which LP.
        lp: u16,
        /// Which point.
        at: Point,
        /// How often, from 1.
        nth: u32,
        /// Since when.
        since: Since,
    },
    /// Another LP has executed this many instructions since the hold began.
    Instructions {
        /// Which LP.
        lp: u16,
        /// How many.
        count: u64,
    },
    /// This much time of the emulator's clock has gone by: host time in parallel mode, instructions in deterministic mode.
    ElapsedNs(u64),
}

/// From when on passes count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Since {
    /// Since the update began.
    #[default]
    Update,
    /// Since the hold began.
    Hold,
}

/// One line of JSON from the rig to the emulator's control socket; each is answered by one [`ControlReply`] line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Control {
    /// Write the firmware's and the facade's state to this file. The machine must be stopped.
    Save {
        /// Where to; replaced atomically.
        path: PathBuf,
    },
    /// Write the firmware's state alone to this file, as seam-emu saves it. The machine must be stopped.
    SaveFirmware {
        /// Where to; replaced atomically.
        path: PathBuf,
    },
    /// Record a [`crate::event::Mark`].
    Mark {
        /// The mark's number.
        mark: u64,
        /// Its argument.
        argument: u64,
    },
    /// Replace the schedules; the first one is in force from the next update on (or at once without `update_function`).
    /// They must name no code address that the plan's own schedules do not name: only those are instrumented.
    Schedules {
        /// As in the plan.
        schedules: Vec<Vec<Hold>>,
    },
    /// Say where the plan's watches and functions lie, for code that was loaded since. They have the plan's names in the plan's
    /// order. Only code that has not run yet is instrumented.
    Watch {
        /// As in the plan.
        watches: Vec<Watch>,
        /// As in the plan.
        functions: Vec<Function>,
    },
    /// Deterministic mode: let the machine run on without taking anything from the rig, so that it can be saved.
    Park,
    /// Describe the firmware for a diagnosis: states and lock holders, in words.
    Describe,
    /// Count what trust domains use; the answer's text is a [`crate::td::Usage`] as JSON.
    TdUsage,
}

/// Answer to a [`Control`] line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum ControlReply {
    /// Done; `text` is empty but for `Describe` and `TdUsage`.
    Ok {
        /// Words for people.
        text: String,
    },
    /// Not done.
    Failed {
        /// Cause, one line.
        cause: String,
    },
}

#[cfg(test)]
mod tests {
    use super::hardirq_mask;

    #[test]
    fn hard_interrupts_are_counted_where_the_kernel_counts_them() {
        for release in ["7.3.4", "7.10.0-rc1", "8.0"] {
            assert_eq!(hardirq_mask(release), 0x0f00_0000, "{release}");
        }
        for release in ["6.12.9-amd64", "6.1.0-30", "7.2.1"] {
            assert_eq!(hardirq_mask(release), 0x000f_0000, "{release}");
        }
    }
}
