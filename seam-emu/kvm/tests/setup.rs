//! What is refused before anything is rewritten. No KVM is needed.

use rig_wire::plan::Watch;
use seam_emu::image::{self, ImageSpec};
use seam_emu::{Config, Firmware, GuestMemory};
use seam_kvm::{Emulator, Events, KernelImage, KernelMap, Options, Ram, SetupError, Subject, Symbols};

const TEXT: u64 = 0xffff_ffff_8000_0000;
const SEAMCALL: [u8; 4] = [0x66, 0x0f, 0x01, 0xcf];

/// The emulator of a kernel with a SEAMCALL and a load of the word at this address, and what is in memory afterwards.
fn emulator(address: u64) -> (Result<Emulator, SetupError>, Vec<u8>) {
    // mov address, %eax
    let load = [&[0x8b, 0x04, 0x25][..], &(address as u32).to_le_bytes()].concat();
    let code = [&SEAMCALL[..], &load].concat();
    let length = code.len() as u64;
    let mut ram = Ram::new(4096).unwrap();
    ram.write(0, &code).unwrap();
    let image = KernelImage::of_parts(vec![(TEXT, code)], Symbols::new([("f".into(), TEXT, length, true)]));
    let watch = Watch { name: "word".into(), address, size: 4, within: vec![(TEXT, TEXT + length)] };
    let options = Options {
        subject: Subject { watches: vec![watch], ..Subject::default() },
        schedules: Vec::new(),
        update_function: None,
        lps: 1,
        map: KernelMap::default(),
        in_vmx_root: true,
    };
    let firmware = Firmware::boot(Config::for_lps(1), &image::build(&ImageSpec::default())).expect("it boots");
    let made = Emulator::new(&image, ram.clone(), firmware, Events::new(None), options);
    let mut after = vec![0; length as usize];
    ram.read(0, &mut after).unwrap();
    (made, after)
}

#[test]
fn a_word_in_memory_is_taken() {
    let (made, after) = emulator(TEXT + 0x100);
    assert_eq!(made.expect("there is memory").sites().all().len(), 2);
    assert!(!after.starts_with(&SEAMCALL), "the sites are rewritten");
}

/// Outside the kernel's image, behind the end of memory, and at no natural alignment. The accesses to them could not be carried
/// out, which the first of them would be too late to find.
#[test]
fn a_word_that_is_no_memory_is_refused() {
    for outside in [0x2000, TEXT + 0x1000, TEXT + 0x102] {
        let (made, after) = emulator(outside);
        assert!(matches!(made, Err(SetupError::Word { address }) if address == outside), "{outside:#x}: {made:?}");
        assert!(after.starts_with(&SEAMCALL), "nothing is rewritten");
    }
}
