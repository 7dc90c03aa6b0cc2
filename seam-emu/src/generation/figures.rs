//! What distinguishes a generation.

use crate::abi::field::FieldSet;
use crate::abi::{CpuidConfig, Leaf};

/// `subleaf` of a CPUID leaf that has no subleaves.
pub(crate) const SUBLEAVES_NONE: u32 = u32::MAX;

/// What distinguishes a generation. Sources of all figures are in the files of the generations.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what a generation does or does not do is no state of it")]
pub struct Figures {
    /// Major, minor and update version.
    pub version: (u16, u16, u16),
    /// Minor SVN with which it is signed.
    pub minor_svn: u8,
    /// Handoff version that it produces.
    pub module_hv: u16,
    /// Lowest handoff version that it consumes.
    pub min_update_hv: u16,
    /// It refuses to produce a lower handoff version.
    pub no_downgrade: bool,
    /// Its global metadata fields.
    pub fields: FieldSet,
    /// Metadata `TDX_FEATURES0`.
    pub features0: u64,
    /// Metadata `ATTRIBUTES_FIXED0`, on a CPU without LASS.
    pub attributes_fixed0: u64,
    /// Metadata `CONFIG_FLAGS_FIXED0`.
    pub config_flags_fixed0: u64,
    /// Most vCPUs of a TD.
    pub max_vcpus: u16,
    /// Metadata `NUM_IMMUTABLE_STATE_PAGES`.
    pub num_immutable_state_pages: u8,
    /// Metadata `NUM_VP_STATE_PAGES`.
    pub num_vp_state_pages: u8,
    /// CPUID bits that a VMM may configure.
    pub cpuid_config: &'static [CpuidBits],
    /// TDH.SYS.RD tells the bits that are always configurable only, and TDH.SYS.INFO all.
    pub rd_direct_only: bool,
    /// Leaves that the dispatcher lets through with any version; they refuse what they do not have themselves.
    pub versioned: &'static [Leaf],
    /// The TD's operation state is in the low bits of `OP_STATE_INCORRECT`.
    pub op_state_in_status: bool,
    /// Permissions of a mapped entry of a secure EPT, as `EPT_*` statuses tell of it.
    pub sept_permissions: u64,
    /// The vCPU's state is in the low bits of `VCPU_STATE_INCORRECT`.
    pub vcpu_state_in_status: bool,
}

/// A row of the CPUID bits that a VMM may configure. Source: TDX module `cpuid_configurable_t`.
#[derive(Clone, Copy, Debug)]
pub struct CpuidBits {
    /// Leaf, subleaf, and the bits that may be configured whatever the CPU has (`config_direct`).
    pub direct: CpuidConfig,
    /// EAX to EDX: bits that may be configured if the CPU has them (`allow_direct`); here it has all (unverified).
    pub allowed: [u32; 4],
}

impl CpuidBits {
    /// A row.
    pub(super) const fn row(leaf: u32, subleaf: u32, direct: [u32; 4], allowed: [u32; 4]) -> Self {
        Self { direct: CpuidConfig::row(leaf, subleaf, direct), allowed }
    }

    /// All bits that may be configured.
    pub const fn all(&self) -> CpuidConfig {
        let (direct, [eax, ebx, ecx, edx]) = (&self.direct, self.allowed);
        let bits = [direct.eax | eax, direct.ebx | ebx, direct.ecx | ecx, direct.edx | edx];
        CpuidConfig::row(direct.leaf, direct.subleaf, bits)
    }
}
