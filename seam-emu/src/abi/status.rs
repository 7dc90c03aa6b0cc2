//! Completion statuses: what RAX holds after a SEAMCALL.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Completion status of a leaf. Zero is success; bit 63 marks an error.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Status(pub u64);

/// Defines the statuses and the table of their names.
macro_rules! statuses {
    ($($name:ident = $value:expr;)*) => {
        #[expect(missing_docs, reason = "the names are the specification's own")]
        impl Status { $(pub const $name: Status = Status($value);)* }

        /// Name and value of every status.
        pub const NAMES: &[(&str, Status)] = &[$((stringify!($name), Status($value)),)*];
    };
}

// P-SEAMLDR statuses begin with E; source: P-SEAMLDR `pseamldr_api_defs.h`. The others are the TDX module's; source:
// TDX module `tdx_error_codes_defs.h`, the last four from the module 1.5.25.
statuses! {
    SUCCESS = 0;
    EBADPARAM = 0x8000_0000_0000_0000;
    EBADCALL = 0x8000_0000_0000_0003;
    EBADHANDOFF = 0x8000_0000_0000_0004;
    ECLEANUPREQ = 0x8000_0000_0000_0005;
    EUNSUPPORTED = 0x8000_0000_0000_0006;
    ENOMEM = 0x8000_0000_0001_0002;
    EUNSPECERR = 0x8000_0000_0001_0003;
    EUNSUPCPU = 0x8000_0000_0001_0004;
    EBADSIG = 0x8000_0000_0002_0000;
    EBADHASH = 0x8000_0000_0002_0001;
    EINTERRUPT = 0x8000_0000_0003_0000;
    ENOENTROPY = 0x8000_0000_0003_0001;
    NON_RECOVERABLE_VCPU = 0x4000_0001_0000_0000;
    NON_RECOVERABLE_TD = 0x6000_0002_0000_0000;
    INTERRUPTED_RESUMABLE = 0x8000_0003_0000_0000;
    OPERAND_INVALID = 0xC000_0100_0000_0000;
    OPERAND_ADDR_RANGE_ERROR = 0xC000_0101_0000_0000;
    OPERAND_BUSY = 0x8000_0200_0000_0000;
    PREVIOUS_TLB_EPOCH_BUSY = 0x8000_0201_0000_0000;
    SYS_BUSY = 0x8000_0202_0000_0000;
    RND_NO_ENTROPY = 0x8000_0203_0000_0000;
    OPERAND_BUSY_HOST_PRIORITY = 0x8000_0204_0000_0000;
    PAGE_METADATA_INCORRECT = 0xC000_0300_0000_0000;
    PAGE_ALREADY_FREE = 0x0000_0301_0000_0000;
    PAGE_NOT_OWNED_BY_TD = 0xC000_0302_0000_0000;
    PAGE_NOT_FREE = 0xC000_0303_0000_0000;
    TD_ASSOCIATED_PAGES_EXIST = 0xC000_0400_0000_0000;
    SYS_INIT_NOT_PENDING = 0xC000_0500_0000_0000;
    SYS_LP_INIT_NOT_DONE = 0xC000_0502_0000_0000;
    SYS_LP_INIT_DONE = 0xC000_0503_0000_0000;
    SYS_NOT_READY = 0xC000_0505_0000_0000;
    SYS_SHUTDOWN = 0xC000_0506_0000_0000;
    SYS_KEY_CONFIG_NOT_PENDING = 0xC000_0507_0000_0000;
    SYS_STATE_INCORRECT = 0xC000_0508_0000_0000;
    SYS_INVALID_HANDOFF = 0xC000_0509_0000_0000;
    SYS_INCOMPATIBLE_SIGSTRUCT = 0xC000_050A_0000_0000;
    SYS_LP_INIT_NOT_PENDING = 0xC000_050B_0000_0000;
    SYS_CONFIG_NOT_PENDING = 0xC000_050C_0000_0000;
    INCOMPATIBLE_SEAM_CAPABILITIES = 0xC000_050D_0000_0000;
    TD_FATAL = 0xE000_0604_0000_0000;
    TD_NON_DEBUG = 0xC000_0605_0000_0000;
    TDCS_NOT_ALLOCATED = 0xC000_0606_0000_0000;
    LIFECYCLE_STATE_INCORRECT = 0xC000_0607_0000_0000;
    OP_STATE_INCORRECT = 0xC000_0608_0000_0000;
    NO_VCPUS = 0xC000_0609_0000_0000;
    TDCX_NUM_INCORRECT = 0xC000_0610_0000_0000;
    X2APIC_ID_NOT_UNIQUE = 0xC000_0621_0000_0000;
    VCPU_STATE_INCORRECT = 0xC000_0700_0000_0000;
    VCPU_ASSOCIATED = 0x8000_0701_0000_0000;
    VCPU_NOT_ASSOCIATED = 0x8000_0702_0000_0000;
    MAX_VCPUS_EXCEEDED = 0xC000_0705_0000_0000;
    TD_VMCS_FIELD_NOT_INITIALIZED = 0xC000_0730_0000_0000;
    KEY_GENERATION_FAILED = 0x8000_0800_0000_0000;
    TD_KEYS_NOT_CONFIGURED = 0x8000_0810_0000_0000;
    KEY_STATE_INCORRECT = 0xC000_0811_0000_0000;
    KEY_CONFIGURED = 0x0000_0815_0000_0000;
    WBCACHE_NOT_COMPLETE = 0x8000_0817_0000_0000;
    HKID_NOT_FREE = 0xC000_0820_0000_0000;
    NO_HKID_READY_TO_WBCACHE = 0x0000_0821_0000_0000;
    WBCACHE_RESUME_ERROR = 0xC000_0823_0000_0000;
    FLUSHVP_NOT_DONE = 0x8000_0824_0000_0000;
    NUM_ACTIVATED_HKIDS_NOT_SUPPORTED = 0xC000_0825_0000_0000;
    INVALID_TDMR = 0xC000_0A00_0000_0000;
    NON_ORDERED_TDMR = 0xC000_0A01_0000_0000;
    TDMR_OUTSIDE_CMRS = 0xC000_0A02_0000_0000;
    TDMR_ALREADY_INITIALIZED = 0x0000_0A03_0000_0000;
    INVALID_PAMT = 0xC000_0A10_0000_0000;
    PAMT_OUTSIDE_CMRS = 0xC000_0A11_0000_0000;
    PAMT_OVERLAP = 0xC000_0A12_0000_0000;
    INVALID_RESERVED_IN_TDMR = 0xC000_0A20_0000_0000;
    NON_ORDERED_RESERVED_IN_TDMR = 0xC000_0A21_0000_0000;
    EPT_WALK_FAILED = 0xC000_0B00_0000_0000;
    EPT_ENTRY_FREE = 0xC000_0B01_0000_0000;
    EPT_ENTRY_NOT_FREE = 0xC000_0B02_0000_0000;
    EPT_ENTRY_NOT_PRESENT = 0xC000_0B03_0000_0000;
    EPT_ENTRY_NOT_LEAF = 0xC000_0B04_0000_0000;
    EPT_ENTRY_LEAF = 0xC000_0B05_0000_0000;
    GPA_RANGE_NOT_BLOCKED = 0xC000_0B06_0000_0000;
    GPA_RANGE_ALREADY_BLOCKED = 0x0000_0B07_0000_0000;
    TLB_TRACKING_NOT_DONE = 0xC000_0B08_0000_0000;
    EPT_INVALID_PROMOTE_CONDITIONS = 0xC000_0B09_0000_0000;
    PAGE_ALREADY_ACCEPTED = 0x0000_0B0A_0000_0000;
    PAGE_SIZE_MISMATCH = 0xC000_0B0B_0000_0000;
    GPA_RANGE_BLOCKED = 0xC000_0B0C_0000_0000;
    EPT_ENTRY_STATE_INCORRECT = 0xC000_0B0D_0000_0000;
    METADATA_FIELD_ID_INCORRECT = 0xC000_0C00_0000_0000;
    METADATA_FIELD_NOT_WRITABLE = 0xC000_0C01_0000_0000;
    METADATA_FIELD_NOT_READABLE = 0xC000_0C02_0000_0000;
    METADATA_FIELD_VALUE_NOT_VALID = 0xC000_0C03_0000_0000;
    METADATA_LIST_OVERFLOW = 0xC000_0C04_0000_0000;
    METADATA_WR_MASK_NOT_VALID = 0xC000_0C0A_0000_0000;
    METADATA_FIRST_FIELD_ID_IN_CONTEXT = 0x0000_0C0B_0000_0000;
    CRYPTO_SELF_TEST_FAILED = 0xC000_0511_0000_0000;
    UPDATE_COMPATIBILITY_SENSITIVE = 0x8000_0512_0000_0000;
    INCOMPATIBLE_MRTD_CONTEXT = 0xC000_0622_0000_0000;
    INCOMPATIBLE_MBMD_MAC_CONTEXT = 0xC000_0E22_0000_0000;
}

impl Status {
    /// The status with the operand's number in its low bits (`api_error_with_operand_id`).
    #[must_use]
    pub const fn operand(self, operand: Operand) -> Self {
        Self(self.0 | operand as u64)
    }

    /// The status with up to three bytes of detail (`api_error_with_multiple_info`).
    #[must_use]
    pub const fn info(self, first: u8, second: u8, third: u8) -> Self {
        Self(self.0 | first as u64 | (second as u64) << 8 | (third as u64) << 16)
    }

    /// Bit 63: the leaf did not do its work.
    pub const fn is_error(self) -> bool {
        self.0 >> 63 != 0
    }

    /// The status without the detail in its low 32 bits; P-SEAMLDR statuses have none.
    #[must_use]
    pub const fn class(self) -> Self {
        if self.0 >> 32 == 0x8000_0000 { self } else { Self(self.0 & !0xFFFF_FFFF) }
    }

    /// Name of the status' class, if known.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(_, status)| *status == self.class()).map(|(name, _)| *name)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:#018x})", self.name().unwrap_or("status"), self.0)
    }
}

/// Operand numbers in the low bits of a module status. Source: TDX module `tdx_error_codes_defs.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub enum Operand {
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    R8 = 8,
    R9 = 9,
    R10 = 10,
    R11 = 11,
    Attributes = 64,
    Xfam = 65,
    ExecControls = 66,
    EptpControls = 67,
    MaxVcpus = 68,
    CpuidConfig = 69,
    TscFrequency = 70,
    NumL2Vms = 71,
    ArchCapabilitiesConfig = 72,
    Tdr = 128,
    Tdcx = 129,
    Tdvpr = 130,
    Tdcs = 144,
    Tdvps = 145,
    SeptTree = 146,
    SeptEntry = 147,
    TdEpoch = 169,
    OpState = 172,
    Sys = 184,
    Tdmr = 185,
    Kot = 186,
    Ket = 187,
    Wbcache = 188,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_detail() {
        assert_eq!(Status::OPERAND_INVALID.operand(Operand::Rcx), Status(0xC000_0100_0000_0001));
        assert_eq!(Status(0xC000_0100_0000_0001).name(), Some("OPERAND_INVALID"));
        assert_eq!(Status::EBADCALL.name(), Some("EBADCALL"));
        assert_eq!(Status::PAMT_OVERLAP.info(1, 2, 3), Status(0xC000_0A12_0003_0201));
        assert_eq!(Status(0x1234_0000_0000_0000).name(), None);
    }

    #[test]
    fn bit_63_marks_an_error() {
        assert!(Status::SYS_BUSY.is_error() && Status::EBADPARAM.is_error());
        assert!(!Status::SUCCESS.is_error() && !Status::NON_RECOVERABLE_VCPU.is_error());
    }

    #[test]
    fn only_module_statuses_have_detail() {
        assert_eq!(Status(0x8000_0512_0003_0001).class(), Status::UPDATE_COMPATIBILITY_SENSITIVE);
        assert_eq!(Status::EBADHASH.class(), Status::EBADHASH);
        assert_eq!(Status::OPERAND_BUSY.operand(Operand::Kot).class(), Status::OPERAND_BUSY);
        assert_eq!(Status::PAMT_OVERLAP.info(0xFF, 0, 0xFF).0 & 0xFFFF_FFFF, 0xFF_00FF);
    }

    #[test]
    fn statuses_are_printed_by_name() {
        assert_eq!(format!("{:?}", Status::SYS_BUSY), "SYS_BUSY(0x8000020200000000)");
        assert_eq!(format!("{:?}", Status(1)), "SUCCESS(0x0000000000000001)");
        assert_eq!(format!("{:?}", Status(0x7 << 32)), "status(0x0000000700000000)");
    }

    #[test]
    fn no_two_statuses_share_a_value() {
        for (i, (a, x)) in NAMES.iter().enumerate() {
            for (b, y) in &NAMES[i + 1..] {
                assert_ne!(x, y, "{a} and {b}");
            }
        }
    }
}
