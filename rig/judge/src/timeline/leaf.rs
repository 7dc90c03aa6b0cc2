//! SEAMCALL leaves and completion statuses: which is which, and what people call them.
//!
//! Numbers: SEAM Loader Interface Specification (343755), TDX Module ABI Specification, and Linux 7.3's
//! `arch/x86/virt/vmx/tdx/{tdx.h,seamldr.c}`.

use crate::Step;
use rig_wire::event::{Record, flags};

/// Bit 63 of RAX: the leaf is one of P-SEAMLDR, not of the TDX module.
const SEAMLDR: u64 = 1 << 63;

/// RAX at a SEAMCALL's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leaf(pub u64);

/// Leaves that the oracle tells apart.
impl Leaf {
    /// P-SEAMLDR INFO.
    pub const SEAMLDR_INFO: Self = Self(SEAMLDR);
    /// P-SEAMLDR INSTALL.
    pub const INSTALL: Self = Self(0x8000_0000_0000_0001);
    /// TDH.VP.ENTER.
    pub const VP_ENTER: Self = Self(0);
    /// TDH.PHYMEM.PAGE.RECLAIM.
    pub const PAGE_RECLAIM: Self = Self(28);
    /// TDH.SYS.INIT.
    pub const SYS_INIT: Self = Self(33);
    /// TDH.SYS.RD.
    pub const SYS_RD: Self = Self(34);
    /// TDH.SYS.LP.INIT.
    pub const LP_INIT: Self = Self(35);
    /// TDH.SYS.SHUTDOWN.
    pub const SHUTDOWN: Self = Self(52);
    /// TDH.SYS.UPDATE.
    pub const UPDATE: Self = Self(53);

    /// The leaf of a SEAMCALL record, without the version that a module leaf carries in bits 23:16.
    pub const fn of(record: &Record) -> Self {
        if record.a & SEAMLDR == 0 { Self(record.a & 0xffff) } else { Self(record.a) }
    }

    /// Whether it goes to P-SEAMLDR.
    pub const fn is_seamldr(self) -> bool {
        self.0 & SEAMLDR != 0
    }

    /// The step of an update that consists of this leaf.
    pub const fn step(self) -> Option<Step> {
        match self {
            Self::SHUTDOWN => Some(Step::Shutdown),
            Self::INSTALL => Some(Step::CpuInstall),
            Self::SYS_INIT | Self::LP_INIT => Some(Step::CpuInit),
            Self::UPDATE => Some(Step::RunUpdate),
            _ => None,
        }
    }

    /// Its name without the `TDH.` of module leaves, or its number.
    pub fn name(self) -> String {
        let number = (self.0 & !SEAMLDR) as usize;
        let names: &[&str] = if self.is_seamldr() { &SEAMLDR_NAMES } else { &MODULE_NAMES };
        match names.get(number) {
            Some(name) if !name.is_empty() => (*name).to_string(),
            _ if self.is_seamldr() => format!("P-SEAMLDR leaf {number:#x}"),
            _ => format!("leaf {number}"),
        }
    }
}

const SEAMLDR_NAMES: [&str; 5] = ["SEAMLDR.INFO", "INSTALL", "SEAMLDR.SHUTDOWN", "SEAMLDR.SEAMINFO", "SEAMLDR.CLEANUP"];

/// By number; an empty name stands for a leaf that is not known here.
#[rustfmt::skip]
const MODULE_NAMES: [&str; 70] = [
    /*  0 */ "VP.ENTER", "MNG.ADDCX", "MEM.PAGE.ADD", "MEM.SEPT.ADD", "VP.ADDCX",
    /*  5 */ "", "MEM.PAGE.AUG", "MEM.RANGE.BLOCK", "MNG.KEY.CONFIG", "MNG.CREATE",
    /* 10 */ "VP.CREATE", "MNG.RD", "", "", "",
    /* 15 */ "", "MR.EXTEND", "MR.FINALIZE", "VP.FLUSH", "MNG.VPFLUSHDONE",
    /* 20 */ "MNG.KEY.FREEID", "MNG.INIT", "VP.INIT", "", "PHYMEM.PAGE.RDMD",
    /* 25 */ "", "VP.RD", "", "PHYMEM.PAGE.RECLAIM", "MEM.PAGE.REMOVE",
    /* 30 */ "", "SYS.KEY.CONFIG", "SYS.INFO", "SYS.INIT", "SYS.RD",
    /* 35 */ "SYS.LP.INIT", "SYS.TDMR.INIT", "SYS.RDALL", "MEM.TRACK", "",
    /* 40 */ "PHYMEM.CACHE.WB", "PHYMEM.PAGE.WBINVD", "", "VP.WR", "SYS.LP.SHUTDOWN",
    /* 45 */ "SYS.CONFIG", "", "", "", "",
    /* 50 */ "", "", "SYS.SHUTDOWN", "SYS.UPDATE", "",
    /* 55 */ "", "", "", "", "",
    /* 60 */ "", "", "", "", "",
    /* 65 */ "", "", "", "", "SYS.DISABLE",
];

/// How a SEAMCALL ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It returned this completion status in RAX.
    Returned(u64),
    /// CF=1: the target is not there, not ready, or (P-SEAMLDR) another LP is inside.
    VmFailInvalid,
    /// It raised #UD.
    Ud,
    /// It raised #GP(0).
    Gp,
}

/// `TDX_RND_NO_ENTROPY`, which the kernel answers by calling again.
const RND_NO_ENTROPY: u64 = 0x8000_0203_0000_0000;

impl Status {
    /// The status of a [`rig_wire::event::Kind::SeamcallExit`] record.
    pub const fn of(record: &Record) -> Self {
        match record.flags {
            f if f & flags::UD != 0 => Self::Ud,
            f if f & flags::GP != 0 => Self::Gp,
            f if f & flags::VMFAIL_INVALID != 0 => Self::VmFailInvalid,
            _ => Self::Returned(record.b),
        }
    }

    /// Success without further information.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Returned(0))
    }

    /// The kernel calls again, up to ten times, and this call counts for nothing.
    pub const fn is_retried(self) -> bool {
        matches!(self, Self::Returned(RND_NO_ENTROPY))
    }

    /// Its name, or its number.
    pub fn name(self) -> String {
        match self {
            Self::VmFailInvalid => "VMfailInvalid".into(),
            Self::Ud => "#UD".into(),
            Self::Gp => "#GP(0)".into(),
            Self::Returned(value) => {
                let class = value & 0xffff_ffff_0000_0000;
                let is_it = |v: u64| v == value || (v == class && class & 0xffff_0000_0000 != 0);
                let known = STATUS_NAMES.iter().find(|(v, _)| is_it(*v));
                known.map_or_else(|| format!("{value:#018x}"), |(_, name)| format!("{name} ({value:#x})"))
            }
        }
    }
}

const STATUS_NAMES: [(u64, &str); 41] = [
    (0, "SUCCESS"),
    (0x8000_0000_0000_0003, "EBADCALL"),
    (0x8000_0000_0000_0004, "EBADHANDOFF"),
    (0x8000_0000_0000_0005, "ECLEANUPREQ"),
    (0x8000_0000_0000_0006, "EUNSUPPORTED"),
    (0x8000_0000_0001_0002, "ENOMEM"),
    (0x8000_0000_0001_0003, "EUNSPECERR"),
    (0x8000_0000_0001_0004, "EUNSUPCPU"),
    (0x8000_0000_0002_0000, "EBADSIG"),
    (0x8000_0000_0002_0001, "EBADHASH"),
    (0x8000_0000_0003_0000, "EINTERRUPT"),
    (0x8000_0000_0003_0001, "ENOENTROPY"),
    (0x8000_0000_0000_0000, "EBADPARAM"),
    (0x8000_0003_0000_0000, "INTERRUPTED_RESUMABLE"),
    (0x8000_0200_0000_0000, "OPERAND_BUSY"),
    (0x8000_0201_0000_0000, "PREVIOUS_TLB_EPOCH_BUSY"),
    (0x8000_0202_0000_0000, "SYS_BUSY"),
    (RND_NO_ENTROPY, "RND_NO_ENTROPY"),
    (0x8000_0204_0000_0000, "OPERAND_BUSY_HOST_PRIORITY"),
    (0x8000_0512_0000_0000, "UPDATE_COMPATIBILITY_SENSITIVE"),
    (0x8000_0800_0000_0000, "KEY_GENERATION_FAILED"),
    (0x0000_0815_0000_0000, "KEY_CONFIGURED"),
    (0x0000_0a03_0000_0000, "TDMR_ALREADY_INITIALIZED"),
    (0xc000_0100_0000_0000, "OPERAND_INVALID"),
    (0xc000_0500_0000_0000, "SYS_INIT_NOT_PENDING"),
    (0xc000_0502_0000_0000, "SYS_LP_INIT_NOT_DONE"),
    (0xc000_0503_0000_0000, "SYS_LP_INIT_DONE"),
    (0xc000_0505_0000_0000, "SYS_NOT_READY"),
    (0xc000_0506_0000_0000, "SYS_SHUTDOWN"),
    (0xc000_0507_0000_0000, "SYS_KEY_CONFIG_NOT_PENDING"),
    (0xc000_0508_0000_0000, "SYS_STATE_INCORRECT"),
    (0xc000_0509_0000_0000, "SYS_INVALID_HANDOFF"),
    (0xc000_050a_0000_0000, "SYS_INCOMPATIBLE_SIGSTRUCT"),
    (0xc000_050b_0000_0000, "SYS_LP_INIT_NOT_PENDING"),
    (0xc000_050c_0000_0000, "SYS_CONFIG_NOT_PENDING"),
    (0xc000_050d_0000_0000, "INCOMPATIBLE_SEAM_CAPABILITIES"),
    (0xc000_0511_0000_0000, "CRYPTO_SELF_TEST_FAILED"),
    (0xc000_0622_0000_0000, "INCOMPATIBLE_MRTD_CONTEXT"),
    (0xc000_0c00_0000_0000, "METADATA_FIELD_ID_INCORRECT"),
    (0xc000_0c02_0000_0000, "METADATA_FIELD_NOT_READABLE"),
    (0xc000_0e22_0000_0000, "INCOMPATIBLE_MBMD_MAC_CONTEXT"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_have_names_and_steps() {
        let table = [
            (0x8000_0000_0000_0001, "INSTALL", Some(Step::CpuInstall)),
            (0x8000_0000_0000_0000, "SEAMLDR.INFO", None),
            (0x8000_0000_0000_00fe, "P-SEAMLDR leaf 0xfe", None),
            (52, "SYS.SHUTDOWN", Some(Step::Shutdown)),
            (33, "SYS.INIT", Some(Step::CpuInit)),
            (35, "SYS.LP.INIT", Some(Step::CpuInit)),
            (0x1_0035, "SYS.UPDATE", Some(Step::RunUpdate)),
            (34, "SYS.RD", None),
            (69, "SYS.DISABLE", None),
            (12, "leaf 12", None),
        ];
        for (rax, name, step) in table {
            let leaf = Leaf::of(&Record { a: rax, ..Record::default() });
            assert_eq!((leaf.name().as_str(), leaf.step()), (name, step), "{rax:#x}");
        }
    }

    #[test]
    fn statuses_have_names() {
        let exit = |b, flags| Status::of(&Record { b, flags, ..Record::default() }).name();
        assert_eq!(exit(0, 0), "SUCCESS (0x0)");
        assert_eq!(exit(0x8000_0000_0000_0003, 0), "EBADCALL (0x8000000000000003)");
        assert_eq!(exit(0xc000_0100_0000_0008, 0), "OPERAND_INVALID (0xc000010000000008)");
        assert_eq!(exit(0x1234, 0), "0x0000000000001234");
        assert_eq!(exit(5, flags::VMFAIL_INVALID), "VMfailInvalid");
    }
}
