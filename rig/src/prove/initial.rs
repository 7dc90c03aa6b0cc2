//! Where a proof begins: a machine of the rig that stands before the section, or the kernel's ELF file.

use crate::machine::core_file::{CoreCpu, CoreFile};
use crate::run::{CapturedMachine, Options, capture, prepare};
use crate::scenario::{Ack, Backend, FaultSpec, Scenario, Subject};
use crate::trouble::Trouble;
use rig_images::Progress;
use rig_interleave::firmware::FirmwareModel;
use rig_interleave::image::{ElfImage, InitialImage, MachineImage, StandingCpu, StandingMachine};
use rig_interleave::kernel::Subject as ProvedSubject;
use rig_interleave::{Answers, InitialState, Request};
use seam_emu::abi::{Leaf, Status};
use seam_emu::{FaultAction, FaultPoint};
use std::path::Path;

/// Code, memory and firmware of what `request` is about; `elf` is the kernel's file, and `kernel` what the user gave for it.
pub(crate) fn initial(
    elf: ElfImage,
    request: &Request,
    kernel: Option<&Path>,
    progress: &Progress,
) -> Result<(InitialImage, FirmwareModel), Trouble> {
    if request.state == InitialState::Elf {
        return Ok((elf.into(), FirmwareModel::Small));
    }
    let prepared = prepare(scenario(request, kernel), &Options::default(), progress)?;
    let function = request.entry.function(request.subject);
    let CapturedMachine { core, module, firmware: (config, saved) } = capture(prepared, function, progress)?;
    let bad = |error: rig_interleave::Unprovable| Trouble::environment(error.to_string(), error.remedy());
    let machine = MachineImage::new(standing(core), &elf, module).map_err(bad)?;
    let firmware = match request.firmware {
        Answers::Small => FirmwareModel::Small,
        answers => FirmwareModel::Emulated {
            emulated: Box::new(machine.firmware(&config, &saved).map_err(bad)?),
            compares: answers == Answers::Both,
        },
    };
    Ok((machine.into(), firmware))
}

/// The machine as the proof takes it.
fn standing(core: CoreFile) -> StandingMachine {
    let paging = core.cpus.first().map_or([0; 2], |cpu| [cpu.cr3, cpu.cr4]);
    let cpu = |CoreCpu { gpr, rip, rflags, gs_base, .. }: CoreCpu| StandingCpu { gpr, rip, rflags, gs_base };
    let cpus = core.cpus.into_iter().map(cpu).collect();
    StandingMachine { bytes: core.bytes, ranges: core.ranges, cpus, paging }
}

/// The scenario in which the machine is taken.
fn scenario(request: &Request, kernel: Option<&Path>) -> Scenario {
    let (subject, ack) = match request.subject {
        ProvedSubject::InTree => (Subject::InTree, None),
        ProvedSubject::KmodLock => (Subject::Kmod, Some(Ack::Lock)),
        ProvedSubject::KmodAtomic => (Subject::Kmod, Some(Ack::Atomic)),
    };
    Scenario {
        name: "prove-state".into(),
        cpus: u32::try_from(request.cpus).expect("few CPUs"),
        kernel: kernel.map(Path::to_owned),
        subject,
        ack,
        backend: Backend::Tcg,
        updates: if request.after_failed { 2 } else { 1 },
        faults: if request.after_failed { vec![failed_shutdown()] } else { Vec::new() },
        ..Scenario::default()
    }
}

/// The first update fails at its first step, which leaves the old module running and the kernel with the memory of a failure.
fn failed_shutdown() -> FaultSpec {
    FaultSpec {
        leaf: Leaf::SysShutdown.name().into(),
        lp: None,
        nth: 1,
        times: 1,
        at: FaultPoint::default(),
        action: FaultAction::Status(Status::SYS_BUSY.0),
        required: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_are_scenarios_that_the_rig_takes() {
        for subject in [ProvedSubject::InTree, ProvedSubject::KmodLock, ProvedSubject::KmodAtomic] {
            for after_failed in [false, true] {
                let request = Request { subject, after_failed, state: InitialState::Machine, ..Request::default() };
                assert_eq!(scenario(&request, None).check(), Ok(()));
            }
        }
    }
}
