//! The plan file: everything the emulator needs to know at launch, as JSON.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Version of the plan's form; the emulator refuses any other.
pub const PLAN_VERSION: u32 = 1;

/// In deterministic mode one instruction takes `1 << DETERMINISTIC_SHIFT` nanoseconds of guest time (QEMU's
/// `-icount shift=`).
pub const DETERMINISTIC_SHIFT: u32 = 1;

/// What the rig hands to the emulator. `F` is the firmware's own configuration (`seam_emu::Config`), which this crate
/// does not need to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan<F> {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// Configuration of the emulated firmware, faults included.
    pub firmware: F,
    /// The module image (blob 0x200) that is loaded when the machine starts.
    pub module_image: PathBuf,
    /// The event ring's file (see [`crate::ring`]); none: record nothing, which only benchmarks do.
    pub ring: Option<PathBuf>,
    /// Unix socket on which the emulator takes [`Control`] lines; none in deterministic mode.
    pub control: Option<PathBuf>,
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
    /// Offsets of the kernel's per-CPU `__preempt_count`, to tell interrupt context; none: unknown.
    pub preempt_count_offset: Option<u64>,
}

/// One word of guest memory to watch. Loads and stores are seen only from instructions inside `within`, which costs
/// nothing elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Name for people, such as `update_ctrl.state`.
    pub name: String,
    /// Guest virtual address of the word.
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
    /// Guest virtual address range `[start, end)`.
    pub range: (u64, u64),
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
    /// Record a [`crate::event::Mark`].
    Mark {
        /// The mark's number.
        mark: u64,
        /// Its argument.
        argument: u64,
    },
    /// Describe the firmware for a diagnosis: states and lock holders, in words.
    Describe,
}

/// Answer to a [`Control`] line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum ControlReply {
    /// Done; `text` is empty but for `Describe`.
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
