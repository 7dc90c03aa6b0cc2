//! Posted interrupts: how a VMM interrupts a TD. Source: SDM volume 3, 30.6.
//!
//! Requests are taken in one step each ([`crate::GuestMemory::clear_bits`]), as the processor does.

use super::vmcs::{DESCRIPTOR_ADDRESS, NOTIFICATION_VECTOR, PIN_BASED_CONTROLS, PROCESS_POSTED};
use crate::context::Context;

/// Bytes of the descriptor: 32 of requests, then the control word, whose bit 0 tells of outstanding requests.
const SIZE: u64 = 64;
const CONTROL: u64 = 32;
const OUTSTANDING: u64 = 1;

/// Takes what was posted for the vCPU: one bit for each vector.
pub(crate) fn take(cx: &mut Context<'_>, tdvpr: u64) -> [u64; 4] {
    let (controls, address) = (field(cx, tdvpr, PIN_BASED_CONTROLS), field(cx, tdvpr, DESCRIPTOR_ADDRESS));
    if controls & PROCESS_POSTED == 0 || !address.is_multiple_of(SIZE) {
        return [0; 4];
    }
    let Some(descriptor) = cx.platform.shared_pa(address, SIZE) else { return [0; 4] };
    // The bit goes first: a request that comes later sets it again, at the worst for nothing.
    if cx.clear_bits(descriptor.0 + CONTROL, OUTSTANDING) & OUTSTANDING == 0 {
        return [0; 4];
    }
    std::array::from_fn(|word| cx.clear_bits(descriptor.0 + word as u64 * 8, u64::MAX))
}

/// Whether a physical interrupt with this vector tells the vCPU that something was posted.
pub(crate) fn is_notification(cx: &mut Context<'_>, tdvpr: u64, vector: u8) -> bool {
    field(cx, tdvpr, PIN_BASED_CONTROLS) & PROCESS_POSTED != 0
        && field(cx, tdvpr, NOTIFICATION_VECTOR) == u64::from(vector)
}

/// A field of its VMCS that the VMM wrote, or 0.
fn field(cx: &mut Context<'_>, tdvpr: u64, encoding: u32) -> u64 {
    cx.vcpu(tdvpr).vmcs.get(&encoding).copied().unwrap_or(0)
}
