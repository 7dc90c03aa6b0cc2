//! What stands in the place of one `KVM_RUN`.

use crate::emulator::{Emulator, interrupts};
use crate::turn::Turn;
use crate::{Exit, Operation, Site, UnknownExit, Vcpu, VcpuError, rewrite, seamcall, vmx, words};
use kvm_bindings::kvm_regs;
use rig_wire::event::Kind;
use rig_wire::plan::Point;
use std::time::Duration;

/// Why the vCPU's owner has its thread back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It asked for it.
    Kicked,
    /// The vCPU left for something that is not served here. The owner sees the exit as KVM left it.
    Exit(UnknownExit),
}

/// Why the vCPU cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// KVM refuses something.
    #[error(transparent)]
    Vcpu(#[from] VcpuError),
}

/// How long a thread sleeps at most before it looks again at a hold, a call that lasts, and its owner's wish to have it
/// back.
const LOOK: Duration = Duration::from_micros(100);

/// Lets the guest run until its owner wants the thread or has something to do. What belongs to the sites is served.
pub fn run(emulator: &Emulator, lp: u16, vcpu: &mut impl Vcpu) -> Result<Ended, RunError> {
    loop {
        let exit = vcpu.enter()?;
        if exit == Exit::Interrupted {
            return Ok(Ended::Kicked);
        }
        let registers = vcpu.registers();
        let site = emulator.sites().ending_at(registers.rip).filter(|_| exit == Exit::Out(rewrite::PORT));
        let Some(site) = site.copied() else { return Ok(Ended::Exit(emulator.unknown(exit, &registers))) };
        if !attend(emulator, lp, &site, vcpu)? {
            return Ok(Ended::Kicked);
        }
    }
}

/// Carries out the instruction at the site. False: the vCPU stands before it, since its owner wants the thread back.
fn attend(emulator: &Emulator, lp: u16, site: &Site, vcpu: &mut impl Vcpu) -> Result<bool, RunError> {
    loop {
        let mut registers = vcpu.registers();
        match serve(emulator, lp, site, vcpu, &mut registers)? {
            Turn::Go => {
                vcpu.set_registers(&registers);
                return Ok(true);
            }
            Turn::Raise(exception) => {
                registers.rip = site.address;
                vcpu.set_registers(&registers);
                // An exception must not be added to an instruction that KVM has yet to finish.
                vcpu.complete()?;
                vcpu.raise(exception)?;
                return Ok(true);
            }
            Turn::Wait(_) if vcpu.is_kicked() => {
                seamcall::put_back(&emulator.lp(lp), &mut registers);
                registers.rip = site.address;
                vcpu.set_registers(&registers);
                vcpu.complete()?;
                return Ok(false);
            }
            Turn::Wait(until_ns) => {
                let rest = Duration::from_nanos(until_ns.saturating_sub(emulator.events().now_ns()));
                // What is over within a few microseconds is over before a sleep ends.
                if until_ns == 0 || rest > Duration::from_micros(5) {
                    std::thread::sleep(if until_ns == 0 { LOOK } else { rest.min(LOOK) });
                } else {
                    std::thread::yield_now();
                }
            }
        }
    }
}

fn serve(
    emulator: &Emulator,
    lp: u16,
    site: &Site,
    vcpu: &mut impl Vcpu,
    registers: &mut kvm_regs,
) -> Result<Turn, VcpuError> {
    let cpl = vcpu.cpl();
    match site.operation {
        Operation::Seamcall => Ok(seamcall::serve(emulator, lp, cpl, site, registers)),
        Operation::Access(access) => Ok(words::serve(emulator, lp, site, &access, registers)),
        Operation::Enter(function) => Ok(enter(emulator, lp, site, function, registers)),
        _ if emulator.held_at(lp, &[Point::Pc { address: site.address }]) => Ok(Turn::Wait(0)),
        Operation::Vmxon => Ok(vmx::vmxon(emulator, lp, cpl, registers)),
        Operation::Vmxoff => Ok(vmx::vmxoff(emulator, lp, cpl, registers)),
        Operation::ReadCr4(to) => vmx::read_cr4(emulator, lp, to, vcpu, registers),
        Operation::WriteCr4(from) => vmx::write_cr4(emulator, lp, from, vcpu, registers),
    }
}

/// The entry of a watched function. The return address is 0 where the stack does not lie in the kernel's image.
fn enter(emulator: &Emulator, lp: u16, site: &Site, function: usize, registers: &kvm_regs) -> Turn {
    if emulator.held_at(lp, &[Point::Pc { address: site.address }]) {
        return Turn::Wait(0);
    }
    emulator.lp(lp).sight.forget();
    emulator.enters(lp, function);
    let back = emulator.physical(registers.rsp).and_then(|pa| emulator.ram().load(pa, 8)).unwrap_or(0);
    let fields = [function as u64, back, registers.rdi, registers.rsi];
    emulator.events().record(lp, Kind::FunctionEnter, interrupts(registers), fields);
    Turn::Go
}
