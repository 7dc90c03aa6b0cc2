//! `/dev/tdx_raw`: SEAMCALLs and pages for them. The interface is `guest-kmod/raw.h`.
#![allow(unsafe_code, reason = "ioctls")]

use nix::{ioctl_read, ioctl_readwrite, ioctl_write_ptr};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;

/// Device node of the kernel module.
const NODE: &str = "/dev/tdx_raw";
/// `RAW_VMFAIL` and `RAW_TRAPPED`.
const VMFAIL: u32 = 1;
const TRAPPED: u32 = 2;

/// General registers of a SEAMCALL, before or after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Regs {
    pub(crate) rax: u64,
    pub(crate) rbx: u64,
    pub(crate) rcx: u64,
    pub(crate) rdx: u64,
    pub(crate) rsi: u64,
    pub(crate) rdi: u64,
    pub(crate) r8: u64,
    pub(crate) r9: u64,
    pub(crate) r10: u64,
    pub(crate) r11: u64,
    pub(crate) r12: u64,
    pub(crate) r13: u64,
    pub(crate) r14: u64,
    pub(crate) r15: u64,
}

/// `struct tdx_raw_call`.
#[repr(C)]
pub(crate) struct Call {
    regs: Regs,
    cpu: u32,
    end: u32,
}

#[repr(C)]
pub(crate) struct Block {
    bytes: u64,
    address: u64,
}

#[repr(C)]
pub(crate) struct Copy {
    address: u64,
    bytes: u64,
    buffer: u64,
}

#[derive(Default)]
#[repr(C)]
pub(crate) struct Info {
    first_keyid: u32,
    keyids: u32,
}

ioctl_readwrite!(raw_call, 0xD7, 1, Call);
ioctl_readwrite!(raw_alloc, 0xD7, 2, Block);
ioctl_write_ptr!(raw_free, 0xD7, 3, Block);
ioctl_write_ptr!(raw_write, 0xD7, 5, Copy);
ioctl_read!(raw_info, 0xD7, 6, Info);

/// How a SEAMCALL ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallEnd {
    /// With a completion status in RAX.
    Returned,
    /// With CF set.
    VmFailInvalid,
    /// With the exception of this vector.
    Trapped(u64),
}

/// The open device. Pages that are not given back when it is closed are the kernel module's matter.
#[derive(Debug)]
pub(crate) struct Device(File);

impl Device {
    /// Opens the device that the loaded kernel module offers.
    pub(crate) fn open() -> Result<Self, String> {
        let file = OpenOptions::new().read(true).write(true).open(NODE);
        file.map(Self).map_err(|e| format!("open {NODE}: {e}"))
    }

    /// One SEAMCALL on `cpu`, to which the calling thread is bound.
    pub(crate) fn call(&self, cpu: usize, regs: &mut Regs) -> Result<CallEnd, String> {
        let mut call = Call { regs: *regs, cpu: u32::try_from(cpu).expect("CPU numbers are small"), end: 0 };
        // SAFETY: the kernel reads and writes one `Call`, which lives until the call returns.
        let called = unsafe { raw_call(self.0.as_raw_fd(), &raw mut call) };
        called.map_err(|e| format!("SEAMCALL {} on CPU {cpu}: {}", regs.rax & 0xFFFF, e.desc()))?;
        *regs = call.regs;
        Ok(match call.end {
            VMFAIL => CallEnd::VmFailInvalid,
            TRAPPED => CallEnd::Trapped(regs.rax),
            _ => CallEnd::Returned,
        })
    }

    /// A zeroed page; its physical address.
    pub(crate) fn page(&self) -> Result<u64, String> {
        let mut block = Block { bytes: 4096, address: 0 };
        // SAFETY: the kernel reads and writes one `Block`, which lives until the call returns.
        unsafe { raw_alloc(self.0.as_raw_fd(), &raw mut block) }.map_err(|e| format!("get a page: {}", e.desc()))?;
        Ok(block.address)
    }

    /// Gives a page back; refused while it belongs to the TDX module.
    pub(crate) fn free(&self, address: u64) -> Result<(), String> {
        let block = Block { bytes: 4096, address };
        // SAFETY: the kernel reads one `Block`, which lives until the call returns.
        let freed = unsafe { raw_free(self.0.as_raw_fd(), &raw const block) };
        freed.map(drop).map_err(|e| format!("give page {address:#x} back: {}", e.desc()))
    }

    /// Writes to a page that this device gave out.
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), String> {
        let copy = Copy { address, bytes: bytes.len() as u64, buffer: bytes.as_ptr() as u64 };
        // SAFETY: the kernel reads one `Copy`, and through it exactly the bytes of the borrowed slice.
        let written = unsafe { raw_write(self.0.as_raw_fd(), &raw const copy) };
        written.map(drop).map_err(|e| format!("write to page {address:#x}: {}", e.desc()))
    }

    /// KeyIDs for TDs: all that the platform has but the first, which is the TDX module's own.
    pub(crate) fn keyids(&self) -> Result<std::ops::Range<u32>, String> {
        let mut info = Info::default();
        // SAFETY: the kernel writes one `Info`, which lives until the call returns.
        unsafe { raw_info(self.0.as_raw_fd(), &raw mut info) }.map_err(|e| format!("ask for KeyIDs: {}", e.desc()))?;
        Ok(info.first_keyid + 1..info.first_keyid + info.keyids)
    }
}
