//! What lies where in the memory that only SEAM sees: the stub, its interrupt table, and what each vCPU needs.
//!
//! The stub reaches it by a linear address in slot 256 of the top page table, which Linux keeps free for hypervisors
//! (Linux's `Documentation/arch/x86/x86_64/mm.rst`: "guard hole, also reserved for hypervisor").

use std::ops::Range;

/// Bytes of hidden memory, mapped by 2 MB pages.
pub const SIZE: u64 = 64 << 20;
/// Slot of the top page table.
pub const SLOT: u64 = 256;
/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// The stub's code, at most a page.
pub const STUB: u64 = 0;
/// Its interrupt table: 256 gates.
pub const IDT: u64 = 0x1000;
/// What the gates lead to: 16 bytes each.
pub const THUNKS: u64 = 0x2000;
/// Page tables of the slot: what the top table's entry leads to with 4 levels.
pub const PDPT: u64 = 0x4000;
/// The table beneath.
pub const PD: u64 = 0x5000;
/// With 5 levels, the table above [`PDPT`].
pub const PML4: u64 = 0x6000;
/// MSR permission map.
pub const MSRPM: u64 = 0x8000;
/// I/O permission map.
pub const IOPM: u64 = 0xC000;
/// First of the places of LPs.
const LPS: u64 = 0x10_0000;
/// First of the places of TDs' vCPUs.
const VCPUS: u64 = 0x80_0000;
/// Bytes of one place of either kind.
const PLACE: u64 = 0x1_0000;
/// Nested page tables, to the end.
pub const TABLES: Range<u64> = 0x200_0000..SIZE;

/// Where the local APIC's registers appear in the hidden slot, behind hidden memory: a page of 2 MB that begins with them.
pub const APIC: u64 = SIZE;
/// Their physical address (SDM volume 3, 12.4.1), which neither QEMU's firmware nor Linux changes.
pub const APIC_REGISTERS: u64 = 0xFEE0_0000;

/// What an LP needs, by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LpPlace(u64);

/// What a TD's vCPU needs, by offset. It is no copy of another one, so whoever has it can be the only one who uses it.
#[derive(Debug, PartialEq, Eq)]
pub struct VcpuPlace(u64);

impl LpPlace {
    /// Of this LP; none when there are too many.
    pub fn of(lp: usize) -> Option<Self> {
        let at = LPS + lp as u64 * PLACE;
        (at + PLACE <= VCPUS).then_some(Self(at))
    }

    /// A copy of the VMM's top page table.
    pub const fn top_table(self) -> u64 {
        self.0
    }

    /// Where VMRUN saves the host's state.
    pub const fn host_save(self) -> u64 {
        self.0 + 0x1000
    }

    /// Where VMSAVE saves what VMRUN does not.
    pub const fn host_vmcb(self) -> u64 {
        self.0 + 0x2000
    }

    /// The stub's stack, by its end; the context follows.
    pub const fn stack_end(self) -> u64 {
        self.0 + 0x4000
    }

    /// What the stub reads and writes: see [`context`].
    pub const fn context(self) -> u64 {
        self.0 + 0x4000
    }

    /// The VMM's extended state: two pages.
    pub const fn xsave(self) -> u64 {
        self.0 + 0x6000
    }
}

impl VcpuPlace {
    /// The `n`th; none when there are too many.
    pub fn of(n: usize) -> Option<Self> {
        let at = VCPUS + n as u64 * PLACE;
        (at + PLACE <= TABLES.start).then_some(Self(at))
    }

    /// Its VMCB.
    pub const fn vmcb(&self) -> u64 {
        self.0
    }

    /// Its general-purpose registers, at [`TD_DRS`] from there DR0 to DR3, and at [`TD_TSC_AUX`] `TSC_AUX`.
    pub const fn gprs(&self) -> u64 {
        self.0 + 0x1000
    }

    /// Its extended state: two pages.
    pub const fn xsave(&self) -> u64 {
        self.0 + 0x2000
    }

    /// What the module keeps of it while it does not run ([`crate::vcpu::Vcpu::words`]).
    pub const fn kept(&self) -> u64 {
        self.gprs() + 0x800
    }

    /// All that is the vCPU's.
    pub const fn all(&self) -> Range<u64> {
        self.0..self.0 + 0x4000
    }
}

/// Bytes at [`VcpuPlace::kept`].
pub const KEPT_SIZE: usize = 0x800;
/// Offset of DR0 to DR3 from [`VcpuPlace::gprs`].
pub const TD_DRS: u64 = 0x80;
/// Offset of `TSC_AUX` from [`VcpuPlace::gprs`].
pub const TD_TSC_AUX: u64 = 0xA0;
/// Bytes of an XSAVE area.
pub const XSAVE_SIZE: usize = 0x2000;

/// The stub's context, by offset. The stub names these numbers in its own code.
pub mod context {
    /// Physical address of [`super::LpPlace::host_vmcb`].
    pub const HOST_VMCB: u64 = 0x00;
    /// Physical address of [`super::LpPlace::host_save`].
    pub const HOST_SAVE: u64 = 0x08;
    /// Physical address of the TD's VMCB.
    pub const VMCB: u64 = 0x10;
    /// Linear address of the TD's general-purpose registers.
    pub const GPRS: u64 = 0x18;
    /// Linear address of the VMM's extended state.
    pub const HOST_XSAVE: u64 = 0x20;
    /// Linear address of the TD's extended state.
    pub const TD_XSAVE: u64 = 0x28;
    /// The VMM's XCR0.
    pub const HOST_XCR0: u64 = 0x30;
    /// The TD's XCR0.
    pub const TD_XCR0: u64 = 0x38;
    /// What interrupted while the stub waited for it: bit 31, and the vector (32 bits).
    pub const VECTOR: u64 = 0x40;
    /// The VMM's CR2, which #VMEXIT does not bring back.
    pub const HOST_CR2: u64 = 0x48;
    /// The VMM's IDTR (10 bytes).
    pub const HOST_IDTR: u64 = 0x50;
    /// The stub's IDTR (10 bytes).
    pub const STUB_IDTR: u64 = 0x60;
    /// The VMM's DR0 to DR3, which VMRUN does not switch.
    pub const HOST_DRS: u64 = 0x70;
    /// The VMM's `TSC_AUX`.
    pub const HOST_TSC_AUX: u64 = 0x98;
    /// Linear address of the local APIC's registers, where it is not in x2APIC mode.
    pub const APIC: u64 = 0xA0;
    /// Not 0 from the stub's CLGI to its last STGI: what executes is a TD's, or the stub's (32 bits).
    pub const IN_TD: u64 = 0x90;
    /// Says in [`VECTOR`] that something interrupted.
    pub const INTERRUPTED: u32 = 1 << 31;
}

/// An interrupt gate of 64-bit mode with this handler (APM 4.8.4): present, most privileged, without a stack of its own.
pub fn gate(handler: u64, selector: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0..2].copy_from_slice(&(handler as u16).to_le_bytes());
    bytes[2..4].copy_from_slice(&selector.to_le_bytes());
    bytes[5] = 0x8E;
    bytes[6..8].copy_from_slice(&((handler >> 16) as u16).to_le_bytes());
    bytes[8..12].copy_from_slice(&((handler >> 32) as u32).to_le_bytes());
    bytes
}

/// Code of a gate's handler at offset `at` in hidden memory: notes the vector in the context, to which RBX points, and goes on
/// at offset `common`.
pub fn thunk(vector: u8, at: u64, common: u64) -> [u8; 16] {
    /// `movl $imm32, disp32(%rbx)` is 10 bytes long, `jmp rel32` 5.
    const END: u64 = 15;
    let mut code = [0xCC; 16];
    code[..2].copy_from_slice(&[0xC7, 0x83]);
    code[2..6].copy_from_slice(&(context::VECTOR as u32).to_le_bytes());
    code[6..10].copy_from_slice(&(context::INTERRUPTED | u32::from(vector)).to_le_bytes());
    code[10] = 0xE9;
    code[11..15].copy_from_slice(&(common.wrapping_sub(at + END) as u32).to_le_bytes());
    code
}

/// Linear address of hidden memory, with so many levels of page tables.
pub const fn linear(levels: u8) -> u64 {
    // Sign-extended: slot 256 is the first of the upper half.
    !0 << (12 + 9 * levels as u32 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_do_not_overlap() {
        let first = LpPlace::of(0).unwrap();
        assert!(first.context() >= first.stack_end() && first.xsave() + XSAVE_SIZE as u64 <= first.0 + PLACE);
        let fixed = [STUB, IDT, THUNKS, PDPT, PD, PML4, MSRPM, IOPM, LPS, VCPUS, TABLES.start];
        assert!(fixed.is_sorted());
        assert!(MSRPM + crate::permissions::MSRPM_SIZE as u64 <= IOPM);
        assert!(IOPM + crate::permissions::IOPM_SIZE as u64 <= LPS);
        assert_eq!(LpPlace::of(112), None, "as many LPs as fit");
        assert!(LpPlace::of(111).is_some() && VcpuPlace::of(383).is_some());
        assert_eq!(VcpuPlace::of(384), None);
        let vcpu = VcpuPlace::of(0).unwrap();
        assert!(vcpu.xsave() + XSAVE_SIZE as u64 <= vcpu.all().end && vcpu.all().end <= vcpu.0 + PLACE);
        assert!(vcpu.kept() + KEPT_SIZE as u64 <= vcpu.xsave());
    }

    #[test]
    fn hidden_memory_is_at_the_first_address_of_the_upper_half() {
        assert_eq!(linear(4), 0xFFFF_8000_0000_0000);
        assert_eq!(linear(5), 0xFF00_0000_0000_0000);
        assert_eq!(linear(4) >> 39 & 511, SLOT);
        assert_eq!(linear(5) >> 48 & 511, SLOT);
    }

    #[test]
    fn a_gate_has_its_handlers_address_in_three_parts() {
        let gate = gate(0xFFFF_8000_1234_5678, 0x10);
        assert_eq!(gate, [0x78, 0x56, 0x10, 0, 0, 0x8E, 0x34, 0x12, 0, 0x80, 0xFF, 0xFF, 0, 0, 0, 0]);
    }

    #[test]
    fn a_thunk_notes_its_vector_and_jumps() {
        let code = thunk(0x40, 0x2400, 0x180);
        assert_eq!(code[..10], [0xC7, 0x83, 0x40, 0, 0, 0, 0x40, 0, 0, 0x80]);
        let to = u32::from_le_bytes(code[11..15].try_into().unwrap()).cast_signed();
        assert_eq!(0x2400 + 15 + i64::from(to), 0x180);
    }
}
