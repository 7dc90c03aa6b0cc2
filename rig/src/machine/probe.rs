//! QEMU's command line for finding out whether KVM works: the smallest machine that can boot something.

use super::command::file_option;
use std::path::Path;
use std::process::Command;

/// What the small program writes to the debug-exit device's port, and QEMU's exit code for it (`2 * n + 1`).
const MAGIC: u8 = 0x2a;
/// QEMU's exit code for a small program that ran to its end.
pub const PROGRAM_RAN: i32 = MAGIC as i32 * 2 + 1;

/// What to boot.
#[derive(Clone, Copy, Debug)]
pub enum Probe<'a> {
    /// A bzImage: without a root file system it says hello, panics, and resets.
    Kernel(&'a Path),
    /// The file of a multiboot [`program`].
    Program(&'a Path),
}

/// Adds to QEMU's command line a machine that boots with KVM and this CPU model. Its serial console goes to the file `console`.
pub fn add_arguments(qemu: &mut Command, model: &str, probe: Probe<'_>, console: &Path) {
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", "kvm", "-cpu", model]);
    qemu.args(["-machine", "q35", "-m", "256", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    qemu.arg("-serial").arg(file_option("file:", console));
    match probe {
        Probe::Kernel(kernel) => qemu.arg("-kernel").arg(kernel).args(["-append", "console=ttyS0 panic=-1"]),
        Probe::Program(program) => qemu.arg("-kernel").arg(program),
    };
}

/// A multiboot program (Multiboot Specification 0.6.96, section 3.1, with the address fields) that writes [`MAGIC`] to
/// port 0xf4 and halts.
pub fn program() -> Vec<u8> {
    const HEADER_MAGIC: u32 = 0x1bad_b002;
    const HAS_ADDRESSES: u32 = 1 << 16;
    const LOAD: u32 = 0x10_0000;
    const HEADER_SIZE: u32 = 32;
    let code = [0xb0, MAGIC, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd];
    let end = LOAD + HEADER_SIZE + code.len() as u32;
    let checksum = 0u32.wrapping_sub(HEADER_MAGIC).wrapping_sub(HAS_ADDRESSES);
    let words = [HEADER_MAGIC, HAS_ADDRESSES, checksum, LOAD, LOAD, end, end, LOAD + HEADER_SIZE];
    words.into_iter().flat_map(u32::to_le_bytes).chain(code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::shell_line;

    #[test]
    fn the_programs_header_adds_up() {
        let program = program();
        let words = program[..12].chunks(4).map(|w| u32::from_le_bytes(w.try_into().unwrap()));
        assert_eq!(words.fold(0u32, u32::wrapping_add), 0);
    }

    #[test]
    fn what_is_booted_stands_in_the_line() {
        let line = |probe| {
            let mut qemu = Command::new("qemu");
            add_arguments(&mut qemu, "host", probe, Path::new("/r,s/console"));
            shell_line(&qemu)
        };
        let kernel = line(Probe::Kernel(Path::new("/k/bzImage")));
        for part in ["-accel kvm -cpu host ", "-serial file:/r,,s/console", "-kernel /k/bzImage -append 'console=ttyS0"]
        {
            assert!(kernel.contains(part), "{part} is not in {kernel}");
        }
        assert!(line(Probe::Program(Path::new("/p"))).ends_with("-kernel /p"));
    }
}
