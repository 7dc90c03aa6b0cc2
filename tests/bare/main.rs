//! A virtual machine monitor of a few hundred lines, without an operating system: it brings up the TDX module by SEAMCALLs, builds
//! trust domains that run a copy of this program, and compares all registers around every entry. The test `bare_metal` builds
//! it, starts it in QEMU, and reads what it says on the serial port.
//!
//! Words of the command line: `cpus=N`, `soak=SECONDS`, `nmi=1`.

#![no_std]
#![no_main]

mod boot;
mod call;
mod cpu;
mod firmware;
mod memory;
#[path = "../../rig/guest-td/privileged.rs"]
mod privileged;
mod serial;
mod td;
mod traps;
mod vmm;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use cpu::apic;
use firmware::Td;
use vmm::TIMER;

unsafe extern "C" {
    /// Other processors that have begun.
    static others: AtomicU32;
}

/// What the processors wait for: 1, to make the module's calls; 2, to run their TDs.
static STAGE: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicU32 = AtomicU32::new(0);
/// Of CR4. No TD of this program keeps it set.
const VMXE: u64 = 1 << 13;
/// When a soak ends, by the counter.
static UNTIL: AtomicU64 = AtomicU64::new(0);
/// NMIs in place of interrupts.
static WITH_NMI: AtomicU32 = AtomicU32::new(0);

#[unsafe(no_mangle)]
extern "C" fn vmm_main(start_info: u64, cpu: u64) -> ! {
    processor(cpu);
    if cpu > 0 {
        other_processor(cpu as usize);
    }
    // The interrupt controllers of old are as the firmware left them: with a timer of its own.
    [0x21, 0xA1].into_iter().for_each(|port| cpu::outb(port, 0xFF));
    let option = |name: &str| option(start_info, name);
    let cpus = option("cpus").unwrap_or(1);
    start_others(cpus as u32);
    firmware::begin();
    firmware::begin_processor();
    STAGE.store(1, SeqCst);
    while DONE.load(SeqCst) + 1 < cpus as u32 {
        cpu::pause();
    }
    DONE.store(0, SeqCst);
    firmware::configure();
    let khz = apic::khz();
    match option("soak") {
        None => check(khz),
        Some(seconds) => soak(cpus as usize, seconds * khz * 1000, option("nmi").unwrap_or(0) as u32),
    }
    say!("end");
    serial::exit(0)
}

#[unsafe(no_mangle)]
extern "C" fn td_main(gpaw: u64, index: u64) -> ! {
    td::main(gpaw, index)
}

#[unsafe(no_mangle)]
extern "C" fn trap(frame: &mut traps::Frame) {
    if td::IN_TD.load(SeqCst) {
        return td::trap(frame);
    }
    match frame.vector {
        2 => {
            vmm::NMIS.fetch_add(1, SeqCst);
            let in_stub = u64::from(frame.rip >> 63 != 0);
            vmm::NMIS_IN_STUB.fetch_add(in_stub, SeqCst);
            // This is the VMM's CR4, wherever the NMI came.
            if cpu::read_cr4() & VMXE == 0 {
                say!("an NMI at {:x} finds CR4 {:x}", frame.rip, cpu::read_cr4());
                serial::exit(1);
            }
        }
        vector if vector == u64::from(TIMER) => {
            vmm::INTERRUPTS.fetch_add(1, SeqCst);
            apic::write(apic::EOI, 0);
        }
        0xFF => {}
        _ => {
            say!("exception {} {:x} at {:x}, CR2 {:x}", frame.vector, frame.error, frame.rip, cpu::read_cr2());
            serial::exit(1);
        }
    }
}

/// What each processor does first.
fn processor(cpu: u64) {
    traps::load();
    apic::enable();
    vmm::mark(cpu);
    vmxon();
}

/// CR4.VMXE, and VMXON with a region that nobody reads here: SEAMCALL works in VMX root operation alone.
fn vmxon() {
    static REGION: u64 = 0x30_0000;
    cpu::write_cr4(cpu::read_cr4() | VMXE);
    // SAFETY: CR4.VMXE is set, and the region is memory that nothing else uses.
    unsafe { core::arch::asm!("vmxon [{}]", "jbe 2f", "2:", in(reg) &REGION) };
}

fn start_others(cpus: u32) {
    const INIT: u32 = 0xC_4500;
    const START: u32 = 0xC_4600 | (boot::TRAMPOLINE >> 12) as u32;
    if cpus == 1 {
        return;
    }
    let (begin, end) = (&raw const boot::trampoline, &raw const boot::trampoline_end);
    // SAFETY: a page below 1 MB, which nothing else uses by now.
    unsafe { core::ptr::copy(begin, boot::TRAMPOLINE as *mut u8, end as usize - begin as usize) };
    apic::write(apic::ICR_HIGH, 0);
    apic::write(apic::ICR_LOW, INIT);
    for _ in 0..10_000 {
        cpu::inb(0x80);
    }
    apic::write(apic::ICR_LOW, START);
    // SAFETY: a word of the assembly, which others add to at once.
    while unsafe { &others }.load(SeqCst) + 1 < cpus {
        cpu::pause();
    }
}

fn other_processor(cpu: usize) -> ! {
    let wait_for = |stage| {
        while STAGE.load(SeqCst) < stage {
            cpu::pause()
        }
    };
    wait_for(1);
    firmware::begin_processor();
    DONE.fetch_add(1, SeqCst);
    wait_for(2);
    soak_here(cpu);
    DONE.fetch_add(1, SeqCst);
    loop {
        cpu::pause();
    }
}

/// One TD goes through everything, twice: interrupted by the timer, and by NMIs.
fn check(khz: u64) {
    say!("state {:x}", cpu::rdmsr(cpu::EFER));
    for nmi in [false, true] {
        let n = u64::from(nmi);
        let mut td = Td::build(n);
        apic::periodic(TIMER, nmi, 1_000_000);
        let (end, counts) = vmm::run(&mut td, u64::MAX);
        apic::periodic(TIMER, false, 0);
        say!("{end:x?}");
        say!("counts {counts:?}");
        let [call, in_place] = counts.costs.map(|ticks| ticks * 1_000_000 / khz);
        say!("nanoseconds {call} {in_place}");
    }
    say!("state {:x}", cpu::rdmsr(cpu::EFER));
}

/// A TD on each processor, all at once.
fn soak(cpus: usize, ticks: u64, nmi: u32) {
    td::SOAKS.store(true, SeqCst);
    WITH_NMI.store(nmi, SeqCst);
    UNTIL.store(cpu::rdtsc() + ticks, SeqCst);
    STAGE.store(2, SeqCst);
    soak_here(0);
    while (DONE.load(SeqCst) as usize) + 1 < cpus {
        cpu::pause();
    }
    say!("nmis {} {}", vmm::NMIS.load(SeqCst), vmm::NMIS_IN_STUB.load(SeqCst));
}

fn soak_here(cpu: usize) {
    static BUILDING: AtomicU32 = AtomicU32::new(0);
    // One after another: the module refuses calls that meet.
    while BUILDING.swap(1, SeqCst) != 0 {
        cpu::pause();
    }
    let mut td = Td::build(cpu as u64);
    BUILDING.store(0, SeqCst);
    let nmi = WITH_NMI.load(SeqCst) != 0;
    let period = if nmi { 61_000 + cpu as u32 * 1000 } else { 700_000 + cpu as u32 * 37_000 };
    apic::periodic(TIMER, nmi, period);
    let (end, counts) = vmm::run(&mut td, UNTIL.load(SeqCst));
    apic::periodic(TIMER, false, 0);
    let word = |n: u64| cpu::read(td.shared + n * 8);
    say!("processor {cpu} {counts:?}");
    say!("td {cpu} {end:x?} rounds {} wrong {} answers {}", word(4), word(5), word(6));
}

/// A number of the command line, which QEMU hands over as PVH has it (`hvm_start_info` of Xen's `start_info.h`).
fn option(start_info: u64, name: &str) -> Option<u64> {
    const COMMAND_LINE: u64 = 24;
    let at = cpu::read(start_info + COMMAND_LINE);
    let mut line = [0_u8; 256];
    for (i, byte) in line.iter_mut().enumerate() {
        // SAFETY: the line ends with a zero, which ends the loop.
        *byte = unsafe { *((at + i as u64) as *const u8) };
        if *byte == 0 {
            break;
        }
    }
    let line = core::str::from_utf8(&line).ok()?.trim_end_matches('\0');
    let word = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    word?.parse().ok()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("panic {info}");
    serial::exit(1)
}
