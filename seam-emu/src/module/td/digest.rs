//! A digest of all that belongs to a TD: what an update must preserve.

use crate::GuestMemory;
use crate::abi::Digest;
use crate::module::Protected;
use crate::module::td::sept::span;
use sha2::{Digest as _, Sha384};

/// Each TD's TDR and digest.
pub(crate) fn all(protected: &Protected, mem: &dyn GuestMemory) -> Vec<(u64, Digest)> {
    protected.tds.keys().map(|tdr| (*tdr, of(protected, *tdr, mem))).collect()
}

/// SHA-384 over a TD's KeyID, settings, measurements, secure EPT, vCPUs with their registers and the contents of its private pages. What
/// belongs to the host's use of it is left out: TLB epochs and which LP a vCPU is associated with.
pub(crate) fn of(protected: &Protected, tdr: u64, mem: &dyn GuestMemory) -> Digest {
    let td = &protected.tds[&tdr];
    let mut hash = Sha384::new();
    put(&mut hash, &(td.keyid, td.lifecycle, td.op_state, td.packages));
    put(&mut hash, &(&td.settings, &td.measurement, &td.sept, &td.tdcs_pages));
    for (tdvpr, vcpu) in protected.vcpus.iter().filter(|(_, vcpu)| vcpu.tdr == tdr) {
        put(&mut hash, &(tdvpr, &vcpu.pages, (vcpu.ready, vcpu.disabled), vcpu.index, vcpu.apic_id));
        put(&mut hash, &(vcpu.after_vmcall, vcpu.pend_nmi, &vcpu.vmcs, &vcpu.machine));
        memory(&mut hash, mem, vcpu.registers.pa, vcpu.registers.bytes);
    }
    for (level, gpa, entry) in td.sept.pages() {
        put(&mut hash, &gpa);
        memory(&mut hash, mem, entry.pa, span(level));
    }
    hash.finalize().into()
}

/// Hashes whole pages of memory.
fn memory(hash: &mut Sha384, mem: &dyn GuestMemory, pa: u64, bytes: u64) {
    for pa in (pa..pa + bytes).step_by(4096) {
        let mut page = [0; 4096];
        // A page outside RAM reads as ones, as the bus gives it.
        if mem.read(pa, &mut page).is_err() {
            page.fill(0xFF);
        }
        hash.update(page);
    }
}

/// Hashes a value by its serialised form.
fn put(hash: &mut Sha384, value: &impl serde::Serialize) {
    hash.update(postcard::to_allocvec(value).expect("writing to memory does not fail"));
}
