//! The memory that KVM shares with a vCPU's thread (`struct kvm_run`), mapped once more beside its owner's own mapping.

#![allow(unsafe_code, reason = "KVM and the vCPU's owner write to it, too")]

use crate::Exit;
use kvm_bindings::{
    KVM_EXIT_IO, KVM_EXIT_IO_OUT, KVM_SYNC_X86_REGS, kvm_regs, kvm_run, kvm_run__bindgen_ty_1__bindgen_ty_4,
    kvm_sync_regs,
};
use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU8, Ordering};

/// What is put into `immediate_exit` here; the vCPU's owner puts 1 there. KVM looks whether it is 0.
const OURS: u8 = 2;

/// A vCPU's `struct kvm_run`. Source: `include/uapi/linux/kvm.h`.
#[derive(Debug)]
pub struct RunArea {
    map: MmapRaw,
}

impl RunArea {
    /// Maps the area of this vCPU; `bytes` is what `KVM_GET_VCPU_MMAP_SIZE` says.
    pub fn map(vcpu: &impl AsRawFd, bytes: usize) -> io::Result<Self> {
        if bytes < size_of::<kvm_run>() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a vCPU's area is smaller than struct kvm_run"));
        }
        Ok(Self { map: MmapOptions::new().len(bytes).map_raw(vcpu.as_raw_fd())? })
    }

    /// Why the vCPU left.
    pub fn exit(&self) -> Exit {
        let reason: u32 = self.read(offset_of!(kvm_run, exit_reason));
        if reason != KVM_EXIT_IO {
            return Exit::Other(reason);
        }
        let io: kvm_run__bindgen_ty_1__bindgen_ty_4 = self.read(offset_of!(kvm_run, __bindgen_anon_1));
        let one_byte_out = u32::from(io.direction) == KVM_EXIT_IO_OUT && io.size == 1 && io.count == 1;
        if one_byte_out { Exit::Out(io.port) } else { Exit::Other(reason) }
    }

    /// Asks for the registers at the next exit.
    pub fn ask_for_registers(&self) {
        self.write(offset_of!(kvm_run, kvm_valid_regs), u64::from(KVM_SYNC_X86_REGS));
    }

    /// The registers that were asked for.
    pub fn registers(&self) -> kvm_regs {
        self.read(REGISTERS)
    }

    /// Sets the registers for the next entry.
    pub fn set_registers(&self, registers: &kvm_regs) {
        self.write(REGISTERS, *registers);
        self.write(offset_of!(kvm_run, kvm_dirty_regs), u64::from(KVM_SYNC_X86_REGS));
    }

    /// Whether the next entry, or the present one, returns at once.
    pub fn is_kicked(&self) -> bool {
        self.immediate_exit().load(Ordering::SeqCst) != 0
    }

    /// What the vCPU's owner does to get the thread back.
    pub fn kick(&self) {
        self.immediate_exit().store(1, Ordering::SeqCst);
    }

    /// The owner has its thread back.
    pub fn take_kick(&self) {
        self.immediate_exit().store(0, Ordering::SeqCst);
    }

    /// From now on entries return at once. Returns what [`RunArea::reopen`] needs.
    pub fn close(&self) -> Closed {
        Closed { before: self.immediate_exit().swap(OURS, Ordering::SeqCst) }
    }

    /// Entries are possible again, unless the owner has kicked the vCPU, before or since.
    pub fn reopen(&self, Closed { before }: Closed) {
        // If it is not ours any more, the owner has set it since, and it stays set.
        let _ = self.immediate_exit().compare_exchange(OURS, before, Ordering::SeqCst, Ordering::SeqCst);
    }

    fn immediate_exit(&self) -> &AtomicU8 {
        let place = self.map.as_mut_ptr().wrapping_add(offset_of!(kvm_run, immediate_exit));
        // SAFETY: in the mapping, which is as long as the structure and lives as long as `self`; accessed atomically
        // only.
        unsafe { AtomicU8::from_ptr(place) }
    }

    fn read<T: Copy>(&self, offset: usize) -> T {
        assert!(offset + size_of::<T>() <= self.map.len(), "fields lie in the structure");
        // SAFETY: in bounds, by the check; fields are plain data, aligned as the structure has them. KVM writes to them
        // only inside KVM_RUN, and this thread is not in it.
        unsafe { self.map.as_ptr().add(offset).cast::<T>().read_volatile() }
    }

    fn write<T: Copy>(&self, offset: usize, value: T) {
        assert!(offset + size_of::<T>() <= self.map.len(), "fields lie in the structure");
        // SAFETY: as above.
        unsafe { self.map.as_mut_ptr().add(offset).cast::<T>().write_volatile(value) }
    }
}

/// What `immediate_exit` was before an area was closed.
#[derive(Debug)]
#[must_use = "the vCPU cannot be entered until its area is open again"]
pub struct Closed {
    before: u8,
}

/// Where the registers lie.
const REGISTERS: usize = offset_of!(kvm_run, s) + offset_of!(kvm_sync_regs, regs);

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn area() -> RunArea {
        let file: File = tempfile::tempfile().unwrap();
        file.set_len(3 * 4096).unwrap();
        RunArea::map(&file, 3 * 4096).unwrap()
    }

    #[test]
    fn a_kick_that_comes_meanwhile_stays() {
        let area = area();
        let closed = area.close();
        assert!(area.is_kicked());
        area.reopen(closed);
        assert!(!area.is_kicked());
        let closed = area.close();
        area.kick();
        area.reopen(closed);
        assert!(area.is_kicked());
        let closed = area.close();
        area.reopen(closed);
        assert!(area.is_kicked(), "the one from before stays, too");
        area.take_kick();
        assert!(!area.is_kicked());
    }

    #[test]
    fn only_an_out_of_one_byte_is_one() {
        let area = area();
        let io = |direction, size, port| kvm_run__bindgen_ty_1__bindgen_ty_4 {
            direction,
            size,
            port,
            count: 1,
            ..Default::default()
        };
        let seen = |io| {
            area.write(offset_of!(kvm_run, exit_reason), KVM_EXIT_IO);
            area.write(offset_of!(kvm_run, __bindgen_anon_1), io);
            area.exit()
        };
        let out = KVM_EXIT_IO_OUT as u8;
        assert_eq!(seen(io(out, 1, 0x7e)), Exit::Out(0x7e));
        assert_eq!(seen(io(out, 4, 0x7e)), Exit::Other(KVM_EXIT_IO));
        assert_eq!(seen(io(1 - out, 1, 0x7e)), Exit::Other(KVM_EXIT_IO));
        area.write(offset_of!(kvm_run, exit_reason), 8_u32);
        assert_eq!(area.exit(), Exit::Other(8));
    }

    #[test]
    fn registers_are_marked_for_kvm() {
        let area = area();
        area.set_registers(&kvm_regs { rip: 7, ..Default::default() });
        area.ask_for_registers();
        assert_eq!(area.registers().rip, 7);
        assert_eq!(area.read::<u64>(offset_of!(kvm_run, kvm_dirty_regs)), 1);
        assert_eq!(area.read::<u64>(offset_of!(kvm_run, kvm_valid_regs)), 1);
    }

    #[test]
    fn a_short_area_is_refused() {
        let file: File = tempfile::tempfile().unwrap();
        assert!(RunArea::map(&file, 100).is_err());
    }
}
