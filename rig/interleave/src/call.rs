//! SEAMCALLs as the rules tell them apart.

use seam_emu::abi::Leaf;

/// What a SEAMCALL asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// TDH.SYS.RD of the handoff version, which comes before SHUTDOWN.
    ReadHandoff,
    /// TDH.SYS.SHUTDOWN.
    Shutdown,
    /// SEAMLDR.INSTALL.
    Install,
    /// TDH.SYS.INIT.
    SysInit,
    /// TDH.SYS.LP.INIT.
    LpInit,
    /// TDH.SYS.UPDATE.
    Update,
    /// TDH.SYS.RD of a part of the module's version, which comes after UPDATE: 0 minor, 1 major, 2 update.
    ReadVersion(u8),
    /// SEAMLDR.INFO.
    Info,
    /// Any other.
    Other,
}

/// A step of the update: a value of `enum module_update_state` of Linux's `seamldr.c`.
pub type Step = u8;

/// `MODULE_UPDATE_DONE`, the last step.
pub const DONE: Step = 5;

/// Field identifiers of Linux's `tdx_global_metadata.c`: the handoff version, and the first of three of the version.
const HANDOFF: u64 = 0x8900_0001_0000_0000;
const MINOR: u64 = 0x0800_0001_0000_0003;

impl Call {
    /// From RAX and RDX at the instruction. RAX of the module's leaves has the leaf in bits 15:0 and its version above.
    pub fn new(rax: u64, rdx: u64) -> Self {
        let is = |leaf: Leaf| rax == leaf.number();
        match rdx {
            _ if is(Leaf::LdrInstall) => Self::Install,
            _ if is(Leaf::LdrInfo) => Self::Info,
            _ if is(Leaf::SysShutdown) => Self::Shutdown,
            _ if is(Leaf::SysInit) => Self::SysInit,
            _ if is(Leaf::SysLpInit) => Self::LpInit,
            _ if is(Leaf::SysUpdate) => Self::Update,
            HANDOFF if is(Leaf::SysRd) => Self::ReadHandoff,
            MINOR..=0x0800_0001_0000_0005 if is(Leaf::SysRd) => Self::ReadVersion((rdx - MINOR) as u8),
            _ => Self::Other,
        }
    }

    /// The step in which it belongs; none for a call that no step makes.
    pub const fn step(self) -> Option<Step> {
        match self {
            Self::ReadHandoff | Self::Shutdown => Some(1),
            Self::Install => Some(2),
            Self::SysInit | Self::LpInit => Some(3),
            Self::Update | Self::ReadVersion(_) => Some(4),
            Self::Info | Self::Other => None,
        }
    }

    /// Whether P-SEAMLDR serves it.
    pub const fn is_of_loader(self) -> bool {
        matches!(self, Self::Install | Self::Info)
    }

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadHandoff => "TDH.SYS.RD of the handoff version",
            Self::Shutdown => "TDH.SYS.SHUTDOWN",
            Self::Install => "SEAMLDR.INSTALL",
            Self::SysInit => "TDH.SYS.INIT",
            Self::LpInit => "TDH.SYS.LP.INIT",
            Self::Update => "TDH.SYS.UPDATE",
            Self::ReadVersion(_) => "TDH.SYS.RD of the version",
            Self::Info => "SEAMLDR.INFO",
            Self::Other => "another SEAMCALL",
        }
    }

    /// A small number for fingerprints.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::ReadHandoff => 1,
            Self::Shutdown => 2,
            Self::Install => 3,
            Self::SysInit => 4,
            Self::LpInit => 5,
            Self::Update => 6,
            Self::ReadVersion(part) => 7 + part,
            Self::Info => 10,
            Self::Other => 11,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_told_apart() {
        assert_eq!(Call::new(0x8000_0000_0000_0001, 0), Call::Install);
        assert_eq!(Call::new(34, HANDOFF), Call::ReadHandoff);
        assert_eq!(Call::new(34, 0x0800_0001_0000_0005), Call::ReadVersion(2));
        assert_eq!(Call::new(34, 0x0800_0001_0000_0006), Call::Other);
        assert_eq!(Call::new(53, 0), Call::Update);
        assert_eq!(Call::new((1 << 63) + 53, 0), Call::Other);
    }
}
