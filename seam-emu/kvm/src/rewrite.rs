//! Puts instructions that leave the guest in the place of those at the sites.
//!
//! OUT to port 0x7e in two bytes, with as many prefixes of no effect as are needed (DS, ignored in 64-bit mode). KVM
//! steps over an OUT to this port before it leaves to user space (`KVM_X86_QUIRK_OUT_7E_INC_RIP`, `kvm_fast_pio_out()`
//! in `arch/x86/kvm/x86.c`), on VMX, SVM and emulated alike: so a vCPU stands behind the site, and where it goes on is
//! for user space to say.

use crate::{Code, KernelMap, Ram, Site, Sites};
use seam_emu::GuestMemory;

/// The port.
pub const PORT: u16 = 0x7e;
/// A prefix that does nothing here: DS segment override.
const PREFIX: u8 = 0x3e;
/// `out %al, $0x7e`.
const OUT: [u8; 2] = [0xe6, PORT as u8];

/// Why a kernel's text is left as it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// An instruction is shorter than one that leaves the guest.
    #[error("the instruction at {address:#x} ({code}) is too short to be replaced")]
    TooShort {
        /// Guest virtual address.
        address: u64,
        /// Its bytes.
        code: Code,
    },
    /// No guest memory is there.
    #[error("no guest memory is at {address:#x}")]
    NoMemory {
        /// Guest virtual address.
        address: u64,
    },
    /// The text is not that of the kernel's file.
    #[error("at {address:#x} the guest has the bytes {found}, and the kernel's file has {expected}")]
    OtherBytes {
        /// Guest virtual address.
        address: u64,
        /// The bytes in the file.
        expected: Code,
        /// The bytes in the guest.
        found: Code,
    },
    /// Two sites share bytes.
    #[error("the sites at {address:#x} and {next:#x} overlap")]
    Overlap {
        /// Guest virtual address of the first.
        address: u64,
        /// Of the second.
        next: u64,
    },
}

/// An instruction of `length` bytes that leaves the guest; none below two bytes and above fifteen.
pub fn exiting(length: u64) -> Option<Code> {
    let prefixes = usize::try_from(length).ok()?.checked_sub(OUT.len())?;
    Code::new(&[vec![PREFIX; prefixes], OUT.to_vec()].concat())
}

/// Compares the bytes of all sites with guest memory, and rewrites them if all are as expected; else nothing is
/// written. No vCPU may be executing there.
pub fn rewrite(ram: &Ram, map: KernelMap, sites: &Sites) -> Result<(), RewriteError> {
    let mut sorted: Vec<&Site> = sites.all().iter().collect();
    sorted.sort_by_key(|site| site.address);
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].end() > pair[1].address) {
        return Err(RewriteError::Overlap { address: pair[0].address, next: pair[1].address });
    }
    let planned = sorted.iter().map(|site| plan(ram, map, site)).collect::<Result<Vec<_>, _>>()?;
    let mut ram = ram.clone();
    for (site, (pa, code)) in sorted.iter().zip(planned) {
        ram.write(pa, code.as_slice()).map_err(|_| RewriteError::NoMemory { address: site.address })?;
    }
    Ok(())
}

/// Where a site lies, and what is to stand there.
fn plan(ram: &Ram, map: KernelMap, site: &Site) -> Result<(u64, Code), RewriteError> {
    let Site { address, code: expected, .. } = *site;
    let new = exiting(expected.length()).ok_or(RewriteError::TooShort { address, code: expected })?;
    let pa = map.physical(address).ok_or(RewriteError::NoMemory { address })?;
    let mut found = vec![0; expected.as_slice().len()];
    ram.read(pa, &mut found).map_err(|_| RewriteError::NoMemory { address })?;
    let found = Code::new(&found).expect("as long as an instruction");
    if found != expected {
        return Err(RewriteError::OtherBytes { address, expected, found });
    }
    Ok((pa, new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;

    const TEXT: u64 = 0xffff_ffff_8000_0000;

    fn site(address: u64, code: &[u8]) -> Site {
        Site { address, code: Code::new(code).unwrap(), operation: Operation::Seamcall }
    }

    fn ram(bytes: &[u8]) -> Ram {
        let mut ram = Ram::new(4096).unwrap();
        ram.write(0, bytes).unwrap();
        ram
    }

    fn text(ram: &Ram, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        ram.read(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn an_exiting_instruction_has_any_length_but_one() {
        for length in 2..=15 {
            let code = exiting(length).unwrap();
            let instruction = crate::recognise::decode(code.as_slice(), 0).unwrap();
            assert_eq!((code.length(), instruction.code()), (length, iced_x86::Code::Out_imm8_AL), "{code}");
        }
        assert_eq!((exiting(0), exiting(1), exiting(16)), (None, None, None));
    }

    #[test]
    fn all_sites_are_rewritten() {
        let before = [0x66, 0x0f, 0x01, 0xcf, 0x90, 0x0f, 0x01, 0xc4];
        let ram = ram(&before);
        let sites = Sites::new(vec![site(TEXT, &before[..4]), site(TEXT + 5, &before[5..])]);
        rewrite(&ram, KernelMap::default(), &sites).unwrap();
        assert_eq!(text(&ram, 8), [0x3e, 0x3e, 0xe6, 0x7e, 0x90, 0x3e, 0xe6, 0x7e]);
        // A second time the bytes are not the expected ones.
        assert!(matches!(rewrite(&ram, KernelMap::default(), &sites), Err(RewriteError::OtherBytes { .. })));
    }

    #[test]
    fn nothing_is_written_where_one_site_has_other_bytes() {
        let before = [0x66, 0x0f, 0x01, 0xcf, 0x90, 0x0f, 0x01, 0xc1];
        let ram = ram(&before);
        let sites = Sites::new(vec![site(TEXT, &before[..4]), site(TEXT + 5, &[0x0f, 0x01, 0xc4])]);
        let error = rewrite(&ram, KernelMap::default(), &sites).unwrap_err();
        let words = error.to_string();
        assert!(
            words.contains("0xffffffff80000005") && words.contains("0f 01 c1") && words.contains("0f 01 c4"),
            "{words}"
        );
        assert_eq!(text(&ram, 8), before);
    }

    #[test]
    fn what_cannot_be_rewritten_is_refused() {
        let ram = ram(&[0xc3; 64]);
        let go = |sites: Vec<Site>| rewrite(&ram, KernelMap::default(), &Sites::new(sites)).unwrap_err();
        assert!(matches!(go(vec![site(TEXT, &[0xc3])]), RewriteError::TooShort { address: TEXT, .. }));
        let far = TEXT + 4095;
        assert_eq!(go(vec![site(far, &[0, 0])]), RewriteError::NoMemory { address: far });
        assert_eq!(go(vec![site(0x1000, &[0, 0])]), RewriteError::NoMemory { address: 0x1000 });
        let overlap = vec![site(TEXT, &[0xc3; 3]), site(TEXT + 2, &[0xc3; 3])];
        assert_eq!(go(overlap), RewriteError::Overlap { address: TEXT, next: TEXT + 2 });
        assert_eq!(text(&ram, 64), [0xc3; 64]);
    }
}
