//! The rig's kernel, and what is watched of it.

use rig_images::{Images, KernelRequest, Progress};
use rig_judge::{Setup, SubjectNames};
use rig_wire::plan::{Function, Watch};
use seam_kvm::{KernelImage, Subject};
use std::sync::OnceLock;

/// The function that every CPU runs in an update.
pub(crate) const SECTION: &str = "do_seamldr_install_module";
/// Indices of the watches.
pub(crate) const STATE: usize = 0;
pub(crate) const NUM_ACK: usize = 1;

/// The unmodified kernel, read once. The first time on a machine it is built, which takes minutes.
pub(crate) fn kernel() -> KernelImage {
    static IMAGE: OnceLock<KernelImage> = OnceLock::new();
    let read = || {
        let images = Images::open(Progress::silent()).expect("the cache opens");
        let kernel = images.kernel(&KernelRequest::default()).expect("the rig's kernel is there, or builds");
        let file = std::fs::read(kernel.vmlinux.expect("the rig's kernel has its ELF file")).expect("it is read");
        KernelImage::parse(&file).expect("it is an ELF file")
    };
    IMAGE.get_or_init(read).clone()
}

/// The address of a symbol.
pub(crate) fn address(image: &KernelImage, name: &str) -> u64 {
    extent(image, name).0
}

/// Address and size of a symbol.
pub(crate) fn extent(image: &KernelImage, name: &str) -> (u64, u64) {
    image.symbols().extent(name).unwrap_or_else(|| panic!("the kernel has no {name}"))
}

/// The words of `struct update_ctrl` and the count of CPUs, seen in the section; and the section's entry.
pub(crate) fn subject(image: &KernelImage) -> Subject {
    let (start, size) = extent(image, SECTION);
    let range = (start, start + size);
    let names = SubjectNames::in_tree();
    let control = address(image, "update_ctrl");
    let watch = |name: String, address| Watch { name, address, size: 4, within: vec![range] };
    let watches = vec![
        watch(names.state, control),
        watch(names.num_ack, control + 4),
        watch(names.num_failed, control + 8),
        watch(names.num_online, address(image, "__num_online_cpus")),
    ];
    let functions = vec![Function { name: SECTION.into(), range }];
    Subject { watches, functions, cr4_functions: vec!["native_write_cr4".into()] }
}

/// What the judge knows before the first event.
pub(crate) fn setup(image: &KernelImage, lps: u16) -> Setup {
    let Subject { watches, functions, .. } = subject(image);
    Setup { watches, functions, ..Setup::new(lps, SubjectNames::in_tree()) }
}

/// Writes `new` at `offset` of the one place in `function` where `old` is.
pub(crate) fn plant(image: &mut KernelImage, function: &str, old: &[u8], offset: u64, new: &[u8]) {
    let (start, size) = extent(image, function);
    let code = image.bytes(start, size).expect("the function has code");
    let places: Vec<usize> = (0..=code.len() - old.len()).filter(|at| code[*at..].starts_with(old)).collect();
    let [place] = places[..] else { panic!("{old:x?} is in {function} at {places:?}") };
    assert!(image.patch(start + place as u64 + offset, new));
}

/// Replaces each call of `callee` in `function` by `new`, of five bytes.
pub(crate) fn replace_calls(image: &mut KernelImage, function: &str, callee: &str, new: &[u8]) {
    let target = address(image, callee);
    let (start, size) = extent(image, function);
    let code = image.bytes(start, size).expect("the function has code");
    let leads_there = |at: &usize| {
        let distance = i32::from_le_bytes(code[at + 1..at + 5].try_into().expect("four bytes"));
        code[*at] == 0xe8 && (start + *at as u64 + 5).wrapping_add_signed(distance.into()) == target
    };
    let places: Vec<usize> = (0..code.len() - 5).filter(leads_there).collect();
    assert!(!places.is_empty(), "{function} calls {callee}");
    for place in places {
        assert!(image.patch(start + place as u64, new));
    }
}

/// What the kernel says of a failure needs more of a kernel than there is here: `_printk()` returns 0 and does nothing.
pub(crate) fn silence(image: &mut KernelImage) {
    let printk = address(image, "_printk");
    // xor %eax, %eax; ret
    assert!(image.patch(printk, &[0x31, 0xc0, 0xc3]));
}
