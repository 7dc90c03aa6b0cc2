//! The stream to the rig on a machine that has no port for it: bytes go through a buffer and an instruction
//! ([`rig_wire::exchange`]), at which the machine stands still.
#![allow(unsafe_code, reason = "an instruction that no compiler knows")]

use rig_wire::exchange::{AGAIN, FAULT, HELLO, HERE, MAX_TRANSFER, RECEIVE, SEND};
use std::arch::asm;
use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

/// Pause before asking again, while the machine is about to be saved.
const PAUSE: Duration = Duration::from_millis(1);
const PAGE: usize = 4096;

/// The stream. Reading fills the whole buffer, up to [`MAX_TRANSFER`].
#[derive(Clone, Debug)]
pub(crate) struct Exchange;

impl Exchange {
    /// The stream, where there is one.
    pub(crate) fn find() -> Option<Self> {
        (ask(HELLO, &mut []) == HERE).then_some(Self)
    }
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(MAX_TRANSFER);
        loop {
            match ask(RECEIVE, &mut buffer[..length]) {
                AGAIN => thread::sleep(PAUSE),
                // The kernel took the page away in the moment since it was touched.
                FAULT => {}
                received => return Ok(usize::try_from(received).unwrap_or(0).min(length)),
            }
        }
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut copy = bytes[..bytes.len().min(MAX_TRANSFER)].to_vec();
        while ask(SEND, &mut copy) == FAULT {}
        Ok(copy.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Executes the instruction for a buffer whose pages are all mapped for writing.
fn ask(function: u64, buffer: &mut [u8]) -> u64 {
    touch(buffer);
    let mut answer = function;
    // SAFETY: a NOP with operands of no meaning (0F 1F /0), which cannot fault; where the emulator listens, the buffer, which is
    // borrowed for writing, may be changed within its bounds, and RAX.
    unsafe {
        asm!(
            ".byte 0x0f, 0x1f, 0x84, 0x00, 0x53, 0x45, 0x41, 0x4d",
            inout("rax") answer,
            in("rdi") buffer.as_mut_ptr(),
            in("rsi") buffer.len(),
            options(nostack),
        );
    }
    answer
}

/// Makes the kernel map each page of the buffer for writing.
fn touch(buffer: &mut [u8]) {
    for at in (0..buffer.len()).step_by(PAGE).chain(buffer.len().checked_sub(1)) {
        let byte = &raw mut buffer[at];
        // SAFETY: a byte of the buffer, read and written back; volatile, so that it is done.
        unsafe { byte.write_volatile(byte.read_volatile()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_wire::exchange::INSTRUCTION;

    #[test]
    fn nobody_listens_on_an_ordinary_machine() {
        assert!(Exchange::find().is_none());
        assert_eq!(ask(RECEIVE, &mut [0; 5000]), RECEIVE);
    }

    #[test]
    fn the_instruction_is_that_of_the_protocol() {
        let text = INSTRUCTION.map(|byte| format!("{byte:#04x}")).join(", ");
        assert!(include_str!("exchange.rs").contains(&format!(".byte {text}")));
    }
}
