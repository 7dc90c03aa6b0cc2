//! A TD's memory: a `guest_memfd` for its private pages and an ordinary mapping for its shared ones.

#![allow(unsafe_code, reason = "memory that KVM and the TD write, too")]

use crate::MonitorError;
use crate::abi::{ATTRIBUTE_PRIVATE, MEM_GUEST_MEMFD};
use kvm_bindings::{kvm_create_guest_memfd, kvm_memory_attributes, kvm_userspace_memory_region2};
use kvm_ioctls::VmFd;
use memmap2::{MmapMut, MmapRaw};
use nix::fcntl::{FallocateFlags, fallocate};
use rig_wire::td::RESET_PAGE;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Guest-physical memory from address 0 on, and perhaps the page in which machine code begins.
#[derive(Debug)]
pub(crate) struct Memory {
    shared: MmapRaw,
    private: OwnedFd,
    /// Without that page, which follows in both.
    bytes: u64,
    has_reset_page: bool,
}

/// A page, bytes.
const PAGE: u64 = 4096;

impl Memory {
    /// Makes it and gives it to the VM, all of it private.
    pub(crate) fn new(vm: &VmFd, pages: u64, has_reset_page: bool) -> Result<Self, MonitorError> {
        let bytes = pages.checked_mul(PAGE).filter(|bytes| *bytes > 0 && *bytes <= 1 << 30);
        let bytes = bytes.ok_or_else(|| MonitorError::plan(format_args!("{pages} pages of memory")))?;
        let size = bytes + if has_reset_page { PAGE } else { 0 };
        let shared = MmapMut::map_anon(size as usize).map_err(MonitorError::io("map shared memory"))?.into();
        let memfd = kvm_create_guest_memfd { size, ..Default::default() };
        let memfd = vm.create_guest_memfd(memfd).map_err(MonitorError::refused("KVM_CREATE_GUEST_MEMFD"))?;
        // SAFETY: KVM just made this file descriptor, and nobody else has it.
        let private = unsafe { OwnedFd::from_raw_fd(memfd) };
        let memory = Self { shared, private, bytes, has_reset_page };
        memory.give(vm, (0, 0, bytes), memfd.cast_unsigned())?;
        memory.convert(vm, 0, bytes, true)?;
        if has_reset_page {
            memory.give(vm, (1, RESET_PAGE, PAGE), memfd.cast_unsigned())?;
            set_private(vm, RESET_PAGE, PAGE, true)?;
        }
        Ok(memory)
    }

    /// Gives a slot of it to the VM: number, guest-physical address and size. The first has everything below [`Self::bytes`], the
    /// second what follows.
    fn give(&self, vm: &VmFd, (slot, gpa, size): (u32, u64, u64), memfd: u32) -> Result<(), MonitorError> {
        let offset = if slot == 0 { 0 } else { self.bytes };
        let region = kvm_userspace_memory_region2 {
            slot,
            flags: MEM_GUEST_MEMFD,
            guest_phys_addr: gpa,
            memory_size: size,
            userspace_addr: self.shared.as_ptr() as u64 + offset,
            guest_memfd: memfd,
            guest_memfd_offset: offset,
            ..Default::default()
        };
        // SAFETY: the mapping lives as long as this value, which its owner keeps until the VM is gone.
        let result = unsafe { vm.set_user_memory_region2(region) };
        result.map_err(MonitorError::refused("KVM_SET_USER_MEMORY_REGION2"))
    }

    /// Whether a page of initial memory can lie there.
    pub(crate) fn has_page(&self, gpa: u64) -> bool {
        self.holds(gpa, PAGE) || self.has_reset_page && gpa == RESET_PAGE
    }

    /// Whether the range lies in this memory, in whole pages.
    pub(crate) fn holds(&self, gpa: u64, bytes: u64) -> bool {
        let end = gpa.checked_add(bytes);
        (gpa | bytes).is_multiple_of(4096) && bytes > 0 && end.is_some_and(|end| end <= self.bytes)
    }

    /// Makes a range private or shared. What it held is lost; pages that are private no more go back to the kernel.
    pub(crate) fn convert(&self, vm: &VmFd, gpa: u64, bytes: u64, private: bool) -> Result<(), MonitorError> {
        set_private(vm, gpa, bytes, private)?;
        if !private {
            let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            fallocate(&self.private, flags, gpa.cast_signed(), bytes.cast_signed()).map_err(|errno| {
                MonitorError::Refused { doing: "free private pages", errno: errno as i32, status: 0 }
            })?;
        }
        Ok(())
    }

    /// Writes a word of shared memory.
    pub(crate) fn put(&self, gpa: u64, value: u64) -> Result<(), MonitorError> {
        if !gpa.is_multiple_of(8) || gpa >= self.bytes {
            return Err(MonitorError::plan(format_args!("no shared word at {gpa:#x}")));
        }
        #[expect(clippy::cast_ptr_alignment, reason = "a mapping is page-aligned, and the offset was checked")]
        let address = self.shared.as_mut_ptr().wrapping_add(gpa as usize).cast::<u64>();
        // SAFETY: aligned and inside the mapping; whoever else writes there is the TD, word by word.
        unsafe { AtomicU64::from_ptr(address) }.store(value, Ordering::SeqCst);
        Ok(())
    }
}

fn set_private(vm: &VmFd, address: u64, size: u64, private: bool) -> Result<(), MonitorError> {
    let attributes = if private { ATTRIBUTE_PRIVATE } else { 0 };
    let range = kvm_memory_attributes { address, size, attributes, flags: 0 };
    vm.set_memory_attributes(range).map_err(MonitorError::refused("KVM_SET_MEMORY_ATTRIBUTES"))
}
