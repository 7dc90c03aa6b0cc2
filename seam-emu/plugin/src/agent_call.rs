//! The instruction by which the agent exchanges bytes with the rig where it has no port.

use crate::emulator::Emulator;
use crate::exchange::{Exchange, Received};
use crate::memory;
use crate::registers::{self, Reg};
use rig_wire::exchange::{AGAIN, FAULT, HELLO, HERE, MAX_TRANSFER, RECEIVE, SEND};

/// Serves the instruction. Without a rig behind it, it does nothing.
pub(crate) fn execute(emulator: &Emulator) {
    let Some(exchange) = &emulator.exchange else { return };
    let address = registers::read(Reg::Rdi);
    let length = usize::try_from(registers::read(Reg::Rsi)).unwrap_or(usize::MAX).min(MAX_TRANSFER);
    let answer = match registers::read(Reg::Rax) {
        HELLO => HERE,
        SEND => match memory::read_virtual_bytes(address, length) {
            Some(bytes) => {
                exchange.send(&bytes);
                length as u64
            }
            None => FAULT,
        },
        RECEIVE => receive(exchange, address, length),
        _ => return,
    };
    registers::write(Reg::Rax, answer);
}

/// The buffer is looked at first: what was taken from the rig must not get lost.
fn receive(exchange: &Exchange, address: u64, length: usize) -> u64 {
    if memory::read_virtual_bytes(address, length).is_none() {
        return FAULT;
    }
    let mut bytes = vec![0; length];
    match exchange.receive(&mut bytes) {
        Received::All if memory::write_virtual(address, &bytes) => length as u64,
        Received::All => panic!("the agent's buffer was mapped a moment ago"),
        Received::Gone => 0,
        Received::Nothing => AGAIN,
    }
}
