//! Verification of a module's sigstruct, in the order of P-SEAMLDR's `verify_manifest`.

use super::candidate::Candidate;
use crate::abi::seamldr::{SCENARIO_UPDATE, SeamExtend};
use crate::abi::sigstruct::{MAX_CPUIDS, MODULE_TYPE_DEBUG, SigStruct, required};
use crate::abi::{PAGE_SIZE, Status};
use crate::context::Outcome;
use crate::image::key;
use crate::world::World;
use crate::{Config, LoaderGeneration};

/// Low bits of CPUID leaf 1 EAX, which the CPUID table does not tell apart.
const STEPPING_MASK: u32 = 0xF;
/// Bytes of the fault wrappers: 32 vectors of 16 bytes.
const FAULT_WRAPPERS_SIZE: u64 = 32 * 16;

/// Whether the module may be installed, but for its hash.
pub(super) fn verify(world: &World, config: &Config, candidate: &Candidate) -> Outcome {
    let sig = &*candidate.sigstruct;
    if !fields_are_valid(sig, config.loader) || !key_is_trusted(sig, config) {
        return Err(Status::EBADSIG);
    }
    let is_debug = sig.module_type.get() & MODULE_TYPE_DEBUG != 0;
    if is_debug && !config.debug_unlocked {
        return Err(Status::EBADSIG);
    }
    check_svns(world, config, candidate)?;
    if !offsets_are_inside(sig, candidate.module.len() as u64) {
        return Err(Status::EBADSIG);
    }
    let fms = config.cpuid_1_eax & !STEPPING_MASK;
    if sig.cpuid_table_size.get() > 0 && !sig.cpuids().any(|row| row & !STEPPING_MASK == fms) {
        return Err(Status::EUNSUPCPU);
    }
    if !is_debug && sig.cpuid_table_size.get() == 0 {
        return Err(Status::EBADSIG);
    }
    if key::verify(sig) { Ok(()) } else { Err(Status::EBADSIG) }
}

/// `check_seam_sigstruct`: fields that admit one value, reserved bytes, consistency.
fn fields_are_valid(sig: &SigStruct, loader: LoaderGeneration) -> bool {
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let (gdt, wrapper) = (sig.gdt_idt_offset.get(), sig.fault_wrapper_offset.get());
    zero(&sig.reserved_0)
        && zero(&sig.reserved_1)
        && sig.reserved_2 == 0
        && (loader >= LoaderGeneration::V2_0 || zero(&sig.module_version))
        && zero(&sig.reserved_3)
        && sig.header_type.get() == required::HEADER_TYPE
        && sig.header_length.get() == required::HEADER_LENGTH
        && sig.header_version.get() == required::HEADER_VERSION
        && sig.key_size.get() == required::KEY_SIZE
        && sig.exponent_size.get() == required::EXPONENT_SIZE
        && sig.modulus_size.get() == required::MODULUS_SIZE
        && sig.module_vendor.get() == required::MODULE_VENDOR
        && sig.module_type.get() & !MODULE_TYPE_DEBUG == 0
        && sig.attributes.get() == 0
        && sig.size.get() == required::SIZE
        && sig.cpuid_table_size.get() <= MAX_CPUIDS as u32
        && sig.exponent.get() == required::EXPONENT
        && sig.min_update_hv.get() <= sig.module_hv.get()
        && u64::from(gdt).is_multiple_of(PAGE_SIZE)
        && (gdt == 0) == (wrapper == 0)
}

/// The signing key is the test key or one that the configuration trusts by its hash.
fn key_is_trusted(sig: &SigStruct, config: &Config) -> bool {
    let hash = key::hash(&sig.modulus);
    hash == key::test_key_hash() || config.trusted_key_hashes.iter().any(|trusted| trusted.0 == hash)
}

/// SVN rules of the two scenarios; they differ between generations of P-SEAMLDR.
fn check_svns(world: &World, config: &Config, candidate: &Candidate) -> Outcome {
    let new_loader = config.loader >= LoaderGeneration::V1_5_02;
    let current: &SeamExtend = &world.loader.snapshot;
    let sig = &*candidate.sigstruct;
    if new_loader && sig.major_svn == 0 {
        return Err(Status::EUNSUPPORTED);
    }
    let other_major = sig.major_svn != current.major_svn;
    let lower_minor = sig.minor_svn < current.minor_svn;
    if candidate.scenario == SCENARIO_UPDATE {
        if other_major {
            return Err(if new_loader { Status::EUNSUPPORTED } else { Status::EBADCALL });
        }
        return if lower_minor { Err(Status::EBADSIG) } else { Ok(()) };
    }
    if new_loader && world.loader.is_dirty() && (other_major || lower_minor) {
        return Err(Status::ECLEANUPREQ);
    }
    Ok(())
}

/// GDT/IDT and fault wrappers lie inside the module.
fn offsets_are_inside(sig: &SigStruct, module_size: u64) -> bool {
    // Wrapping as the source's 32-bit arithmetic does: a module smaller than the tables passes.
    let last = |size: u64| u64::from((module_size as u32).wrapping_sub(size as u32));
    let (gdt, wrapper) = (u64::from(sig.gdt_idt_offset.get()), u64::from(sig.fault_wrapper_offset.get()));
    gdt <= last(PAGE_SIZE) && wrapper <= last(FAULT_WRAPPERS_SIZE)
}
