//! A vCPU's thread: runs it and handles what it wants.

use crate::MonitorError;
use crate::abi::{ATTRIBUTE_PRIVATE, MAP_GPA_RANGE, TO_PRIVATE};
use crate::common::Common;
use kvm_ioctls::{VcpuExit, VcpuFd};
use rig_wire::td::{END_ADDRESS, REPORT_ADDRESS, VcpuReport};
use std::sync::atomic::Ordering;

/// Most words that a vCPU may say.
const MAX_SAID: usize = 256;

/// What becomes of the vCPU after an exit.
enum Next {
    Run,
    End,
}

/// Runs the vCPU until it ends by itself, fails, or the TD is given up.
pub(crate) fn run(vcpu: &mut VcpuFd, common: &Common) -> VcpuReport {
    let mut report = VcpuReport::default();
    loop {
        if common.give_up.load(Ordering::Acquire) {
            report.error = Some(MonitorError::GivenUp.to_string());
            return report;
        }
        match once(vcpu, common, &mut report) {
            Ok(Next::Run) => {}
            Ok(Next::End) => return report,
            Err(why) => {
                report.error = Some(why);
                return report;
            }
        }
    }
}

fn once(vcpu: &mut VcpuFd, common: &Common, report: &mut VcpuReport) -> Result<Next, String> {
    let exit = match vcpu.run() {
        Ok(exit) => exit,
        Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => {
            report.exits.interrupted += 1;
            return Ok(Next::Run);
        }
        Err(error) => return Err(format!("KVM_RUN: {error}")),
    };
    match exit {
        VcpuExit::IoOut(..) => report.exits.io += 1,
        VcpuExit::MmioWrite(REPORT_ADDRESS, data) => {
            report.exits.mmio += 1;
            let word = data.try_into().map_err(|_| format!("said {} bytes, not 8", data.len()))?;
            if report.said.len() == MAX_SAID {
                return Err(format!("said more than {MAX_SAID} words"));
            }
            report.said.push(u64::from_le_bytes(word));
        }
        VcpuExit::MmioWrite(END_ADDRESS, _) => return Ok(Next::End),
        VcpuExit::Hypercall(call) if call.nr == MAP_GPA_RANGE => {
            report.exits.map_gpa += 1;
            let [gpa, pages, to, ..] = call.args;
            *call.ret = map_gpa(common, gpa, pages, to & TO_PRIVATE != 0)?;
        }
        VcpuExit::MemoryFault { flags, gpa, size } => {
            report.exits.memory_fault += 1;
            let private = flags & ATTRIBUTE_PRIVATE != 0;
            let range = format!("a fault at {gpa:#x}, {size} bytes, which no conversion resolves");
            if !common.memory.holds(gpa, size) {
                return Err(range);
            }
            common.memory.convert(&common.vm, gpa, size, private).map_err(|e| format!("{range}: {e}"))?;
        }
        VcpuExit::Intr => report.exits.interrupted += 1,
        other => return Err(format!("an exit that nobody handles: {other:?}")),
    }
    Ok(Next::Run)
}

/// What `KVM_HC_MAP_GPA_RANGE` returns: 0, or EINVAL for a range that is not the TD's.
fn map_gpa(common: &Common, gpa: u64, pages: u64, private: bool) -> Result<u64, String> {
    let bytes = pages.saturating_mul(4096);
    if !common.memory.holds(gpa, bytes) {
        return Ok(libc::EINVAL as u64);
    }
    common.memory.convert(&common.vm, gpa, bytes, private).map_err(|e| e.to_string())?;
    Ok(0)
}
