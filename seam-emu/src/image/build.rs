//! The maker of test images.

use super::{Descriptor, ImageSpec, elf, key};
use crate::abi::PAGE_SIZE;
use crate::abi::blob::{self, BlobHeader};
use crate::abi::sigstruct::{MAX_CPUIDS, MODULE_TYPE_DEBUG, SigStruct, required};
use sha2::{Digest as _, Sha384};
use zerocopy::{FromZeros, IntoBytes};

/// Where the module's parts lie, in bytes from its start.
const SECTIONS: u64 = 0x40;
const RELOCATIONS: u64 = 0x200;
const RELOCATED_WORD: u64 = 0x300;
const DESCRIPTOR: u64 = PAGE_SIZE;
const FILLER: u64 = 2 * PAGE_SIZE;

/// The image file (blob version 0x200) for `spec`, signed with the test key. Equal specs give equal bytes.
///
/// Panics if the spec asks for what the form cannot hold: pages outside 2 to 496, more than 255 CPUIDs or more than 32
/// CPUID configuration entries.
pub fn build(spec: &ImageSpec) -> Vec<u8> {
    assert!((2..=496).contains(&spec.module_pages), "{} module pages: 2 to 496 are possible", spec.module_pages);
    let module = module(spec);
    let mut sig = sigstruct(spec, &module);
    key::sign(&mut sig);
    assemble(&sig, &module)
}

/// Header, sigstruct and module as a file with a valid checksum.
pub(super) fn assemble(sig: &SigStruct, module: &[u8]) -> Vec<u8> {
    let mut header = BlobHeader::new_zeroed();
    header.version = blob::VERSION.into();
    header.signature = blob::SIGNATURE;
    header.sigstruct_pages = 1.into();
    header.module_pages = ((module.len() as u64 / PAGE_SIZE) as u32).into();
    let mut file = Vec::with_capacity(2 * PAGE_SIZE as usize + module.len());
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(sig.as_bytes());
    file.resize(2 * PAGE_SIZE as usize, 0);
    file.extend_from_slice(module);
    set_checksum(&mut file);
    file
}

/// Makes the file's 16-bit sum 0.
pub(super) fn set_checksum(file: &mut [u8]) {
    file[2..4].fill(0);
    let checksum = blob::checksum16(file).wrapping_neg();
    file[2..4].copy_from_slice(&checksum.to_le_bytes());
}

/// The module's pages: an ELF file with one relocation and a descriptor, then bytes that differ between versions.
fn module(spec: &ImageSpec) -> Vec<u8> {
    let mut module = vec![0; spec.module_pages as usize * PAGE_SIZE as usize];
    let mut put = |offset: u64, bytes: &[u8]| module[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    put(0, file_header().as_bytes());
    let descriptor = descriptor(spec);
    let rela =
        elf::Rela { offset: RELOCATED_WORD.into(), info: elf::R_X86_64_RELATIVE.into(), addend: DESCRIPTOR.into() };
    let sections = [
        elf::Section::new_zeroed(),
        section(elf::SHT_RELA, RELOCATIONS, size_of::<elf::Rela>() as u64, size_of::<elf::Rela>() as u64),
        section(elf::SHT_NOTE, DESCRIPTOR, size_of::<Descriptor>() as u64, 0),
    ];
    put(SECTIONS, sections.as_bytes());
    put(RELOCATIONS, rela.as_bytes());
    put(DESCRIPTOR, descriptor.as_bytes());
    fill(&mut module[FILLER as usize..], Sha384::digest(descriptor.as_bytes()).as_slice());
    module
}

fn file_header() -> elf::FileHeader {
    elf::FileHeader {
        ident: elf::ident(),
        // A shared object for x86-64.
        kind: 3.into(),
        machine: 62.into(),
        version: 1.into(),
        entry: FILLER.into(),
        shoff: SECTIONS.into(),
        ehsize: (size_of::<elf::FileHeader>() as u16).into(),
        shentsize: (size_of::<elf::Section>() as u16).into(),
        shnum: 3.into(),
        ..elf::FileHeader::new_zeroed()
    }
}

fn section(kind: u32, offset: u64, size: u64, entsize: u64) -> elf::Section {
    elf::Section {
        kind: kind.into(),
        addr: offset.into(),
        offset: offset.into(),
        size: size.into(),
        addralign: 8.into(),
        entsize: entsize.into(),
        ..elf::Section::new_zeroed()
    }
}

/// Bytes that stand for code: a xorshift sequence, so that no page is like another.
fn fill(bytes: &mut [u8], seed: &[u8]) {
    let mut state = u64::from_le_bytes(seed[..8].try_into().expect("8 bytes")) | 1;
    for chunk in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
}

fn descriptor(spec: &ImageSpec) -> Descriptor {
    let mut descriptor = Descriptor {
        build_date: spec.build_date,
        major: spec.major,
        minor: spec.minor,
        update: spec.update,
        build_num: spec.build_num,
        max_vcpus: spec.max_vcpus,
        features0: spec.features0,
        attributes_fixed0: spec.attributes_fixed0,
        module_hv: spec.module_hv,
        min_update_hv: spec.min_update_hv,
        no_downgrade: spec.no_downgrade.into(),
        ..Descriptor::of(spec.generation)
    };
    let usual = usize::from(descriptor.num_cpuid_config);
    let all = usual + spec.extra_cpuid_config.len();
    descriptor.cpuid_config[usual..all].copy_from_slice(&spec.extra_cpuid_config);
    descriptor.num_cpuid_config = all as u16;
    descriptor
}

/// The sigstruct, not signed yet. Sizes of stacks, data and keyholes are those of the released 1.5 modules.
fn sigstruct(spec: &ImageSpec, module: &[u8]) -> SigStruct {
    let mut sig = SigStruct::new_zeroed();
    sig.header_type = required::HEADER_TYPE.into();
    sig.header_length = required::HEADER_LENGTH.into();
    sig.header_version = required::HEADER_VERSION.into();
    sig.module_type = if spec.debug { MODULE_TYPE_DEBUG } else { 0 }.into();
    sig.module_vendor = required::MODULE_VENDOR.into();
    sig.date = spec.build_date.into();
    sig.size = required::SIZE.into();
    sig.key_size = required::KEY_SIZE.into();
    sig.modulus_size = required::MODULUS_SIZE.into();
    sig.exponent_size = required::EXPONENT_SIZE.into();
    sig.exponent = required::EXPONENT.into();
    sig.seamhash = Sha384::digest(module).into();
    sig.minor_svn = spec.minor_svn;
    sig.major_svn = spec.major_svn;
    sig.rip_offset = (FILLER as u32).into();
    sig.num_stack_pages = 1;
    sig.num_tls_pages = 1;
    sig.num_keyhole_pages = 127.into();
    sig.num_global_data_pages = 15.into();
    sig.max_tdmrs = 64.into();
    sig.max_rsvd_per_tdmr = 16.into();
    for size in [&mut sig.pamt_entry_size_4k, &mut sig.pamt_entry_size_2m, &mut sig.pamt_entry_size_1g] {
        *size = 16.into();
    }
    sig.module_hv = spec.module_hv.into();
    sig.min_update_hv = spec.min_update_hv.into();
    sig.no_downgrade = spec.no_downgrade.into();
    sig.num_handoff_pages = spec.num_handoff_pages.into();
    assert!(spec.cpuids.len() <= MAX_CPUIDS, "{} CPUIDs: at most {MAX_CPUIDS} fit", spec.cpuids.len());
    sig.cpuid_table_size = (spec.cpuids.len() as u32).into();
    for (row, cpuid) in sig.cpuid_table.iter_mut().zip(&spec.cpuids) {
        *row = (*cpuid).into();
    }
    sig
}
