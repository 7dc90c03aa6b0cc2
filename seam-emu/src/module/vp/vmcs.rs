//! TD VMCS fields that the VMM may write. Source: TDX module `td_vmcs_fields_lookup.c` for the masks of production TDs,
//! `metadata_vp.c` for the checks, `td_vmcs_init.c` for the values after TDH.VP.INIT.

use crate::abi::Status;
use crate::platform::Platform;
use std::collections::BTreeMap;

/// Encodings.
pub(super) const NOTIFICATION_VECTOR: u32 = 0x0002;
pub(super) const DESCRIPTOR_ADDRESS: u32 = 0x2016;
pub(super) const SHARED_EPT_POINTER: u32 = 0x203C;
pub(super) const PIN_BASED_CONTROLS: u32 = 0x4000;
const SECONDARY_CONTROLS: u32 = 0x401E;
const NOTIFY_WINDOW: u32 = 0x4024;

/// Pin-based control: process posted interrupts.
pub(super) const PROCESS_POSTED: u64 = 1 << 7;
/// No address.
const NULL_PA: u64 = u64::MAX;
/// No vector yet.
const NO_VECTOR: u64 = 0xFFFF;

/// A field that the VMM may write.
pub(super) struct Field {
    code: u32,
    bytes: u32,
    readable: u64,
    writable: u64,
    /// Bytes of shared memory that its value must be the address of; 0: it is no address.
    shared_size: u64,
    initial: u64,
}

const fn field(code: u32, bytes: u32, mask: u64, initial: u64) -> Field {
    Field { code, bytes, readable: mask, writable: mask, shared_size: 0, initial }
}

/// `PINBASED_CTLS_INIT` with the bits that are always 1; `PROCBASED_CTLS2_INIT`.
const PIN_BASED_INITIAL: u64 = 0x3F;
const SECONDARY_INITIAL: u64 = 0x133C_B3FA;

const FIELDS: [Field; 6] = [
    field(NOTIFICATION_VECTOR, 2, 0xFFFF, NO_VECTOR),
    Field { readable: u64::MAX, shared_size: 64, ..field(DESCRIPTOR_ADDRESS, 8, !0x3F, NULL_PA) },
    Field { shared_size: 4096, ..field(SHARED_EPT_POINTER, 8, 0x000F_FFFF_FFFF_F000, 0) },
    field(PIN_BASED_CONTROLS, 4, PROCESS_POSTED, PIN_BASED_INITIAL),
    field(SECONDARY_CONTROLS, 4, 0xC000_0000, SECONDARY_INITIAL),
    field(NOTIFY_WINDOW, 4, 0xFFFF_FFFF, 0),
];

/// Encodings of all fields that a TD VMCS has, first and last of every row, in steps of 2.
const EXISTING: [(u32, u32); 20] = [
    (0x0000, 0x0006),
    (0x0800, 0x0814),
    (0x2000, 0x2000),
    (0x2004, 0x201C),
    (0x2024, 0x202E),
    (0x2032, 0x2040),
    (0x204A, 0x204C),
    (0x2400, 0x2400),
    (0x2800, 0x280A),
    (0x2814, 0x2818),
    (0x4000, 0x4026),
    (0x4400, 0x440E),
    (0x4800, 0x482A),
    (0x482E, 0x482E),
    (0x6000, 0x6008),
    (0x6400, 0x640A),
    (0x6800, 0x682C),
    (0x6C08, 0x6C08),
    (0x6C14, 0x6C16),
    (0x6C1A, 0x6C1A),
];

/// Fields that a VMM may read and whose value this model does not know: addresses of pages and lists, VM functions, the
/// clock, spinning, the KeyID.
const READ_ONLY: [u32; 10] = [0x2004, 0x200E, 0x2010, 0x2018, 0x201A, 0x2024, 0x2032, 0x4020, 0x4022, 0x4026];

/// The field with this encoding. On the error side why there is none: no field has it, or `denied` because the VMM may not.
pub(super) fn find(code: u32, denied: Status) -> Result<&'static Field, Status> {
    let exists = code.is_multiple_of(2) && EXISTING.iter().any(|(first, last)| (*first..=*last).contains(&code));
    match FIELDS.iter().find(|field| field.code == code) {
        Some(field) => Ok(field),
        None if denied == Status::METADATA_FIELD_NOT_READABLE && READ_ONLY.contains(&code) => {
            Err(Status::METADATA_FIELD_ID_INCORRECT)
        }
        None if exists => Err(denied),
        None => Err(Status::METADATA_FIELD_ID_INCORRECT),
    }
}

impl Field {
    /// All bits of its value. `fallback`: the shared EPT pointer before it is written, a page of the TDCS.
    fn raw(&self, vmcs: &BTreeMap<u32, u64>, fallback: u64) -> u64 {
        let initial = if self.code == SHARED_EPT_POINTER { fallback } else { self.initial };
        vmcs.get(&self.code).copied().unwrap_or(initial)
    }

    /// What the VMM may know of its value.
    pub(super) fn read(&self, vmcs: &BTreeMap<u32, u64>, fallback: u64) -> u64 {
        self.raw(vmcs, fallback) & self.readable
    }

    /// Writes the bits of `mask`, and gives what the VMM may know of the value before. Source: `md_vp_write_element`.
    pub(super) fn write(
        &self,
        vmcs: &mut BTreeMap<u32, u64>,
        fallback: u64,
        (value, mask): (u64, u64),
        platform: &Platform,
    ) -> Result<u64, Status> {
        let written = self.writable & mask;
        if written == 0 {
            return Err(Status::METADATA_FIELD_NOT_WRITABLE);
        }
        let old = self.raw(vmcs, fallback);
        let whole = if self.bytes == 8 { u64::MAX } else { (1 << (8 * self.bytes)) - 1 };
        let mut base = if written == whole { 0 } else { old };
        if self.shared_size != 0 && base >> 63 != 0 {
            base &= self.writable;
        }
        let forbidden = mask & !self.writable;
        if base & forbidden != value & forbidden {
            return Err(Status::METADATA_FIELD_VALUE_NOT_VALID);
        }
        let new = base & !written | value & written;
        self.check(vmcs, new, platform)?;
        vmcs.insert(self.code, new);
        Ok(old & self.readable)
    }

    /// Checks of single fields. Source: `md_vp_handle_field_attribute_on_wr`, `md_vp_element_vmcs_wr_handle`.
    fn check(&self, vmcs: &BTreeMap<u32, u64>, new: u64, platform: &Platform) -> Result<(), Status> {
        if self.shared_size != 0 && platform.shared_pa(new, self.shared_size).is_none() {
            return Err(Status::METADATA_FIELD_VALUE_NOT_VALID);
        }
        if self.code == NOTIFICATION_VECTOR && new > 255 {
            return Err(Status::METADATA_FIELD_VALUE_NOT_VALID);
        }
        if self.code == PIN_BASED_CONTROLS && new & PROCESS_POSTED != 0 {
            for (code, unset) in [(NOTIFICATION_VECTOR, NO_VECTOR), (DESCRIPTOR_ADDRESS, NULL_PA)] {
                if vmcs.get(&code).is_none_or(|value| *value == unset) {
                    return Err(Status(Status::TD_VMCS_FIELD_NOT_INITIALIZED.0 | u64::from(code)));
                }
            }
        }
        Ok(())
    }
}
