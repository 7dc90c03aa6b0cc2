//! What is not known ends the case with an error that names address and bytes.

use crate::harness::case::Case;
use crate::harness::kernel::{SECTION, extent, plant};
use crate::harness::walk::Trouble;
use seam_emu::GuestMemory;
use seam_kvm::rewrite::{self, RewriteError};
use seam_kvm::{Exit, KernelMap, SetupError};

#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn an_exit_that_is_none_of_the_sites_is_an_error() {
    let mut case = Case::new(2);
    // pause becomes out %al, $0x33
    plant(&mut case.image, SECTION, &[0xf3, 0x90], 0, &[0xe6, 0x33]);
    let Err(error @ Trouble::Unknown(unknown)) = case.go() else { panic!("the case has no result") };
    let (start, size) = extent(&case.image, SECTION);
    assert_eq!(unknown.exit, Exit::Out(0x33));
    assert!((start..start + size).contains(&unknown.address));
    let words = error.to_string();
    assert!(words.contains("port 0x33") && words.contains(&format!("{:#x}", unknown.address)), "{words}");
    assert!(words.contains("e6 33"), "{words}");
}

#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn a_kernel_in_memory_that_is_not_the_files_is_an_error() {
    let case = Case::new(1);
    let prepared = case.prepare().unwrap();
    // All sites are rewritten already: not one has the bytes that the file has.
    let error = rewrite::rewrite(&prepared.machine.ram, KernelMap::default(), prepared.emulator.sites()).unwrap_err();
    let first = prepared.emulator.sites().all()[0];
    let RewriteError::OtherBytes { address, expected, found } = error else { panic!("{error}") };
    assert_eq!((address, expected), (first.address, first.code));
    let mut bytes = vec![0; found.as_slice().len()];
    prepared.machine.ram.read(KernelMap::default().physical(address).unwrap(), &mut bytes).unwrap();
    assert_eq!(found.as_slice(), bytes);
}

#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn an_access_that_is_not_known_is_an_error() {
    let mut case = Case::new(1);
    // movl $0, num_ack becomes movb and three nops, which touches a part of the word.
    let (start, size) = extent(&case.image, SECTION);
    let code = case.image.bytes(start, size).unwrap();
    let store = code.windows(2).position(|bytes| bytes == [0xc7, 0x05]).expect("it resets the counter");
    let mut new = code[store..store + 10].to_vec();
    (new[0], new[7], new[8], new[9]) = (0xc6, 0x90, 0x90, 0x90);
    case.image.patch(start + store as u64, &new);
    let error = case.prepare().err().expect("there is no machine");
    assert!(matches!(error, SetupError::Find(_)), "{error}");
    let words = error.to_string();
    assert!(words.contains(&format!("{:#x}", start + store as u64)) && words.contains("c6 05"), "{words}");
}
