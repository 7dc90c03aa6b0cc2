use super::*;
use crate::module_file::ModuleFile;
use crate::sizes::Sizes;
use iced_x86::{Decoder, DecoderOptions};
use seam_emu::SparseMemory;
use std::collections::BTreeMap;

/// Registers without a CPU.
#[derive(Default)]
struct Plain {
    values: BTreeMap<Register, u64>,
    flags: Option<(bool, bool)>,
}

impl Registers for Plain {
    fn get(&self, register: Register) -> u64 {
        self.values.get(&register).copied().unwrap_or(0)
    }
    fn set(&mut self, register: Register, value: u64) {
        self.values.insert(register, value);
    }
    fn set_flags(&mut self, zero: bool, carry: bool) {
        self.flags = Some((zero, carry));
    }
}

/// A module in memory and a CPU without a program.
struct Bench {
    lp: Lp,
    platform: Platform,
    registers: Plain,
    memory: SparseMemory,
}

const TOPOLOGY: Topology = Topology { packages: 2, lps_per_package: 2 };

impl Bench {
    fn new() -> Self {
        let module = ModuleFile { image: vec![0; 4096], ..ModuleFile::default() };
        let end = crate::platform::SEAM_RANGE.base + crate::platform::SEAM_RANGE.size;
        let mut memory = SparseMemory::new(end);
        let loaded = loader::load(&mut memory, TOPOLOGY, &module, Sizes::default(), 0, false).expect("loads");
        let platform = Platform {
            topology: TOPOLOGY,
            layout: loaded.layout,
            vmcss: loaded.vmcss,
            msrs: Msrs::default(),
            entropy: fastrand::Rng::with_seed(1),
            seamdb_index: 7,
            keys: BTreeSet::new(),
        };
        let lp = Lp { number: 3, apic_id: 3, current_vmcs: 0 };
        let mut bench = Self { lp, platform, registers: Plain::default(), memory };
        bench.cpu().enter_seam().expect("it has a VMCS");
        bench
    }

    fn cpu(&mut self) -> Cpu<'_> {
        Cpu { lp: &mut self.lp, platform: &mut self.platform, registers: &mut self.registers, memory: &mut self.memory }
    }

    fn run(&mut self, service: Service, code: &[u8]) -> Result<Next, ServiceFault> {
        let instruction = Decoder::with_ip(64, code, 0x100, DecoderOptions::NONE).decode();
        assert!(!instruction.is_invalid());
        self.cpu().serve(&Site { service, instruction })
    }

    /// A page of the data region.
    fn data(&self) -> u64 {
        self.platform.layout.linear.data
    }
}

#[test]
fn vmcs_fields_can_be_written_and_read_back() {
    let mut bench = Bench::new();
    bench.registers.set(Register::RAX, field::HOST_RSP);
    bench.registers.set(Register::RCX, 0x1234);
    assert_eq!(bench.run(Service::Vmwrite, &[0x0F, 0x79, 0xC1]), Ok(Next::Behind), "vmwrite rax, rcx");
    assert_eq!(bench.registers.flags, Some((false, false)));
    // vmread [rbx+8], rax
    let data = bench.data();
    bench.registers.set(Register::RBX, data);
    assert_eq!(bench.run(Service::Vmread, &[0x0F, 0x78, 0x43, 0x08]), Ok(Next::Behind));
    let mut bytes = [0; 8];
    bench.cpu().read(data + 8, &mut bytes).expect("mapped");
    assert_eq!(u64::from_le_bytes(bytes), 0x1234);
}

#[test]
fn a_vmcs_is_found_by_its_address_without_the_keyid() {
    let mut bench = Bench::new();
    let data = bench.data();
    bench.cpu().write(data, &(33u64 << 46 | 0x5000).to_le_bytes()).expect("mapped");
    bench.registers.set(Register::RDI, data);
    assert_eq!(bench.run(Service::Vmptrld, &[0x0F, 0xC7, 0x37]), Ok(Next::Behind), "vmptrld [rdi]");
    assert_eq!(bench.lp.current_vmcs, 0x5000);
    bench.lp.current_vmcs = 0x6000;
    bench.registers.set(Register::RAX, field::GUEST_RIP);
    assert_eq!(bench.run(Service::Vmread, &[0x0F, 0x78, 0xC1]), Err(ServiceFault::NoVmcs), "never loaded");
}

#[test]
fn memory_that_is_not_mapped_cannot_be_an_operand() {
    let mut bench = Bench::new();
    bench.registers.set(Register::RDI, 0x1000);
    let fault = ServiceFault::Memory(MemoryFault::NotMapped(0x1000));
    assert_eq!(bench.run(Service::Vmptrld, &[0x0F, 0xC7, 0x37]), Err(fault));
}

#[test]
fn operands_relative_to_rip_and_gs_are_found() {
    let mut bench = Bench::new();
    let data = bench.data();
    bench.registers.set(Register::RIP, data + 0x100);
    bench.registers.set(Register::GS, data);
    bench.registers.set(Register::RAX, field::EXIT_REASON);
    // vmread [rip+0x20], rax: 7 bytes
    assert_eq!(bench.run(Service::Vmread, &[0x0F, 0x78, 0x05, 0x20, 0, 0, 0]), Ok(Next::Behind));
    let mut byte = [0];
    bench.cpu().read(data + 0x100 + 7 + 0x20, &mut byte).expect("mapped");
    assert_eq!(byte, [76]);
    // vmread gs:[0x40], rax
    assert_eq!(bench.run(Service::Vmread, &[0x65, 0x0F, 0x78, 0x04, 0x25, 0x40, 0, 0, 0]), Ok(Next::Behind));
    bench.cpu().read(data + 0x40, &mut byte).expect("mapped");
    assert_eq!(byte, [76]);
}

#[test]
fn msrs_are_halves_in_two_registers() {
    let mut bench = Bench::new();
    bench.registers.set(Register::RCX, 0x1401);
    assert_eq!(bench.run(Service::Rdmsr, &[0x0F, 0x32]), Ok(Next::Behind));
    assert_eq!((bench.registers.get(Register::RAX), bench.registers.get(Register::RDX)), (0xF800_0C00, 0x000F_FFFF));
    bench.registers.set(Register::RAX, 0xAAAA_AAAA_0000_0005);
    bench.registers.set(Register::RDX, 0xBBBB_BBBB_0000_0006);
    assert_eq!(bench.run(Service::Wrmsr, &[0x0F, 0x30]), Ok(Next::Behind));
    assert_eq!(bench.platform.msrs.read(0x1401), 0x6_0000_0005);
}

#[test]
fn random_numbers_come_from_the_seed() {
    let (mut a, mut b) = (Bench::new(), Bench::new());
    b.platform.entropy = fastrand::Rng::with_seed(2);
    let draw = |bench: &mut Bench| {
        assert_eq!(bench.run(Service::Random, &[0x48, 0x0F, 0xC7, 0xF2]), Ok(Next::Behind), "rdrand rdx");
        assert_eq!(bench.registers.flags, Some((false, true)), "a number was there");
        bench.registers.get(Register::RDX)
    };
    let first = draw(&mut a);
    assert_ne!(first, draw(&mut a));
    assert_ne!(first, draw(&mut b));
    a.platform.entropy = fastrand::Rng::with_seed(1);
    assert_eq!(first, draw(&mut a));
}

#[test]
fn the_seam_database_tells_of_its_last_entry_and_other_leaves_are_refused() {
    let mut bench = Bench::new();
    bench.registers.set(Register::RAX, 4);
    assert_eq!(bench.run(Service::Seamops, &[0x66, 0x0F, 0x01, 0xCE]), Ok(Next::Behind));
    assert_eq!((bench.registers.get(Register::RAX), bench.registers.get(Register::R10)), (0, 7));
    bench.registers.set(Register::RAX, 1);
    assert_eq!(bench.run(Service::Seamops, &[0x66, 0x0F, 0x01, 0xCE]), Err(ServiceFault::Seamops(1)));
}

#[test]
fn keys_are_those_of_the_lps_package() {
    let mut bench = Bench::new();
    let data = bench.data();
    bench.cpu().write(data, &33u16.to_le_bytes()).expect("mapped");
    bench.registers.set(Register::RBX, data);
    assert_eq!(bench.run(Service::Pconfig, &[0x0F, 0x01, 0xC5]), Ok(Next::Behind));
    assert_eq!(bench.platform.keys.iter().copied().collect::<Vec<_>>(), [(1, 33)]);
}

#[test]
fn sixty_four_bytes_move_at_once() {
    let mut bench = Bench::new();
    let data = bench.data();
    bench.cpu().write(data, &[7; 65]).expect("mapped");
    bench.registers.set(Register::RDI, data);
    bench.registers.set(Register::RSI, data + 4096);
    assert_eq!(bench.run(Service::Movdir64b, &[0x66, 0x0F, 0x38, 0xF8, 0x37]), Ok(Next::Behind));
    let mut bytes = [0; 65];
    bench.cpu().read(data + 4096, &mut bytes).expect("mapped");
    assert_eq!((bytes[..64].iter().all(|byte| *byte == 7), bytes[64]), (true, 0));
}

#[test]
fn leaving_and_entering_is_for_the_machine_and_clac_for_the_cpu() {
    let mut bench = Bench::new();
    assert_eq!(bench.run(Service::Seamret, &[0x66, 0x0F, 0x01, 0xCD]), Ok(Next::Leave));
    assert_eq!(bench.run(Service::EnterTd, &[0x0F, 0x01, 0xC2]), Ok(Next::EnterTd));
    assert_eq!(bench.run(Service::Clac, &[0x0F, 0x01, 0xCA]), Ok(Next::Execute));
}
