//! Registers and memory as QEMU's human monitor prints them.

/// The registers of one vCPU that a diagnosis needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuRegisters {
    /// The vCPU's index.
    pub cpu: u32,
    /// Instruction pointer.
    pub rip: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Frame pointer.
    pub rbp: u64,
    /// Flags.
    pub rflags: u64,
    /// Whether it executes HLT.
    pub halted: bool,
}

/// Takes the output of `info registers -a` apart: a block per vCPU that begins with `CPU#n`.
pub fn parse_registers(dump: &str) -> Vec<CpuRegisters> {
    let blocks = dump.split("CPU#").skip(1);
    blocks.filter_map(parse_block).collect()
}

fn parse_block(block: &str) -> Option<CpuRegisters> {
    let digits = block.find(|c: char| !c.is_ascii_digit()).unwrap_or(block.len());
    let value = |name: &str| {
        let at = block.find(name)? + name.len();
        let digits: String = block[at..].chars().take_while(char::is_ascii_hexdigit).collect();
        u64::from_str_radix(&digits, 16).ok()
    };
    Some(CpuRegisters {
        cpu: block[..digits].parse().ok()?,
        rip: value("RIP=")?,
        rsp: value("RSP=")?,
        rbp: value("RBP=")?,
        rflags: value("RFL=")?,
        halted: value("HLT=")? == 1,
    })
}

/// Takes the output of `x /NNgx ADDRESS` apart: the 64-bit words in order.
pub fn parse_words(dump: &str) -> Vec<u64> {
    let word = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    let lines = dump.lines().filter_map(|line| line.split_once(": "));
    lines.flat_map(|(_, words)| words.split_ascii_whitespace().filter_map(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "
CPU#0
RAX=0000000000000000 RBX=ffffffff81611800 RCX=0000000000000001 RDX=4000000000000000
RSI=ffffffff815e0e52 RDI=0000000000003a5c RBP=ffffffff81603e98 RSP=ffffffff81603e80
R8 =0000000000003a5c R9 =0000000000000000 R10=0000000000000001 R11=0000000000000000
RIP=ffffffff813c7f8b RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
ES =0000 0000000000000000 ffffffff 00c00000

CPU#11
RAX=0000000000000000 RBX=0000000000000000 RCX=0000000000000000 RDX=0000000000000000
RSI=0000000000000000 RDI=0000000000000000 RBP=0000000000000010 RSP=0000000000000020
RIP=0000000000000030 RFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0
";

    #[test]
    fn can_read_all_vcpus() {
        let cpus = parse_registers(DUMP);
        assert_eq!(cpus.len(), 2);
        assert_eq!((cpus[0].rip, cpus[0].halted), (0xffff_ffff_813c_7f8b, true));
        let second = CpuRegisters { cpu: 11, rip: 0x30, rsp: 0x20, rbp: 0x10, rflags: 2, halted: false };
        assert_eq!(cpus[1], second);
    }

    #[test]
    fn can_read_memory() {
        let dump = "ffffffff81603e80: 0x0000000000000001 0xffffffff813c7f8b\nffffffff81603e90: 0x0000000000000002\n";
        assert_eq!(parse_words(dump), [1, 0xffff_ffff_813c_7f8b, 2]);
    }

    #[test]
    fn cannot_read_what_is_not_there() {
        assert_eq!(parse_registers("Error: no such command"), []);
        assert_eq!(parse_words("Cannot access memory"), [] as [u64; 0]);
    }
}
