//! Posted interrupts: how a VMM interrupts a TD. Source: SDM volume 3, 30.6.
//!
//! The processor takes the requests atomically. Memory is reached by plain reads and writes here, so only bytes with a
//! request are written: requests of vectors that share a byte (`vector / 8`) may be lost if they come at the same moment.

use super::vmcs::{DESCRIPTOR_ADDRESS, PIN_BASED_CONTROLS, PROCESS_POSTED};
use crate::context::Context;

/// Bytes of the descriptor: 32 of requests, then the control word, whose bit 0 tells of outstanding requests.
const SIZE: u64 = 64;
const CONTROL: u64 = 32;
const OUTSTANDING: u8 = 1;

/// Takes what was posted for the vCPU: how many interrupts.
pub(super) fn take(cx: &mut Context<'_>, tdvpr: u64) -> u32 {
    let vmcs = &cx.vcpu(tdvpr).vmcs;
    let field = |encoding| vmcs.get(&encoding).copied().unwrap_or(0);
    let (controls, address) = (field(PIN_BASED_CONTROLS), field(DESCRIPTOR_ADDRESS));
    if controls & PROCESS_POSTED == 0 || !address.is_multiple_of(SIZE) {
        return 0;
    }
    let Some(descriptor) = cx.platform.shared_pa(address, SIZE) else { return 0 };
    let mut control = [0];
    cx.read(descriptor.0 + CONTROL, &mut control);
    if control[0] & OUTSTANDING == 0 {
        return 0;
    }
    // The bit goes first: a request that comes later sets it again, at the worst for nothing.
    cx.write(descriptor.0 + CONTROL, &[control[0] & !OUTSTANDING]);
    let mut requests = [0; CONTROL as usize];
    cx.read(descriptor.0, &mut requests);
    let mut taken = 0;
    for (offset, byte) in requests.iter().enumerate().filter(|(_, byte)| **byte != 0) {
        cx.write(descriptor.0 + offset as u64, &[0]);
        taken += byte.count_ones();
    }
    taken
}
