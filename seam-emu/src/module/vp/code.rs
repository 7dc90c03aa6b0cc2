//! vCPUs that run machine code: what the model has to do with them.
//!
//! Which vCPU does is decided when it is entered for the first time: one whose initial RCX leads to the script's magic runs
//! a script, every other runs code.

use super::private::Private;
use crate::context::Context;
use crate::entry::{Start, Translation, VpEntry};
use crate::module::td::vcpu::Engine;
use crate::script::{MAGIC, Memory, Reach};

/// What the vCPU executes. Without machine code all run scripts.
pub(super) fn engine(cx: &mut Context<'_>, tdvpr: u64, tdr: u64) -> Engine {
    if !cx.config.machine_code {
        return Engine::Script;
    }
    let vcpu = cx.vcpu(tdvpr);
    if let Some(known) = vcpu.engine {
        return known;
    }
    let base = vcpu.machine.base() & !0xF;
    let mut magic = [0; 16];
    let found = Private { cx, tdr, shared_ept: None }.read(base, &mut magic);
    let engine = if found.is_ok() && magic == MAGIC { Engine::Script } else { Engine::Code };
    if engine == Engine::Script {
        cx.vcpu(tdvpr).engine = Some(engine);
    }
    engine
}

/// The vCPU is entered.
pub(super) fn enter(cx: &mut Context<'_>, tdvpr: u64, tdr: u64) -> VpEntry {
    let vcpu = cx.vcpu(tdvpr);
    let nmi = std::mem::take(&mut vcpu.pend_nmi) != 0;
    let is_first = vcpu.engine.replace(Engine::Code).is_none();
    let (index, initial_rcx) = (vcpu.index, vcpu.machine.base());
    let cpuid_1_eax = cx.config.cpuid_1_eax;
    let td = cx.td(tdr);
    let start = Start {
        gpaw: if td.settings.shared_bit() == 1 << 51 { 52 } else { 48 },
        attributes: td.settings.attributes,
        xfam: td.settings.xfam,
        max_vcpus: td.settings.max_vcpus.into(),
        index,
        initial_rcx,
        cpuid_1_eax,
        arch_capabilities: td.settings.arch_capabilities,
    };
    VpEntry { tdvpr, tdr, vcpus: td.vcpus, translations: td.translations, nmi, start: is_first.then_some(start) }
}

/// Where an access of the vCPU leads. A page that the VMM shares for reading alone is not writable.
pub(crate) fn translate(cx: &mut Context<'_>, tdvpr: u64, gpa: u64, write: bool) -> Translation {
    let mut memory = Private::of(cx, tdvpr);
    let refused = match memory.translate(gpa, true) {
        Ok(pa) => return Translation::Page { pa: pa & !0xFFF, writable: true },
        Err(refused) if write => refused,
        Err(_) => match memory.translate(gpa, false) {
            Ok(pa) => return Translation::Page { pa: pa & !0xFFF, writable: false },
            Err(refused) => refused,
        },
    };
    match refused {
        Reach::Violation { rwx, details } => Translation::Violation { rwx, details },
        Reach::Ve => Translation::Ve,
    }
}
