//! The loop around `KVM_RUN` with a vCPU of the test's own, whose owner wants its thread back at any moment. No KVM is needed.

use kvm_bindings::kvm_regs;
use rig_wire::event::{Kind, Record};
use rig_wire::ring::Ring;
use seam_emu::abi::Leaf;
use seam_emu::image::{self, ImageSpec};
use seam_emu::{Config, Durations, Firmware, GuestMemory};
use seam_kvm::{
    Emulator, Ended, Events, Exception, Exit, KernelImage, KernelMap, Options, Ram, Subject, Symbols, Vcpu, VcpuError,
    rewrite, run,
};
use std::cell::RefCell;
use std::sync::OnceLock;

const TEXT: u64 = 0xffff_ffff_8000_0000;
const SEAMCALL: [u8; 4] = [0x66, 0x0f, 0x01, 0xcf];
/// SEAMCALLs, one behind the other.
const CALLS: u64 = 6;
/// Exit reason of HLT.
const HLT: u32 = 5;

/// A vCPU that executes nothing but sites.
struct Scripted {
    registers: kvm_regs,
    /// Registers that KVM has taken over.
    taken: kvm_regs,
    /// Whether the owner wants the thread back, asked again and again; never, when they run out.
    kicks: RefCell<std::vec::IntoIter<bool>>,
    is_kicked: RefCell<bool>,
    raised: Vec<Exception>,
}

impl Scripted {
    fn new(kicks: Vec<bool>) -> Self {
        let registers = kvm_regs { rip: TEXT, rax: Leaf::SysRd.number(), ..Default::default() };
        Self {
            registers,
            taken: registers,
            kicks: RefCell::new(kicks.into_iter()),
            is_kicked: RefCell::new(false),
            raised: Vec::new(),
        }
    }

    fn look(&self) -> bool {
        *self.is_kicked.borrow_mut() |= self.kicks.borrow_mut().next().unwrap_or(false);
        *self.is_kicked.borrow()
    }
}

impl Vcpu for Scripted {
    fn enter(&mut self) -> Result<Exit, VcpuError> {
        // As KVM does: registers first, then the flag.
        self.taken = self.registers;
        if self.look() {
            return Ok(Exit::Interrupted);
        }
        let site = (self.taken.rip - TEXT) / SEAMCALL.len() as u64;
        if site == CALLS {
            return Ok(Exit::Other(HLT));
        }
        assert_eq!(self.taken.rip, TEXT + site * SEAMCALL.len() as u64, "a vCPU stands before a site or behind it");
        self.registers.rip += SEAMCALL.len() as u64;
        Ok(Exit::Out(rewrite::PORT))
    }
    fn registers(&self) -> kvm_regs {
        self.registers
    }
    fn set_registers(&mut self, registers: &kvm_regs) {
        self.registers = *registers;
    }
    fn is_kicked(&self) -> bool {
        self.look()
    }
    fn complete(&mut self) -> Result<(), VcpuError> {
        self.taken = self.registers;
        Ok(())
    }
    fn raise(&mut self, exception: Exception) -> Result<(), VcpuError> {
        self.raised.push(exception);
        Ok(())
    }
    fn cr4(&self) -> Result<u64, VcpuError> {
        Ok(0)
    }
    fn set_cr4(&mut self, _: u64) -> Result<bool, VcpuError> {
        Ok(true)
    }
}

fn firmware(durations: Durations) -> Firmware {
    static SAVED: OnceLock<Vec<u8>> = OnceLock::new();
    let boot = || Firmware::boot(Config::for_lps(1), &image::build(&ImageSpec::default())).expect("it boots").save();
    let saved = SAVED.get_or_init(boot);
    Firmware::restore(Config { durations, ..Config::for_lps(1) }, saved).expect("the same platform")
}

/// The emulator of a kernel of nothing but SEAMCALLs, and the reader of its ring.
fn emulator(durations: Durations, in_vmx_root: bool) -> (Emulator, Ring, tempfile::TempDir) {
    let code = SEAMCALL.repeat(CALLS as usize);
    let symbols = Symbols::new([("f".into(), TEXT, code.len() as u64, true)]);
    let mut ram = Ram::new(4096).unwrap();
    ram.write(0, &code).unwrap();
    let image = KernelImage::of_parts(vec![(TEXT, code)], symbols);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ring");
    let events = Events::new(Some(Ring::create(&path, 1 << 8).unwrap()));
    let options = Options {
        subject: Subject::default(),
        schedules: Vec::new(),
        update_function: None,
        lps: 1,
        map: KernelMap::default(),
        in_vmx_root,
    };
    let emulator = Emulator::new(&image, ram, firmware(durations), events, options).unwrap();
    (emulator, Ring::open(&path).unwrap(), folder)
}

/// Runs to the HLT; the owner takes its thread whenever it gets it. Returns the records, and how often that was.
fn go(vcpu: &mut Scripted, (emulator, ring, _folder): (Emulator, Ring, tempfile::TempDir)) -> (Vec<Record>, usize) {
    let mut returns = 0;
    loop {
        match run(&emulator, 0, vcpu).unwrap() {
            Ended::Kicked => {
                returns += 1;
                *vcpu.is_kicked.borrow_mut() = false;
            }
            Ended::Exit(unknown) if unknown.exit == Exit::Other(HLT) => {
                return (std::iter::from_fn(|| ring.pop()).collect(), returns);
            }
            Ended::Exit(unknown) => panic!("{unknown}"),
        }
    }
}

fn kinds(records: &[Record]) -> Vec<Option<Kind>> {
    records.iter().map(|record| Kind::from_u16(record.kind)).collect()
}

#[test]
fn kicks_at_any_moment_neither_lose_nor_repeat_a_seamcall() {
    let each = [Some(Kind::SeamcallEnter), Some(Kind::SeamcallExit)];
    bolero::check!().with_iterations(300).with_type::<(u8, Vec<bool>)>().for_each(|(duration, kicks)| {
        let durations = Durations { default_ns: u64::from(*duration) * 1000, ..Durations::default() };
        let mut vcpu = Scripted::new(kicks.clone());
        let (records, returns) = go(&mut vcpu, emulator(durations, true));
        assert_eq!(kinds(&records), each.repeat(CALLS as usize));
        assert!(returns <= kicks.iter().filter(|kick| **kick).count());
        assert_eq!((vcpu.taken.rip, vcpu.raised.len()), (TEXT + CALLS * 4, 0));
        assert_eq!(vcpu.taken.rflags & 1, 0, "no call failed by CF");
    });
}

#[test]
fn an_owner_that_always_wants_its_thread_gets_it_and_the_call_goes_on() {
    let durations = Durations { default_ns: 2_000_000, ..Durations::default() };
    let mut vcpu = Scripted::new([false, true].repeat(100));
    let (records, returns) = go(&mut vcpu, emulator(durations, true));
    assert!(returns > 20, "{returns} times");
    assert_eq!(records.len() as u64, 2 * CALLS);
}

/// The fault is delivered at the instruction: RIP is before it when the exception is raised.
#[test]
fn an_exception_leaves_the_vcpu_before_its_instruction() {
    let (emulator, ring, _folder) = emulator(Durations::default(), false);
    let mut vcpu = Scripted::new(vec![false, true]);
    assert_eq!(run(&emulator, 0, &mut vcpu).unwrap(), Ended::Kicked);
    assert_eq!((vcpu.raised, vcpu.taken.rip), (vec![Exception::UndefinedOpcode], TEXT));
    assert_eq!(std::iter::from_fn(|| ring.pop()).count(), 2);
}
