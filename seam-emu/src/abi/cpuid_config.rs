//! CPUID bits that a VMM may configure for a TD (`CPUID_CONFIG_LEAVES`, `CPUID_CONFIG_VALUES`).

use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// CPUID bits that a VMM may configure for a TD.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[repr(C)]
#[expect(missing_docs, reason = "named after the registers")]
pub struct CpuidConfig {
    pub leaf: u32,
    /// All ones: the leaf has no subleaves.
    pub subleaf: u32,
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

impl CpuidConfig {
    /// A row: leaf, subleaf, and EAX to EDX.
    pub(crate) const fn row(leaf: u32, subleaf: u32, [eax, ebx, ecx, edx]: [u32; 4]) -> Self {
        Self { leaf, subleaf, eax, ebx, ecx, edx }
    }

    /// Metadata `CPUID_CONFIG_LEAVES`.
    pub(crate) fn leaf_and_subleaf(&self) -> u64 {
        u64::from(self.leaf) | u64::from(self.subleaf) << 32
    }

    /// Both elements of metadata `CPUID_CONFIG_VALUES`.
    pub(crate) fn values(&self) -> [u64; 2] {
        [u64::from(self.eax) | u64::from(self.ebx) << 32, u64::from(self.ecx) | u64::from(self.edx) << 32]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuid_rows_are_told_as_words() {
        let row = CpuidConfig { leaf: 0x24, subleaf: 1, eax: 0x11, ebx: 0x22, ecx: 0x33, edx: 0x44 };
        assert_eq!(row.leaf_and_subleaf(), 0x1_0000_0024);
        assert_eq!(row.values(), [0x22_0000_0011, 0x44_0000_0033]);
    }
}
