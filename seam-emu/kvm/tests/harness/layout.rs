//! Where things lie in guest-physical memory. All of the first GiB is mapped twice, for every privilege level: at its
//! own address, and where the kernel expects its image.

/// First address of the kernel's mapping of its image.
pub(crate) const IMAGE_BASE: u64 = 0xffff_ffff_8000_0000;
/// First address of the kernel's mapping of all memory (`__PAGE_OFFSET_BASE_L4`). Here nothing is mapped there: the
/// section computes with such addresses only.
pub(crate) const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;

/// The four page tables.
pub(crate) const TABLES: u64 = 0x1000;
/// Where the section returns to.
pub(crate) const RETURN: u64 = 0x6000;
/// One handler for each vector, [`HANDLER_SIZE`] bytes apart.
pub(crate) const HANDLERS: u64 = 0x7000;
pub(crate) const HANDLER_SIZE: u64 = 16;
pub(crate) const GDT: u64 = 0x8000;
pub(crate) const IDT: u64 = 0x9000;
/// One task state segment for each vCPU.
pub(crate) const TSS: u64 = 0xa000;
pub(crate) const TSS_STRIDE: u64 = 0x100;
/// The stacks on which exceptions are delivered.
pub(crate) const EXCEPTION_STACKS: u64 = 0x10_0000;
pub(crate) const EXCEPTION_STACK_SIZE: u64 = 0x1000;
/// SEAMLDR's parameters, and behind them the image: a page of SIGSTRUCT and the module's.
pub(crate) const PARAMETERS: u64 = 0x20_0000;
pub(crate) const MODULE: u64 = 0x21_0000;
/// The stacks on which the section runs.
pub(crate) const STACKS: u64 = 0x40_0000;
pub(crate) const STACK_SIZE: u64 = 0x1_0000;
/// The CPUs' own areas.
pub(crate) const AREAS: u64 = 0x400_0000;
pub(crate) const AREA_SIZE: u64 = 0x10_0000;

/// As many vCPUs have room.
pub(crate) const MOST_LPS: u16 = 64;

/// Port that says that the section returned.
pub(crate) const RETURNED: u16 = 0xf4;
/// Port that says that an exception was delivered.
pub(crate) const RAISED: u16 = 0x99;
