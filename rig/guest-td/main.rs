//! What runs in a trust domain of machine code (`[tds] guest = "code"`): a program without an operating system that the rig puts
//! into the TD's initial memory. In each round a vCPU does to its memory what a scripted one does (`rig/src/tds/program.rs`), so
//! that it comes to the same hash chain; and it checks what the TDX module and its VMM do for it. In the end it says how many
//! rounds it made, its chain, and which checks were met.

#![no_std]
#![no_main]

mod boot;
mod calls;
mod checks;
mod cpu;
mod memory;
mod privileged;
mod sha384;
mod traps;

use calls::SHARED;
use checks::Checks;
use memory::Part;
use sha384::Chain;

/// A port that no device has.
const PORT: u16 = 0x80;
/// Shared addresses that are no RAM: where a vCPU says a word, and where it ends (`rig_wire::td`).
const REPORT: u64 = SHARED | 0x1_0000_0000;
const END: u64 = REPORT + 0x1000;

/// The vCPU begins here, with the address of its part of memory in RDI.
#[unsafe(no_mangle)]
extern "C" fn td_main(part: u64) -> ! {
    let part = Part::at(part);
    traps::load();
    let mut checks = Checks::begin();
    calls::map_gpa(SHARED | part.shared(), 4096);
    for page in [part.counter(), part.chain(), part.echo()] {
        checks.accept(page);
    }
    let (mut chain, mut made) = (Chain::default(), 0);
    let rounds = memory::read(part.rounds());
    loop {
        made += 1;
        round(part, made, &mut chain, &mut checks);
        let is_last = if rounds == 0 { memory::read(memory::shared(part.shared())) == 1 } else { made == rounds };
        if is_last {
            break;
        }
    }
    checks.end();
    say(made);
    chain.words().into_iter().for_each(say);
    say(checks.met());
    loop {
        calls::write_device(END, 0);
    }
}

/// One round; the rig's `tds::predict` says what it does to the chain.
fn round(part: Part, made: u64, chain: &mut Chain, checks: &mut Checks) {
    memory::write(part.counter(), made);
    chain.add(part.data());
    chain.add(part.counter());
    // The round's number goes through shared memory.
    let echoed = memory::shared(part.shared()) + 8;
    memory::write(echoed, made);
    memory::write(part.echo(), memory::read(echoed));
    chain.add(part.echo());
    // A page is shared, written, and private again: it comes back empty.
    calls::map_gpa(SHARED | part.converted(), 4096);
    memory::write(memory::shared(part.converted()), made);
    calls::map_gpa(part.converted(), 4096);
    checks.accept(part.converted());
    chain.add(part.converted());
    memory::write(part.converted(), made);
    chain.add(part.converted());
    for (at, word) in (part.chain()..).step_by(8).zip(chain.words()) {
        memory::write(at, word);
    }
    chain.add(part.chain());
    checks.round();
    cpu::outb(PORT, made as u8);
    cpu::wait_for_interrupt();
}

/// Says a word to the monitor.
fn say(word: u64) {
    calls::write_device(REPORT, word);
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    calls::give_up(calls::PANIC)
}
