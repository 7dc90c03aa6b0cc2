//! Bytes that are no kernel's: whatever stands in a function, the sites that are found are instructions, and the rest
//! is an error.
//!
//! `cargo test` tries random inputs; guided by coverage: `cargo bolero test -p seam-kvm --test hostile
//! any_bytes_are_sites_or_an_error`.

use iced_x86::{Decoder, DecoderOptions};
use rig_wire::plan::{Function, Watch};
use seam_emu::GuestMemory;
use seam_kvm::rewrite::{exiting, rewrite};
use seam_kvm::{KernelImage, KernelMap, Operation, Ram, Subject, Symbols, access, facade, find};

const TEXT: u64 = 0xffff_ffff_8100_0000;
const PHYSICAL: u64 = 0x100_0000;
/// Near the text, so that short distances lead to it.
const WORD: u64 = TEXT + 0x100;
/// Longest input that is looked at.
const LONGEST: usize = 200;

/// Pieces that matter here; a byte of an input chooses one, or stands for itself.
const PIECES: [&[u8]; 12] = [
    &[0x66, 0x0f, 0x01, 0xcf],
    &[0xf3, 0x0f, 0xc7, 0x75, 0xe8],
    &[0x0f, 0x01, 0xc4],
    &[0x0f, 0x22, 0xe7],
    &[0xf3, 0x0f, 0x1e, 0xfa],
    &[0x8b, 0x04, 0x25, 0x00, 0x01, 0x00, 0x81],
    &[0xc7, 0x04, 0x25, 0x00, 0x01, 0x00, 0x81, 0, 0, 0, 0],
    &[0xf0, 0x0f, 0xc1, 0x04, 0x25, 0x00, 0x01, 0x00, 0x81],
    &[0x48, 0xc7, 0xc7, 0x00, 0x01, 0x00, 0x81],
    &[0x66],
    &[0xc3],
    &[0xe8, 0, 0, 0, 0],
];

fn code(input: &[u8]) -> Vec<u8> {
    let mut code = Vec::new();
    for byte in input {
        match PIECES.get(usize::from(*byte)) {
            Some(piece) => code.extend_from_slice(piece),
            None => code.push(*byte),
        }
    }
    code.truncate(LONGEST);
    code
}

fn subject(length: u64) -> Subject {
    let range = (TEXT, TEXT + length);
    Subject {
        watches: vec![Watch { name: "word".into(), address: WORD, size: 4, within: vec![range] }],
        functions: vec![Function { name: "f".into(), range }],
        cr4_functions: vec!["f".into()],
    }
}

/// Looks for sites in these bytes, and rewrites them. Returns how many there are; none: an error.
fn check(code: &[u8]) -> Option<usize> {
    let length = code.len() as u64;
    let image = KernelImage::of_parts(vec![(TEXT, code.to_vec())], Symbols::new([("f".into(), TEXT, length, true)]));
    let found = find(&image, &subject(length));
    let Ok(sites) = found else {
        let words = found.unwrap_err().to_string();
        assert!(words.contains("0x") || words.contains("SEAMCALL"), "{words}");
        return None;
    };
    // What was found are whole instructions, one behind the other, of which each was decoded from the function's
    // beginning.
    let mut starts = Vec::new();
    let mut decoder = Decoder::with_ip(64, code, TEXT, DecoderOptions::NONE);
    while decoder.can_decode() {
        starts.push((decoder.ip(), decoder.decode().len() as u64));
    }
    for site in sites.all() {
        assert!(starts.contains(&(site.address, site.code.length())), "{site:?}");
        let at = (site.address - TEXT) as usize;
        assert!(code[at..].starts_with(site.code.as_slice()), "{site:?}");
        assert!(site.operation != Operation::Seamcall || site.code.to_string().contains("0f 01 cf"), "{site:?}");
    }
    let mut ram = Ram::new(PHYSICAL as usize + 0x1000).unwrap();
    ram.write(PHYSICAL, code).unwrap();
    rewrite(&ram, KernelMap::default(), &sites).unwrap();
    let mut after = vec![0; code.len()];
    ram.read(PHYSICAL, &mut after).unwrap();
    let mut expected = code.to_vec();
    for site in sites.all() {
        let new = exiting(site.code.length()).expect("no site has one byte");
        let at = (site.address - TEXT) as usize;
        expected[at..at + new.as_slice().len()].copy_from_slice(new.as_slice());
    }
    assert_eq!(after, expected, "nothing else is written");
    Some(sites.all().len())
}

#[test]
fn any_bytes_are_sites_or_an_error() {
    bolero::check!().with_iterations(20_000).for_each(|input| _ = check(&code(input)));
}

/// The check above can fail, and does not only see errors: these inputs have sites.
#[test]
fn sites_are_found_among_other_bytes() {
    // endbr64, seamcall, mov word, movl to word, vmxoff, mov to cr4, ret
    assert_eq!(check(&code(&[4, 0, 5, 6, 2, 3, 10])), Some(6));
    // An operand-size prefix before SEAMCALL's own, and one that belongs to no SEAMCALL.
    assert_eq!(check(&code(&[4, 9, 0, 0x90])), Some(2));
    // The address of the word is taken.
    assert_eq!(check(&code(&[4, 0, 8])), None);
}

#[test]
fn any_bytes_are_one_instruction_or_none() {
    bolero::check!().with_iterations(50_000).for_each(|input| {
        let code = code(input);
        if let Some((_, length)) = facade(&code) {
            assert!((1..=15).contains(&length) && length <= code.len());
            assert_eq!(facade(&code[..length]), facade(&code), "what stands behind it does not matter");
            assert_eq!(facade(&code[..length - 1]), None, "a part of it is none");
        }
        let instruction = Decoder::with_ip(64, &code, TEXT, DecoderOptions::NONE).decode();
        let watches = subject(1).watches;
        if let Ok(Some(access)) = access(&instruction, &watches) {
            assert_eq!((access.watch, access.address, access.size), (0, WORD, 4));
        }
    });
}
