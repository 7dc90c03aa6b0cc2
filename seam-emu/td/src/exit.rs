//! Why a guest left. Source: APM appendix C (exit codes), 15.10.2 (I/O), 15.25.6 (nested page faults).

use crate::vmcb::{EXIT_CODE, EXIT_INFO_1, EXIT_INFO_2, RIP, Vmcb};

/// What made the guest exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A physical interrupt is pending.
    Interrupt,
    /// A physical NMI is pending.
    Nmi,
    /// INIT or SMI, which no machine of the rig sends to a running vCPU.
    Init,
    /// #UD: TDCALL is an undefined opcode to TCG.
    InvalidOpcode,
    /// #MC.
    MachineCheck,
    /// CPUID.
    Cpuid,
    /// HLT.
    Halt,
    /// IN, OUT, INS or OUTS.
    Io(Io),
    /// RDMSR, or WRMSR.
    Msr {
        /// WRMSR.
        write: bool,
    },
    /// XSETBV.
    Xsetbv,
    /// WBINVD or INVD.
    CacheFlush,
    /// MONITOR.
    Monitor,
    /// MWAIT.
    Mwait,
    /// RDPMC.
    Rdpmc,
    /// An instruction of SVM, which the TD's processor does not have.
    Svm,
    /// A triple fault.
    Shutdown,
    /// An access that the nested page tables do not allow.
    Nested(Access),
    /// VMRUN found the VMCB invalid: our own mistake.
    Invalid,
    /// A code that no intercept of ours can lead to.
    Unknown(u64),
}

/// An access to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Io {
    /// Port.
    pub port: u16,
    /// Bytes: 1, 2 or 4.
    pub size: u8,
    /// IN or INS.
    pub read: bool,
    /// INS or OUTS.
    pub string: bool,
    /// With a REP prefix.
    pub repeated: bool,
    /// Length of the instruction, bytes.
    pub length: u8,
}

/// An access to guest-physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Guest-physical address.
    pub gpa: u64,
    /// It writes.
    pub write: bool,
    /// It fetches code.
    pub fetch: bool,
    /// It is an access of the processor's own, to one of the guest's page tables.
    pub table: bool,
}

impl Exit {
    /// From the VMCB that #VMEXIT wrote.
    pub fn decode(vmcb: &Vmcb<'_>) -> Self {
        let info = vmcb.get(EXIT_INFO_1);
        match vmcb.get(EXIT_CODE) {
            0x46 => Self::InvalidOpcode,
            0x52 => Self::MachineCheck,
            0x60 => Self::Interrupt,
            0x61 => Self::Nmi,
            0x62 | 0x63 => Self::Init,
            0x6F => Self::Rdpmc,
            0x72 => Self::Cpuid,
            0x76 | 0x89 => Self::CacheFlush,
            0x78 => Self::Halt,
            0x7B => Self::Io(Io::decode(info, vmcb.get(EXIT_INFO_2).wrapping_sub(vmcb.get(RIP)))),
            0x7C => Self::Msr { write: info & 1 != 0 },
            0x7F => Self::Shutdown,
            0x7A | 0x80..=0x86 => Self::Svm,
            0x8A => Self::Monitor,
            0x8B | 0x8C => Self::Mwait,
            0x8D => Self::Xsetbv,
            0x400 => {
                let bit = |number: u32| info >> number & 1 != 0;
                Self::Nested(Access { gpa: vmcb.get(EXIT_INFO_2), write: bit(1), fetch: bit(4), table: bit(33) })
            }
            // The manual's code is -1; TCG may keep it in 32 bits.
            u64::MAX | 0xFFFF_FFFF => Self::Invalid,
            other => Self::Unknown(other),
        }
    }
}

impl Io {
    fn decode(info: u64, length: u64) -> Self {
        let size = if info & 1 << 4 != 0 {
            1
        } else if info & 1 << 5 != 0 {
            2
        } else {
            4
        };
        Self {
            port: (info >> 16) as u16,
            size,
            read: info & 1 != 0,
            string: info & 1 << 2 != 0,
            repeated: info & 1 << 3 != 0,
            length: length as u8,
        }
    }

    /// As VMX would report it (SDM table 29-5), but for bit 6: SVM does not tell whether the port is an immediate operand.
    pub fn qualification(self) -> u64 {
        u64::from(self.size - 1)
            | u64::from(self.read) << 3
            | u64::from(self.string) << 4
            | u64::from(self.repeated) << 5
            | u64::from(self.port) << 16
    }
}

impl Access {
    /// As VMX would report an EPT violation (SDM table 29-7): the access, that the linear address is valid (bit 7), and whether
    /// the access was to what it is translated to, and not to a page table (bit 8).
    pub fn qualification(self) -> u64 {
        let kind = if self.fetch {
            1 << 2
        } else if self.write {
            1 << 1
        } else {
            1
        };
        kind | 1 << 7 | u64::from(!self.table) << 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmcb::SIZE;

    fn decode(code: u64, info: [u64; 2], rip: u64) -> Exit {
        let mut page = [0; SIZE];
        let mut vmcb = Vmcb::new(&mut page);
        vmcb.set(EXIT_CODE, code);
        vmcb.set(EXIT_INFO_1, info[0]);
        vmcb.set(EXIT_INFO_2, info[1]);
        vmcb.set(RIP, rip);
        Exit::decode(&vmcb)
    }

    /// The manual's table of codes, as far as our intercepts can lead to them.
    #[test]
    fn codes_are_those_of_the_manual() {
        for (code, exit) in [
            (0x46, Exit::InvalidOpcode),
            (0x52, Exit::MachineCheck),
            (0x60, Exit::Interrupt),
            (0x61, Exit::Nmi),
            (0x63, Exit::Init),
            (0x6F, Exit::Rdpmc),
            (0x72, Exit::Cpuid),
            (0x76, Exit::CacheFlush),
            (0x78, Exit::Halt),
            (0x7A, Exit::Svm),
            (0x7C, Exit::Msr { write: false }),
            (0x7F, Exit::Shutdown),
            (0x80, Exit::Svm),
            (0x81, Exit::Svm),
            (0x86, Exit::Svm),
            (0x89, Exit::CacheFlush),
            (0x8A, Exit::Monitor),
            (0x8B, Exit::Mwait),
            (0x8D, Exit::Xsetbv),
            (u64::MAX, Exit::Invalid),
            (0x77, Exit::Unknown(0x77)),
        ] {
            assert_eq!(decode(code, [0, 0], 0), exit, "{code:#x}");
        }
        assert_eq!(decode(0x7C, [1, 0], 0), Exit::Msr { write: true });
    }

    #[test]
    fn port_accesses_are_told_as_vmx_would() {
        // outb to 0x3F8, two bytes long; and REP INSD from 0xCFC.
        let Exit::Io(out) = decode(0x7B, [0x03F8_0010, 0x1002], 0x1000) else { panic!("an access to a port") };
        assert_eq!(out, Io { port: 0x3F8, size: 1, read: false, string: false, repeated: false, length: 2 });
        assert_eq!(out.qualification(), 0x03F8_0000);
        let Exit::Io(ins) = decode(0x7B, [0x0CFC_004D, 0x1002], 0x1000) else { panic!("an access to a port") };
        assert_eq!(ins.qualification(), 0x0CFC_003B);
    }

    #[test]
    fn nested_faults_tell_the_access() {
        const FINAL: u64 = 1 << 32;
        const TABLE: u64 = 1 << 33;
        for (info, qualification) in [
            (FINAL | 0b101, 0x181),
            (FINAL | 0b111, 0x182),
            (FINAL | 0b1_0101, 0x184),
            (TABLE | 0b101, 0x81),
            (TABLE | 0b111, 0x82),
        ] {
            let Exit::Nested(access) = decode(0x400, [info, 0x8000_0000_1234], 0) else { panic!("a nested fault") };
            assert_eq!((access.gpa, access.qualification()), (0x8000_0000_1234, qualification), "{info:#b}");
        }
    }
}
