//! The instructions of a module that a software CPU lacks, or has in another form.

use crate::module_file::ModuleFile;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};
use std::collections::BTreeMap;

/// What is done in place of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named after the instructions")]
pub enum Service {
    Vmread,
    Vmwrite,
    Vmptrld,
    Vmptrst,
    Vmclear,
    /// INVEPT and INVVPID: there is no translation of a TD to forget.
    Invalidate,
    /// VMLAUNCH and VMRESUME.
    EnterTd,
    Rdmsr,
    Wrmsr,
    Cpuid,
    /// RDRAND and RDSEED.
    Random,
    Seamops,
    Seamret,
    Pconfig,
    Movdir64b,
    /// The end of an edit of keyholes, which the CPU then executes itself.
    Clac,
    /// Write-back of caches, which memory here does not have.
    CacheWriteBack,
    Xgetbv,
    /// XSETBV, XSAVES, XRSTORS: extended state of VMM and TD, which nobody uses here.
    ExtendedState,
    /// Saving and clearing 256-bit registers around the crypto library, which does not use them here.
    WideVector,
}

/// An instruction that is served.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// What is done in its place.
    pub service: Service,
    /// The instruction, at its offset in the module.
    pub instruction: Instruction,
}

/// What the sweep over a module's code found.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    /// By offset in the module.
    pub served: BTreeMap<u64, Site>,
    /// Offsets of instructions with a LOCK prefix, and of XCHG with memory: where LPs can come between each other.
    pub locked: Vec<u64>,
    /// Instructions in all.
    pub instructions: usize,
}

impl Sites {
    /// Decodes a module's code from its first byte to its last. Bytes that are no instruction are stepped over one by one.
    pub fn find(module: &ModuleFile) -> Self {
        let mut found = Self::default();
        for range in &module.code {
            let bytes = &module.image[range.start as usize..range.end as usize];
            for instruction in Decoder::with_ip(64, bytes, range.start, DecoderOptions::NONE) {
                if instruction.is_invalid() {
                    continue;
                }
                found.instructions += 1;
                let is_exchange = instruction.mnemonic() == Mnemonic::Xchg
                    && instruction.op_kinds().any(|kind| kind == iced_x86::OpKind::Memory);
                if instruction.has_lock_prefix() || is_exchange {
                    found.locked.push(instruction.ip());
                }
                if let Some(service) = service(&instruction) {
                    found.served.insert(instruction.ip(), Site { service, instruction });
                }
            }
        }
        found
    }
}

/// What is done in place of an instruction; none: the CPU executes it.
fn service(instruction: &Instruction) -> Option<Service> {
    Some(match instruction.mnemonic() {
        Mnemonic::Vmread => Service::Vmread,
        Mnemonic::Vmwrite => Service::Vmwrite,
        Mnemonic::Vmptrld => Service::Vmptrld,
        Mnemonic::Vmptrst => Service::Vmptrst,
        Mnemonic::Vmclear => Service::Vmclear,
        Mnemonic::Invept | Mnemonic::Invvpid => Service::Invalidate,
        Mnemonic::Vmlaunch | Mnemonic::Vmresume => Service::EnterTd,
        Mnemonic::Rdmsr => Service::Rdmsr,
        Mnemonic::Wrmsr => Service::Wrmsr,
        Mnemonic::Cpuid => Service::Cpuid,
        Mnemonic::Rdrand | Mnemonic::Rdseed => Service::Random,
        Mnemonic::Seamops => Service::Seamops,
        Mnemonic::Seamret => Service::Seamret,
        Mnemonic::Pconfig => Service::Pconfig,
        Mnemonic::Movdir64b => Service::Movdir64b,
        Mnemonic::Clac => Service::Clac,
        Mnemonic::Clflush | Mnemonic::Clflushopt | Mnemonic::Clwb | Mnemonic::Wbinvd | Mnemonic::Wbnoinvd => {
            Service::CacheWriteBack
        }
        Mnemonic::Xgetbv => Service::Xgetbv,
        Mnemonic::Xsetbv | Mnemonic::Xsaves | Mnemonic::Xsaves64 | Mnemonic::Xrstors | Mnemonic::Xrstors64 => {
            Service::ExtendedState
        }
        Mnemonic::Vmovdqa | Mnemonic::Vpxor if uses_ymm(instruction) => Service::WideVector,
        _ => return None,
    })
}

/// Whether a 256-bit register is an operand.
fn uses_ymm(instruction: &Instruction) -> bool {
    (0..instruction.op_count()).any(|operand| instruction.op_register(operand).is_ymm())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module that consists of this code.
    fn sites(code: &[u8]) -> Sites {
        let mut image = vec![0; 4096];
        image[0x100..0x100 + code.len()].copy_from_slice(code);
        let end = 0x100 + code.len() as u64;
        let code = std::iter::once(0x100..end).collect();
        Sites::find(&ModuleFile { image, code, ..ModuleFile::default() })
    }

    fn services(code: &[u8]) -> Vec<(u64, Service)> {
        sites(code).served.iter().map(|(offset, site)| (*offset, site.service)).collect()
    }

    #[test]
    fn seam_and_vmx_instructions_are_found_by_their_bytes() {
        let code = [
            &[0x0F, 0x78, 0xC1][..],         // vmread rcx, rax
            &[0x66, 0x0F, 0x01, 0xCE],       // seamops
            &[0x66, 0x0F, 0x38, 0xF8, 0x37], // movdir64b rsi, [rdi]
            &[0x0F, 0x01, 0xC5],             // pconfig
            &[0x48, 0x0F, 0xC7, 0xF0],       // rdrand rax
            &[0x66, 0x0F, 0x01, 0xCD],       // seamret
        ]
        .concat();
        let expected = [
            (0x100, Service::Vmread),
            (0x103, Service::Seamops),
            (0x107, Service::Movdir64b),
            (0x10C, Service::Pconfig),
            (0x10F, Service::Random),
            (0x113, Service::Seamret),
        ];
        assert_eq!(services(&code), expected);
    }

    #[test]
    fn what_the_cpu_has_is_left_to_it() {
        assert_eq!(services(&[0x48, 0x89, 0xC8, 0x9C, 0x0F, 0x01, 0xCB]), [], "mov, pushf, stac");
        assert_eq!(services(&[0x66, 0x0F, 0x6F, 0xC1]), [], "movdqa xmm0, xmm1");
    }

    #[test]
    fn places_where_lps_meet_are_found() {
        let found = sites(&[0x90, 0xF0, 0x48, 0x0F, 0xB1, 0x0F, 0x48, 0x87, 0x07, 0x48, 0x87, 0xC1]);
        assert_eq!(found.locked, [0x101, 0x106], "lock cmpxchg and xchg with memory, but not of registers");
        assert_eq!(found.instructions, 4);
    }

    #[test]
    fn data_between_instructions_is_stepped_over() {
        assert_eq!(services(&[0x06, 0x07, 0x0F, 0xA2]), [(0x102, Service::Cpuid)], "invalid in 64-bit mode");
    }
}
