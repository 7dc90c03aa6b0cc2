//! The sites of the real kernel. No KVM is needed.

use crate::harness::kernel::{SECTION, extent, kernel, subject};
use rig_images::{Images, KernelRequest, Progress};
use seam_kvm::{Effect, KernelImage, Operation, Site, Symbols, find};

fn sites(image: &KernelImage) -> Vec<Site> {
    find(image, &subject(image)).expect("the kernel's sites are known").all().to_vec()
}

#[test]
fn seamcalls_are_those_of_the_kernels_three_functions() {
    let image = kernel();
    let mut names: Vec<String> = sites(&image)
        .iter()
        .filter(|site| site.operation == Operation::Seamcall)
        .map(|site| image.symbols().name(site.address))
        .map(|name| name.split('+').next().expect("a name").to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["__seamcall", "__seamcall_ret", "__seamcall_saved_ret"]);
}

#[test]
fn every_instruction_that_matters_is_a_site() {
    let image = kernel();
    let sites = sites(&image);
    for site in &sites {
        println!("{:#x} {} {:?} ({})", site.address, site.code, site.operation, image.symbols().name(site.address));
    }
    let count = |is_it: fn(&Operation) -> bool| sites.iter().filter(|site| is_it(&site.operation)).count();
    assert_eq!(count(|o| *o == Operation::Vmxon), 1);
    assert_eq!(count(|o| *o == Operation::Vmxoff), 1);
    assert_eq!(count(|o| matches!(o, Operation::WriteCr4(_))), 1);
    assert_eq!(count(|o| matches!(o, Operation::Enter(0))), 1);
    let (start, size) = extent(&image, SECTION);
    let accesses: Vec<_> = sites
        .iter()
        .filter(|site| (start..start + size).contains(&site.address))
        .filter_map(|site| if let Operation::Access(access) = site.operation { Some(access) } else { None })
        .collect();
    let of = |watch: usize| accesses.iter().filter(move |access| access.watch == watch);
    // The state is read by all and advanced by one; the counter is read, stored, and reset.
    assert!(of(0).any(|a| a.effect.loads()) && of(0).any(|a| a.effect.stores()));
    assert!(of(1).any(|a| a.effect.loads()) && of(1).filter(|a| a.effect.stores()).count() >= 2);
    assert!(of(2).any(|a| a.effect.stores()));
    assert!(of(3).all(|a| matches!(a.effect, Effect::Load(_) | Effect::CompareTo(_))) && of(3).count() > 0);
}

/// A System.map has no sizes, and leads to the same sites.
#[test]
fn a_system_map_does_in_the_place_of_the_files_symbols() {
    let image = kernel();
    let images = Images::open(Progress::silent()).expect("the cache opens");
    let kernel = images.kernel(&KernelRequest::default()).expect("the rig's kernel is there");
    let map = std::fs::read_to_string(kernel.system_map.expect("with its System.map")).expect("it is read");
    let code: Vec<_> =
        image.text().iter().filter_map(|(start, size)| Some((*start, image.bytes(*start, *size)?.to_vec()))).collect();
    let mapped = KernelImage::of_parts(code, Symbols::of_system_map(&map));
    let (expected, found) = (sites(&image), find(&mapped, &subject(&image)).expect("sites are known").all().to_vec());
    assert_eq!(found, expected);
}
