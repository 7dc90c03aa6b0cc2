//! TDH.MNG.INIT: sets a TD's properties.

use crate::Regs;
use crate::abi::field::FieldSet;
use crate::abi::status::Operand;
use crate::abi::td_params::TdParams;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::td::OpState;
use crate::module::td::measure::{CONTEXT_VERSION, Measurement};
use crate::module::td::params::{Host, PERFMON, Settings};

/// RCX: the TD's TDR; RDX: address of [`TdParams`]. RCX out: leaf and subleaf of a CPUID configuration that is refused.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let alleged = std::mem::take(&mut regs.rcx);
    // Bit 0 asks for event filters, which only TDs with performance monitoring have. Source: 1.5.16 `tdh_mng_init.c`.
    let filters = alleged & 1 != 0 && cx.module().identity.figures().fields >= FieldSet::EventFilters;
    let tdr = cx.lock_td(alleged & !u64::from(filters), Operand::Rcx, Mode::Exclusive)?;
    cx.check_td(tdr, Leaf::MngInit, None)?;
    let pa = cx.shared(regs.rdx, size_of::<TdParams>() as u64, Operand::Rdx)?;
    let params: TdParams = cx.read_as(pa);
    let (cpuid_1_eax, tdcs_pages) = (cx.config.cpuid_1_eax, cx.td(tdr).tdcs_pages.len());
    let host = Host { built: &cx.module().identity.descriptor, cpuid_1_eax, tdcs_pages };
    let settings = Settings::check(&params, &host, &mut regs.rcx)?;
    if filters && params.attributes & PERFMON != 0 {
        cx.unmodelled = true;
        return Err(Status::OPERAND_INVALID.operand(Operand::R8));
    }
    let counted = cx.module().identity.counts_builds();
    let td = cx.td(tdr);
    td.settings = settings;
    td.vcpus = 0;
    td.associated_vcpus = 0;
    td.epoch = 1;
    td.inside = [0; 2];
    td.measurement = Measurement::new();
    td.op_state = OpState::Initialized;
    // Source: 1.5.28 `tdh_mng_init.c`.
    if counted {
        td.mrtd_context = CONTEXT_VERSION;
        cx.module().td_build_count += 1;
    }
    Ok(())
}
