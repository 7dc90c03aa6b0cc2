//! SEAMCALL leaf numbers.

use serde::{Deserialize, Serialize};

/// RAX bit 63: the call is for P-SEAMLDR.
pub const SEAMLDR_BIT: u64 = 1 << 63;

/// Defines [`Leaf`] with its numbers and names from one table.
macro_rules! leaves {
    ($($variant:ident = $number:expr, $name:literal;)*) => {
        /// A leaf function of P-SEAMLDR or of the TDX module.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the names are the specification's own")]
        pub enum Leaf { $($variant,)* }

        impl Leaf {
            /// Every leaf, in the order of the table.
            pub const ALL: &[Leaf] = &[$(Leaf::$variant,)*];

            /// Leaf number: RAX for P-SEAMLDR, RAX bits 15:0 for the module.
            pub const fn number(self) -> u64 {
                match self { $(Leaf::$variant => $number,)* }
            }

            /// Name in the specification, such as `TDH.SYS.INIT`.
            pub const fn name(self) -> &'static str {
                match self { $(Leaf::$variant => $name,)* }
            }
        }
    };
}

// Sources: P-SEAMLDR `pseamldr_api_defs.h`; TDX module `tdx_api_defs.h`; 69 from Linux `tdx.h`.
leaves! {
    LdrInfo = SEAMLDR_BIT, "SEAMLDR.INFO";
    LdrInstall = SEAMLDR_BIT | 1, "SEAMLDR.INSTALL";
    LdrShutdown = SEAMLDR_BIT | 2, "SEAMLDR.SHUTDOWN";
    LdrSeamInfo = SEAMLDR_BIT | 3, "SEAMLDR.SEAMINFO";
    LdrCleanup = SEAMLDR_BIT | 4, "SEAMLDR.CLEANUP";
    VpEnter = 0, "TDH.VP.ENTER";
    MngAddcx = 1, "TDH.MNG.ADDCX";
    MemPageAdd = 2, "TDH.MEM.PAGE.ADD";
    MemSeptAdd = 3, "TDH.MEM.SEPT.ADD";
    VpAddcx = 4, "TDH.VP.ADDCX";
    MemPageRelocate = 5, "TDH.MEM.PAGE.RELOCATE";
    MemPageAug = 6, "TDH.MEM.PAGE.AUG";
    MemRangeBlock = 7, "TDH.MEM.RANGE.BLOCK";
    MngKeyConfig = 8, "TDH.MNG.KEY.CONFIG";
    MngCreate = 9, "TDH.MNG.CREATE";
    VpCreate = 10, "TDH.VP.CREATE";
    MngRd = 11, "TDH.MNG.RD";
    MemRd = 12, "TDH.MEM.RD";
    MngWr = 13, "TDH.MNG.WR";
    MemWr = 14, "TDH.MEM.WR";
    MemPageDemote = 15, "TDH.MEM.PAGE.DEMOTE";
    MrExtend = 16, "TDH.MR.EXTEND";
    MrFinalize = 17, "TDH.MR.FINALIZE";
    VpFlush = 18, "TDH.VP.FLUSH";
    MngVpflushdone = 19, "TDH.MNG.VPFLUSHDONE";
    MngKeyFreeid = 20, "TDH.MNG.KEY.FREEID";
    MngInit = 21, "TDH.MNG.INIT";
    VpInit = 22, "TDH.VP.INIT";
    MemPagePromote = 23, "TDH.MEM.PAGE.PROMOTE";
    PhymemPageRdmd = 24, "TDH.PHYMEM.PAGE.RDMD";
    MemSeptRd = 25, "TDH.MEM.SEPT.RD";
    VpRd = 26, "TDH.VP.RD";
    MngKeyReclaimid = 27, "TDH.MNG.KEY.RECLAIMID";
    PhymemPageReclaim = 28, "TDH.PHYMEM.PAGE.RECLAIM";
    MemPageRemove = 29, "TDH.MEM.PAGE.REMOVE";
    MemSeptRemove = 30, "TDH.MEM.SEPT.REMOVE";
    SysKeyConfig = 31, "TDH.SYS.KEY.CONFIG";
    SysInfo = 32, "TDH.SYS.INFO";
    SysInit = 33, "TDH.SYS.INIT";
    SysRd = 34, "TDH.SYS.RD";
    SysLpInit = 35, "TDH.SYS.LP.INIT";
    SysTdmrInit = 36, "TDH.SYS.TDMR.INIT";
    SysRdall = 37, "TDH.SYS.RDALL";
    MemTrack = 38, "TDH.MEM.TRACK";
    MemRangeUnblock = 39, "TDH.MEM.RANGE.UNBLOCK";
    PhymemCacheWb = 40, "TDH.PHYMEM.CACHE.WB";
    PhymemPageWbinvd = 41, "TDH.PHYMEM.PAGE.WBINVD";
    MemSeptWr = 42, "TDH.MEM.SEPT.WR";
    VpWr = 43, "TDH.VP.WR";
    SysLpShutdown = 44, "TDH.SYS.LP.SHUTDOWN";
    SysConfig = 45, "TDH.SYS.CONFIG";
    ServtdBind = 48, "TDH.SERVTD.BIND";
    ServtdPrebind = 49, "TDH.SERVTD.PREBIND";
    SysShutdown = 52, "TDH.SYS.SHUTDOWN";
    SysUpdate = 53, "TDH.SYS.UPDATE";
    PhymemPamtAdd = 58, "TDH.PHYMEM.PAMT.ADD";
    PhymemPamtRemove = 59, "TDH.PHYMEM.PAMT.REMOVE";
    ExportAbort = 64, "TDH.EXPORT.ABORT";
    ExportBlockw = 65, "TDH.EXPORT.BLOCKW";
    ExportRestore = 66, "TDH.EXPORT.RESTORE";
    ExportMem = 68, "TDH.EXPORT.MEM";
    SysDisable = 69, "TDH.SYS.DISABLE";
    ExportPause = 70, "TDH.EXPORT.PAUSE";
    ExportTrack = 71, "TDH.EXPORT.TRACK";
    ExportStateImmutable = 72, "TDH.EXPORT.STATE.IMMUTABLE";
    ExportStateTd = 73, "TDH.EXPORT.STATE.TD";
    ExportStateVp = 74, "TDH.EXPORT.STATE.VP";
    ExportUnblockw = 75, "TDH.EXPORT.UNBLOCKW";
    ImportAbort = 80, "TDH.IMPORT.ABORT";
    ImportEnd = 81, "TDH.IMPORT.END";
    ImportCommit = 82, "TDH.IMPORT.COMMIT";
    ImportMem = 83, "TDH.IMPORT.MEM";
    ImportTrack = 84, "TDH.IMPORT.TRACK";
    ImportStateImmutable = 85, "TDH.IMPORT.STATE.IMMUTABLE";
    ImportStateTd = 86, "TDH.IMPORT.STATE.TD";
    ImportStateVp = 87, "TDH.IMPORT.STATE.VP";
    MigStreamCreate = 96, "TDH.MIG.STREAM.CREATE";
}

impl Leaf {
    /// Number of leaves.
    pub const COUNT: usize = Self::ALL.len();

    /// The leaf with this number, P-SEAMLDR's or the module's.
    pub fn from_number(rax: u64) -> Option<Self> {
        Self::ALL.iter().copied().find(|leaf| leaf.number() == rax)
    }

    /// The P-SEAMLDR leaf whose number is all of RAX.
    pub fn from_seamldr(rax: u64) -> Option<Self> {
        Self::from_number(rax).filter(|leaf| leaf.is_seamldr())
    }

    /// The module leaf with this number.
    pub fn from_module(number: u16) -> Option<Self> {
        /// Leaf by number, so that looking one up costs an index.
        static BY_NUMBER: [Option<Leaf>; 128] = {
            let mut table = [None; 128];
            let mut i = 0;
            while i < Leaf::ALL.len() {
                let leaf = Leaf::ALL[i];
                if !leaf.is_seamldr() {
                    table[leaf.number() as usize] = Some(leaf);
                }
                i += 1;
            }
            table
        };
        BY_NUMBER.get(usize::from(number)).copied().flatten()
    }

    /// The leaf with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|leaf| leaf.name() == name)
    }

    /// Whether it is P-SEAMLDR's.
    pub const fn is_seamldr(self) -> bool {
        self.number() & SEAMLDR_BIT != 0
    }

    /// Position in [`Leaf::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_is_found_by_number_and_name() {
        for &leaf in Leaf::ALL {
            assert_eq!(Leaf::from_name(leaf.name()), Some(leaf));
            let number = leaf.number();
            let found = if leaf.is_seamldr() { Leaf::from_seamldr(number) } else { Leaf::from_module(number as u16) };
            assert_eq!(found, Some(leaf));
        }
    }

    #[test]
    fn numbers_that_are_no_leaf_are_not_found() {
        for number in [46, 47, 50, 51, 67, 76, 97, 127, 128, 0xFFFF] {
            assert_eq!(Leaf::from_module(number), None, "{number}");
        }
        assert_eq!(Leaf::from_seamldr(SEAMLDR_BIT | 5), None);
        assert_eq!(Leaf::from_seamldr(0), None);
        assert_eq!(Leaf::from_name("TDH.SYS.init"), None);
    }
}
