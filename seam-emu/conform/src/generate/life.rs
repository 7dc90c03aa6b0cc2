//! Which leaves are called about a TD at each stage of its life, and with which operands.

use super::operands::Kind;
use super::view::Stage;
use seam_emu::abi::Leaf;

/// A leaf, how often it is chosen among its neighbours, and the kinds of RCX, RDX, R8 and R9.
pub(super) type Row = (Leaf, u32, [Kind; 4]);

use Kind::{
    Any, Chunk, Fresh, Gpa, KeyId, Mapped, Params, Small, Source, Table, Taken, TdField, Tdr, Tdvpr, VcpuField, Zero,
};

/// Without a TD, or whatever it is.
pub(super) const ALWAYS: &[Row] = &[
    (Leaf::MngCreate, 4, [Fresh, KeyId, Zero, Zero]),
    (Leaf::PhymemPageRdmd, 6, [Taken, Zero, Zero, Zero]),
    (Leaf::PhymemPageRdmd, 2, [Fresh, Zero, Zero, Zero]),
    (Leaf::PhymemPageReclaim, 1, [Taken, Zero, Zero, Zero]),
    (Leaf::PhymemCacheWb, 1, [Small, Zero, Zero, Zero]),
    (Leaf::PhymemPageWbinvd, 1, [Taken, Zero, Zero, Zero]),
    (Leaf::SysTdmrInit, 1, [Zero, Zero, Zero, Zero]),
    (Leaf::SysLpShutdown, 1, [Zero, Zero, Zero, Zero]),
    (Leaf::SysInit, 1, [Zero, Zero, Zero, Zero]),
    (Leaf::SysLpInit, 1, [Zero, Zero, Zero, Zero]),
    (Leaf::SysKeyConfig, 1, [Zero, Zero, Zero, Zero]),
    (Leaf::SysUpdate, 1, [Zero, Zero, Zero, Zero]),
    (Leaf::MngRd, 6, [Tdr, TdField, Zero, Zero]),
    (Leaf::VpRd, 4, [Tdvpr, VcpuField, Zero, Zero]),
    (Leaf::VpWr, 2, [Tdvpr, VcpuField, Any, Any]),
    (Leaf::MngKeyFreeid, 1, [Tdr, Zero, Zero, Zero]),
    (Leaf::MngVpflushdone, 1, [Tdr, Zero, Zero, Zero]),
    (Leaf::MemTrack, 1, [Tdr, Zero, Zero, Zero]),
    (Leaf::VpFlush, 1, [Tdvpr, Zero, Zero, Zero]),
    (Leaf::MemPageAug, 1, [Gpa, Tdr, Fresh, Zero]),
    (Leaf::MemSeptAdd, 1, [Table, Tdr, Fresh, Zero]),
];

const CREATED: &[Row] =
    &[(Leaf::MngKeyConfig, 8, [Tdr, Zero, Zero, Zero]), (Leaf::MngAddcx, 1, [Fresh, Tdr, Zero, Zero])];

const KEYED: &[Row] =
    &[(Leaf::MngAddcx, 8, [Fresh, Tdr, Zero, Zero]), (Leaf::MngKeyConfig, 1, [Tdr, Zero, Zero, Zero])];

const ALLOCATED: &[Row] = &[
    (Leaf::MngInit, 8, [Tdr, Params, Zero, Zero]),
    (Leaf::MngAddcx, 1, [Fresh, Tdr, Zero, Zero]),
    (Leaf::VpCreate, 1, [Fresh, Tdr, Zero, Zero]),
];

const INITIALIZED: &[Row] = &[
    (Leaf::VpCreate, 3, [Fresh, Tdr, Zero, Zero]),
    (Leaf::VpAddcx, 16, [Fresh, Tdvpr, Zero, Zero]),
    (Leaf::VpInit, 6, [Tdvpr, Any, Small, Zero]),
    (Leaf::MemSeptAdd, 8, [Table, Tdr, Fresh, Zero]),
    (Leaf::MemPageAdd, 8, [Gpa, Tdr, Fresh, Source]),
    (Leaf::MrExtend, 8, [Chunk, Tdr, Zero, Zero]),
    (Leaf::MrFinalize, 1, [Tdr, Zero, Zero, Zero]),
];

const RUNNABLE: &[Row] = &[
    (Leaf::VpEnter, 8, [Tdvpr, Zero, Zero, Zero]),
    (Leaf::VpFlush, 4, [Tdvpr, Zero, Zero, Zero]),
    (Leaf::MemPageAug, 8, [Gpa, Tdr, Fresh, Zero]),
    (Leaf::MemSeptAdd, 4, [Table, Tdr, Fresh, Zero]),
    (Leaf::MemRangeBlock, 8, [Mapped, Tdr, Zero, Zero]),
    (Leaf::MemTrack, 6, [Tdr, Zero, Zero, Zero]),
    (Leaf::MemRangeUnblock, 4, [Mapped, Tdr, Zero, Zero]),
    (Leaf::MemPageRemove, 6, [Mapped, Tdr, Zero, Zero]),
    (Leaf::MemPagePromote, 1, [Table, Tdr, Zero, Zero]),
    (Leaf::MemPageDemote, 1, [Table, Tdr, Fresh, Zero]),
    (Leaf::MemRangeBlock, 1, [Table, Tdr, Zero, Zero]),
    (Leaf::VpCreate, 1, [Fresh, Tdr, Zero, Zero]),
    (Leaf::MngVpflushdone, 1, [Tdr, Zero, Zero, Zero]),
];

const FLUSHED: &[Row] = &[
    (Leaf::PhymemCacheWb, 8, [Small, Zero, Zero, Zero]),
    (Leaf::MngKeyFreeid, 4, [Tdr, Zero, Zero, Zero]),
    (Leaf::VpEnter, 1, [Tdvpr, Zero, Zero, Zero]),
];

const TEARDOWN: &[Row] = &[
    (Leaf::PhymemPageReclaim, 16, [Taken, Zero, Zero, Zero]),
    (Leaf::PhymemPageReclaim, 1, [Tdr, Zero, Zero, Zero]),
    (Leaf::PhymemPageWbinvd, 4, [Taken, Zero, Zero, Zero]),
];

/// The leaves that bring a TD further, or use what it has.
pub(super) fn rows(stage: Stage) -> &'static [Row] {
    match stage {
        Stage::Created => CREATED,
        Stage::Keyed => KEYED,
        Stage::Allocated => ALLOCATED,
        Stage::Initialized => INITIALIZED,
        Stage::Runnable => RUNNABLE,
        Stage::Flushed => FLUSHED,
        Stage::Teardown => TEARDOWN,
    }
}
