//! SEAMCALLs as a VMM makes them: a status is checked, and a busy TDX module is asked again.

use crate::raw::{CallEnd, Device, Regs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Leaf numbers. Source: Intel TDX Module ABI Specification, TDX module `tdx_vmm_api_handlers.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Leaf {
    VpEnter = 0,
    MngAddcx = 1,
    MemPageAdd = 2,
    MemSeptAdd = 3,
    VpAddcx = 4,
    MemPageAug = 6,
    MngKeyConfig = 8,
    MngCreate = 9,
    VpCreate = 10,
    MrExtend = 16,
    MrFinalize = 17,
    VpFlush = 18,
    MngVpflushdone = 19,
    MngKeyFreeid = 20,
    MngInit = 21,
    VpInit = 22,
    PhymemPageReclaim = 28,
    SysRd = 34,
    PhymemCacheWb = 40,
}

/// Class and name of a completion status, without details.
const NAME: u64 = 0xFFFF_FFFF_0000_0000;
/// Statuses after which the same call is made again: `OPERAND_BUSY`, `PREVIOUS_TLB_EPOCH_BUSY`, `SYS_BUSY`,
/// `RND_NO_ENTROPY`, `OPERAND_BUSY_HOST_PRIORITY`, `INTERRUPTED_RESUMABLE`, `KEY_GENERATION_FAILED`.
const AGAIN: [u64; 7] = [
    0x8000_0200_0000_0000,
    0x8000_0201_0000_0000,
    0x8000_0202_0000_0000,
    0x8000_0203_0000_0000,
    0x8000_0204_0000_0000,
    0x8000_0003_0000_0000,
    0x8000_0800_0000_0000,
];
/// So often a call is made again before the VMM gives up: contention lasts no longer than other calls do.
const TRIES: u32 = 10_000;

/// The TDX module, as VMM threads call it.
#[derive(Debug)]
pub(crate) struct Module {
    pub(super) device: Device,
    /// Calls that were made again.
    again: AtomicU64,
}

impl Module {
    /// Calls through the kernel module, which is loaded.
    pub(crate) fn open() -> Result<Self, String> {
        Ok(Self { device: Device::open()?, again: AtomicU64::new(0) })
    }

    /// Calls that were made again because the TDX module was busy.
    pub(crate) fn made_again(&self) -> u64 {
        self.again.load(Ordering::Relaxed)
    }

    /// A call that must succeed. The calling thread is bound to `cpu`.
    pub(super) fn call(&self, cpu: usize, leaf: Leaf, operands: Regs) -> Result<Regs, String> {
        self.call_version(cpu, leaf, 0, operands)
    }

    /// The same with a leaf's later version.
    pub(super) fn call_version(&self, cpu: usize, leaf: Leaf, version: u8, operands: Regs) -> Result<Regs, String> {
        let (status, regs) = self.status(cpu, leaf, version, operands)?;
        if status == 0 { Ok(regs) } else { Err(format!("{leaf:?} on CPU {cpu}: status {status:#018x}")) }
    }

    /// The status of a call, and its outputs. It is made again while the module is busy.
    pub(super) fn status(&self, cpu: usize, leaf: Leaf, version: u8, operands: Regs) -> Result<(u64, Regs), String> {
        for _ in 0..TRIES {
            let mut regs = Regs { rax: leaf as u64 | u64::from(version) << 16, ..operands };
            match self.device.call(cpu, &mut regs)? {
                CallEnd::VmFailInvalid => return Err(format!("{leaf:?} on CPU {cpu}: VMfailInvalid")),
                CallEnd::Trapped(vector) => return Err(format!("{leaf:?} on CPU {cpu}: exception {vector}")),
                CallEnd::Returned if is_busy(regs.rax) => {}
                CallEnd::Returned => return Ok((regs.rax, regs)),
            }
            self.again.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
        }
        Err(format!("{leaf:?} on CPU {cpu}: busy {TRIES} times"))
    }

    /// A metadata field.
    pub(super) fn field(&self, cpu: usize, field: u64) -> Result<u64, String> {
        self.call(cpu, Leaf::SysRd, Regs { rdx: field, ..Regs::default() }).map(|regs| regs.r8)
    }
}

fn is_busy(status: u64) -> bool {
    AGAIN.contains(&(status & NAME))
}

#[cfg(test)]
mod tests {
    use super::is_busy;

    #[test]
    fn busy_operands_can_be_retried_whatever_their_number() {
        assert!(is_busy(0x8000_0200_0000_0001) && is_busy(0x8000_0203_0000_0000));
    }

    #[test]
    fn other_statuses_cannot() {
        for status in [0, 77, 0xC000_0500_0000_0000, 0x8000_0704_0000_0000] {
            assert!(!is_busy(status), "{status:#x}");
        }
    }
}
