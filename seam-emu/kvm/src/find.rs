//! Finds the sites of a kernel: by its symbols, and by decoding its functions from their beginnings.

use crate::recognise::{access, decode, facade};
use crate::site::LONGEST;
use crate::{Code, KernelImage, Operation, Site, Sites};
use iced_x86::{Code as Opcode, Instruction};
use rig_wire::plan::{Function, Watch};
use std::collections::BTreeMap;

/// What is to be seen of a kernel.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Words, and the functions whose accesses to them count.
    pub watches: Vec<Watch>,
    /// Functions whose entries count.
    pub functions: Vec<Function>,
    /// Names of the functions whose moves to and from CR4 count. Linux 7.3 sets VMXE through `native_write_cr4()`
    /// (`arch/x86/kernel/cpu/common.c`) only.
    pub cr4_functions: Vec<String>,
}

/// Why the sites cannot be known.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The kernel lacks a function.
    #[error("the kernel has no function {0}")]
    NoFunction(String),
    /// The file has no bytes there.
    #[error("the kernel's file has no code at {address:#x}")]
    NoCode {
        /// Guest virtual address.
        address: u64,
    },
    /// A function cannot be decoded.
    #[error("no known instruction at {address:#x}: bytes {code:02x?}")]
    Undecodable {
        /// Guest virtual address.
        address: u64,
        /// Its bytes, at most 15.
        code: Vec<u8>,
    },
    /// An instruction cannot be carried out here.
    #[error("the instruction at {address:#x} ({code}) cannot be followed: {why}")]
    NotFollowed {
        /// Guest virtual address.
        address: u64,
        /// Its bytes.
        code: Code,
        /// Why.
        why: &'static str,
    },
    /// The kernel makes no SEAMCALL.
    #[error("no function of the kernel has a SEAMCALL: it is built without CONFIG_INTEL_TDX_HOST")]
    NoSeamcall,
}

/// All sites of the kernel, in the order of their addresses.
pub fn find(image: &KernelImage, subject: &Subject) -> Result<Sites, FindError> {
    let mut sites = BTreeMap::new();
    let mut ranges: Vec<_> = subject.watches.iter().flat_map(|watch| &watch.within).copied().collect();
    ranges.sort_unstable();
    ranges.dedup();
    for (start, end) in ranges {
        for instruction in decode_all(image, start, end.saturating_sub(start))? {
            let site = site_of_access(image, &instruction, &subject.watches)?;
            sites.extend(site.map(|site| (site.address, site)));
        }
    }
    for (index, function) in subject.functions.iter().enumerate() {
        let site = entry(image, function.range.0, index)?;
        sites.insert(site.address, site);
    }
    for site in of_facade(image)? {
        sites.insert(site.address, site);
    }
    if !sites.values().any(|site| site.operation == Operation::Seamcall) {
        return Err(FindError::NoSeamcall);
    }
    for name in &subject.cr4_functions {
        let (start, size) = image.symbols().extent(name).ok_or_else(|| FindError::NoFunction(name.clone()))?;
        for instruction in decode_all(image, start, size)? {
            let code = code_of(image, &instruction)?;
            if let Some((operation @ (Operation::ReadCr4(_) | Operation::WriteCr4(_)), _)) = facade(code.as_slice()) {
                sites.insert(instruction.ip(), Site { address: instruction.ip(), code, operation });
            }
        }
    }
    Ok(Sites::new(sites.into_values().collect()))
}

fn site_of_access(
    image: &KernelImage,
    instruction: &Instruction,
    watches: &[Watch],
) -> Result<Option<Site>, FindError> {
    let address = instruction.ip();
    let code = code_of(image, instruction)?;
    let not_followed = |why| FindError::NotFollowed { address, code, why };
    let found = access(instruction, watches).map_err(not_followed)?;
    Ok(found.map(|access| Site { address, code, operation: Operation::Access(access) }))
}

/// A function's first instruction, which must be ENDBR64: it does nothing, so nothing has to be carried out in its
/// place.
fn entry(image: &KernelImage, address: u64, index: usize) -> Result<Site, FindError> {
    let code = image.bytes(address, 4).ok_or(FindError::NoCode { address })?;
    let code = Code::new(code).expect("four bytes");
    let is_marker = decode(code.as_slice(), address).is_some_and(|first| first.code() == Opcode::Endbr64);
    let why = "a function whose entry is to be seen must begin with ENDBR64 (CONFIG_X86_KERNEL_IBT)";
    is_marker.then_some(Site { address, code, operation: Operation::Enter(index) }).ok_or(FindError::NotFollowed {
        address,
        code,
        why,
    })
}

/// SEAMCALL, VMXON and VMXOFF in all functions. Their bytes are looked for first, since most functions have none;
/// whether they are an instruction there is decided by decoding the function from its beginning.
fn of_facade(image: &KernelImage) -> Result<Vec<Site>, FindError> {
    let mut functions: BTreeMap<u64, (u64, Vec<u64>)> = BTreeMap::new();
    for (start, size) in image.text() {
        let Some(bytes) = image.bytes(*start, *size) else { continue };
        for address in candidates(bytes).map(|at| start + at as u64) {
            if let Some((function, size)) = image.symbols().function_around(address) {
                functions.entry(function).or_insert((size, Vec::new())).1.push(address);
            }
        }
    }
    let mut sites = Vec::new();
    for (function, (size, places)) in functions {
        for instruction in decode_all(image, function, size)? {
            // A prefix of no effect may stand before the bytes that were looked for.
            let covers = |place: &u64| (instruction.ip()..instruction.next_ip()).contains(place);
            if !places.iter().any(covers) {
                continue;
            }
            let code = code_of(image, &instruction)?;
            if let Some((operation @ (Operation::Seamcall | Operation::Vmxon | Operation::Vmxoff), _)) =
                facade(code.as_slice())
            {
                sites.push(Site { address: instruction.ip(), code, operation });
            }
        }
    }
    Ok(sites)
}

/// Offsets at which the opcode of SEAMCALL, VMXON or VMXOFF may stand, behind its prefixes.
fn candidates(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    bytes.windows(3).enumerate().filter_map(|(at, window)| {
        let is_one = match window {
            [0x0f, 0x01, 0xcf | 0xc4] => true,
            // VMXON shares its opcode with others; it has a memory operand and /6.
            [0x0f, 0xc7, modrm] => modrm >> 3 & 7 == 6 && modrm >> 6 != 3,
            _ => false,
        };
        is_one.then_some(at)
    })
}

/// The instructions of a function, which must be nothing else.
fn decode_all(image: &KernelImage, start: u64, size: u64) -> Result<Vec<Instruction>, FindError> {
    let code = image.bytes(start, size).ok_or(FindError::NoCode { address: start })?;
    let mut instructions = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let address = start + at as u64;
        let rest = &code[at..code.len().min(at + LONGEST)];
        let undecodable = || FindError::Undecodable { address, code: rest.to_vec() };
        let instruction = decode(rest, address).ok_or_else(undecodable)?;
        at += instruction.len();
        instructions.push(instruction);
    }
    Ok(instructions)
}

fn code_of(image: &KernelImage, instruction: &Instruction) -> Result<Code, FindError> {
    let address = instruction.ip();
    let bytes = image.bytes(address, instruction.len() as u64).ok_or(FindError::NoCode { address })?;
    Ok(Code::new(bytes).expect("an instruction has 1 to 15 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Effect, Symbols};

    const BASE: u64 = 0x1000;
    const SEAMCALL: [u8; 4] = [0x66, 0x0f, 0x01, 0xcf];

    fn image(code: &[u8]) -> KernelImage {
        let symbols = Symbols::new([("f".into(), BASE, code.len() as u64, true)]);
        KernelImage::of_parts(vec![(BASE, code.to_vec())], symbols)
    }

    fn operations(code: &[u8]) -> Vec<(u64, Operation)> {
        let sites = find(&image(code), &Subject::default()).unwrap();
        sites.all().iter().map(|site| (site.address - BASE, site.operation)).collect()
    }

    #[test]
    fn a_seamcall_is_found_between_other_instructions() {
        let code = [&[0x55][..], &SEAMCALL, &[0x0f, 0x01, 0xc4, 0xf3, 0x0f, 0xc7, 0x34, 0x24, 0xc3]].concat();
        let expected = vec![(1, Operation::Seamcall), (5, Operation::Vmxoff), (8, Operation::Vmxon)];
        assert_eq!(operations(&code), expected);
    }

    #[test]
    fn the_bytes_of_a_seamcall_in_another_instruction_are_none() {
        // mov $0xcf010f66, %eax; then a real one.
        let code = [&[0xb8, 0x66, 0x0f, 0x01, 0xcf][..], &SEAMCALL, &[0xc3]].concat();
        assert_eq!(operations(&code), [(5, Operation::Seamcall)]);
    }

    #[test]
    fn a_function_that_cannot_be_decoded_is_an_error_with_address_and_bytes() {
        let code = [&[0x90, 0x06][..], &SEAMCALL].concat();
        let error = find(&image(&code), &Subject::default()).unwrap_err();
        assert_eq!(error, FindError::Undecodable { address: BASE + 1, code: vec![0x06, 0x66, 0x0f, 0x01, 0xcf] });
        assert!(error.to_string().contains("0x1001") && error.to_string().contains("06, 66"), "{error}");
    }

    #[test]
    fn a_kernel_without_seamcalls_is_an_error() {
        assert_eq!(find(&image(&[0x90, 0xc3]), &Subject::default()).unwrap_err(), FindError::NoSeamcall);
    }

    fn watching(function: (u64, u64)) -> Subject {
        let watch = Watch { name: "word".into(), address: 0x2000, size: 4, within: vec![function] };
        Subject { watches: vec![watch], ..Subject::default() }
    }

    #[test]
    fn accesses_are_found_in_the_functions_that_are_named() {
        // mov 0x2000, %eax, once inside and once outside.
        let load = [0x8b, 0x04, 0x25, 0, 0x20, 0, 0];
        let code = [&load[..], &SEAMCALL, &load].concat();
        let sites = find(&image(&code), &watching((BASE, BASE + 11))).unwrap();
        let accesses: Vec<u64> = sites
            .all()
            .iter()
            .filter(|site| matches!(site.operation, Operation::Access(access) if access.effect == Effect::Load(0)))
            .map(|site| site.address)
            .collect();
        assert_eq!(accesses, [BASE]);
    }

    #[test]
    fn an_access_that_is_not_known_is_an_error_with_address_and_bytes() {
        // imul 0x2000, %eax
        let code = [&[0x0f, 0xaf, 0x04, 0x25, 0, 0x20, 0, 0][..], &SEAMCALL].concat();
        let error = find(&image(&code), &watching((BASE, BASE + 8))).unwrap_err().to_string();
        assert!(error.contains("0x1000") && error.contains("0f af 04 25 00 20 00 00"), "{error}");
    }

    #[test]
    fn an_entry_is_a_marker_or_an_error() {
        let function = Function { name: "f".into(), range: (BASE, BASE + 8) };
        let subject = Subject { functions: vec![function], ..Subject::default() };
        let code = [&[0xf3, 0x0f, 0x1e, 0xfa][..], &SEAMCALL].concat();
        assert_eq!(find(&image(&code), &subject).unwrap().at(BASE).unwrap().operation, Operation::Enter(0));
        let code = [&[0x90; 4][..], &SEAMCALL].concat();
        assert!(matches!(find(&image(&code), &subject), Err(FindError::NotFollowed { address: BASE, .. })));
    }

    #[test]
    fn moves_to_cr4_count_in_the_functions_that_are_named() {
        let code = [&SEAMCALL[..], &[0x0f, 0x22, 0xe7, 0xc3]].concat();
        let subject = |names: &[&str]| Subject {
            cr4_functions: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Subject::default()
        };
        let found = |names: &[&str]| find(&image(&code), &subject(names)).map(|sites| sites.all().len());
        assert_eq!((found(&[]), found(&["f"])), (Ok(1), Ok(2)));
        assert_eq!(found(&["g"]), Err(FindError::NoFunction("g".into())));
    }
}
