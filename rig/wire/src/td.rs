//! Trust domains that the agent builds and runs through KVM: as the rig asks for them, and what became of them.

use serde::{Deserialize, Serialize};

/// Bit of a guest-physical address that makes it shared: the rig's TDs have addresses of 48 bits.
pub const SHARED: u64 = 1 << 47;
/// Shared address that is no RAM: a 64-bit word that a vCPU writes here is kept in its [`VcpuReport::said`].
pub const REPORT_ADDRESS: u64 = 0x1_0000_0000;
/// Shared address that is no RAM: a write ends the vCPU.
pub const END_ADDRESS: u64 = REPORT_ADDRESS + 0x1000;

/// The page in which machine code of a TD begins, at its last 16 bytes.
pub const RESET_PAGE: u64 = 0xFFFF_F000;

/// A TD to build. Its guest-physical memory is `[0, memory_pages * 4096)`, all private at first, and [`RESET_PAGE`] if that is
/// among its pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TdPlan {
    /// Initial private memory, measured.
    pub pages: Vec<TdPage>,
    /// What it begins with, by vCPU.
    pub vcpus: Vec<VcpuPlan>,
    /// Size of its memory in pages of 4096 bytes.
    pub memory_pages: u64,
    /// Where its vCPUs' threads run.
    pub placement: Placement,
    /// How often the monitor interrupts its vCPUs, microseconds.
    pub wake_us: u32,
}

/// A page of initial private memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TdPage {
    /// Guest-physical address, a multiple of 4096.
    pub gpa: u64,
    /// 4096 bytes.
    pub bytes: Vec<u8>,
}

/// A vCPU to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VcpuPlan {
    /// Its initial RCX.
    pub entry: u64,
    /// Guest-physical address of a 64-bit word, in a page that the TD makes shared: the monitor writes 1 to have it end.
    pub stop_word: u64,
}

/// Where a TD's vCPU threads run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Each on one CPU.
    #[default]
    Pinned,
    /// Each on one CPU after another, so that the vCPU's association with an LP moves.
    Migrating,
    /// Where the scheduler puts them.
    Free,
}

/// How far a load's trust domains have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TdStage {
    /// They run.
    #[default]
    Running,
    /// Between TDH.MNG.INIT and TDH.MR.FINALIZE: pages are added and measured. They are finished and run at the end.
    Building,
}

/// TDs that are built, run to their end and destroyed, one after another in each thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Churn {
    /// What each of them is.
    pub td: TdPlan,
    /// How many threads do it side by side.
    pub threads: u32,
    /// TDs in all; none: until stopped.
    pub limit: Option<u32>,
    /// Every n-th TD is given up before its end, each at another stage of its life; 0: none.
    pub abandon_every: u32,
}

/// What became of a TD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TdReport {
    /// By vCPU.
    pub vcpus: Vec<VcpuReport>,
}

/// What a vCPU's thread saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VcpuReport {
    /// Returns of `KVM_RUN`.
    pub exits: Exits,
    /// Interrupts that the monitor sent.
    pub wakes: u64,
    /// Times its thread was moved to another CPU.
    pub moves: u64,
    /// Words that it wrote to [`REPORT_ADDRESS`], in order.
    pub said: Vec<u64>,
    /// Why it was stopped; none: it ended by itself.
    pub error: Option<String>,
}

/// Counts of returns to the monitor, by what the vCPU wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exits {
    /// Output to a port.
    pub io: u64,
    /// Output to an address that is no RAM.
    pub mmio: u64,
    /// Memory to become shared or private.
    pub map_gpa: u64,
    /// A fault that the monitor had to resolve.
    pub memory_fault: u64,
    /// A signal interrupted it.
    pub interrupted: u64,
}

/// What came of a [`Churn`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChurnReport {
    /// TDs that were built, ran to their end and were destroyed.
    pub completed: u64,
    /// TDs that were given up on purpose.
    pub abandoned: u64,
    /// TDs that KVM refused to make, by reason.
    pub refused: Vec<(String, u64)>,
    /// What each vCPU of a completed TD said, with how often. TDs of one plan all say the same.
    pub said: Vec<(Vec<Vec<u64>>, u64)>,
    /// The first failure of another kind.
    pub error: Option<String>,
}

/// What trust domains use in the firmware, and what is inconsistent there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// TDs.
    pub tds: usize,
    /// Pages that are theirs (PAMT entries that are not free).
    pub pages: usize,
    /// KeyIDs that are theirs.
    pub keyids: usize,
    /// What contradicts itself in the firmware's state, one line each.
    pub wrong: Vec<String>,
}

impl Usage {
    /// In one line.
    pub fn in_words(&self) -> String {
        let counts = format!("{} TDs, {} pages, {} KeyIDs", self.tds, self.pages, self.keyids);
        self.wrong.iter().fold(counts, |words, wrong| format!("{words}; {wrong}"))
    }
}
