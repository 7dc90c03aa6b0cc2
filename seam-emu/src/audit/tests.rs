//! Each mistake that the audit is to find, planted.

use super::*;
use crate::module::PamtEntry;
use crate::module::td::measure::CONTEXT_VERSION;
use crate::module::td::sept::Entry;
use crate::module::td::vcpu::Vcpu;

const TDR: u64 = 0x1000;
const TDVPR: u64 = 0x3000;

/// A TD with one TDCS page, a vCPU of two pages on LP 0, a table and a page.
fn consistent() -> Protected {
    let mut protected = Protected::default();
    let entry = PamtEntry::small;
    protected.pamt.insert(TDR, entry(PageType::Tdr, 0));
    for (page, kind) in [
        (0x2000, PageType::Tdcx),
        (TDVPR, PageType::Tdvpr),
        (0x4000, PageType::Tdcx),
        (0x5000, PageType::Ept),
        (0x6000, PageType::Reg),
    ] {
        protected.pamt.insert(page, entry(kind, TDR));
    }
    let mut td = Td { children: 5, tdcs_pages: vec![0x2000], vcpus: 1, associated_vcpus: 1, ..Td::new(33) };
    td.sept.set(0, 1, Entry { state: EntryState::TableMapped, pa: 0x5000 });
    td.sept.set(0, 0, Entry { state: EntryState::Mapped, pa: 0x6000 });
    protected.tds.insert(TDR, td);
    let vcpu = Vcpu { pages: vec![TDVPR, 0x4000], ready: true, lp: Some(0), ..Vcpu::new(TDR, TDVPR) };
    protected.vcpus.insert(TDVPR, vcpu);
    protected
}

fn td(protected: &mut Protected) -> &mut Td {
    protected.tds.get_mut(&TDR).expect("it is there")
}

/// What the audit finds after a change.
fn found(change: fn(&mut Protected)) -> Vec<String> {
    let mut protected = consistent();
    change(&mut protected);
    let mut found = Vec::new();
    audit_pages(&protected, &mut found);
    found
}

#[test]
fn nothing_is_found_where_all_is_well() {
    assert_eq!(found(|_| {}), Vec::<String>::new());
    // In teardown pages go one by one.
    assert_eq!(
        found(|p| {
            td(p).lifecycle = Lifecycle::Teardown;
            p.pamt.remove(&0x5000);
        }),
        Vec::<String>::new()
    );
}

#[test]
fn a_page_of_another_type_or_owner_is_found() {
    let told = |page: u64, what: &str, owner: u64, other: &str| {
        vec![format!("page {page:#x} is {what} of {owner:#x}, and the PAMT says {other}")]
    };
    let entry = |kind, owner| format!("Some(PamtEntry {{ kind: {kind}, owner: {owner}, bepoch: 0, level: 0 }})");
    let kind = found(|p| p.pamt.get_mut(&0x5000).expect("a page").kind = PageType::Reg);
    assert_eq!(kind, told(0x5000, "Ept", TDR, &entry("Reg", 4096)));
    let tdr = found(|p| p.pamt.get_mut(&TDR).expect("a page").owner = 7);
    assert_eq!(tdr, told(TDR, "Tdr", 0, &entry("Tdr", 7)));
    let owner = found(|p| p.pamt.get_mut(&0x4000).expect("a page").owner = 7);
    assert_eq!(owner[0], told(0x4000, "Tdcx", TDR, &entry("Tdcx", 7))[0]);
    assert_eq!(owner[1..], ["TD 0x1000 counts 5 pages and owns 4"]);
    let none = found(|p| {
        p.pamt.remove(&TDVPR);
    });
    assert_eq!(none[0], told(TDVPR, "Tdvpr", TDR, "None")[0]);
}

#[test]
fn a_page_that_is_used_twice_is_found() {
    let twice = found(|p| {
        td(p).tdcs_pages.push(0x2000);
    });
    assert_eq!(twice, ["page 0x2000 is used twice"]);
    let blocked = found(|p| td(p).sept.set(0, 2, Entry { state: EntryState::TableBlocked, pa: 0x5000 }));
    assert_eq!(blocked, ["page 0x5000 is used twice"]);
}

#[test]
fn wrong_counts_are_found() {
    assert_eq!(found(|p| td(p).children = 4), ["TD 0x1000 counts 4 pages and owns 5"]);
    assert_eq!(found(|p| td(p).vcpus = 2), ["TD 0x1000 counts 2 vCPUs, 1 associated"]);
    assert_eq!(found(|p| td(p).associated_vcpus = 0), ["TD 0x1000 counts 1 vCPUs, 0 associated"]);
    let not_ready = found(|p| p.vcpus.get_mut(&TDVPR).expect("a vCPU").ready = false);
    assert_eq!(not_ready, ["TD 0x1000 counts 1 vCPUs, 1 associated"]);
    let strange = found(|p| p.vcpus.get_mut(&TDVPR).expect("a vCPU").tdr = 7);
    assert_eq!(strange, ["TD 0x1000 counts 1 vCPUs, 1 associated"]);
}

/// What the audit of KeyIDs finds: keys from 32 on, TDs being built as counted.
fn keys_found(kot: &[KeyState], building: u16, change: fn(&mut Protected)) -> Vec<String> {
    let config = crate::Config::for_lps(1);
    let file = crate::image::build(&crate::image::ImageSpec { module_pages: 2, ..Default::default() });
    let image = crate::image::Image::parse(&file).expect("valid");
    let mut module = Module::installed(&config, &image.sigstruct, &image.module);
    module.kot[..kot.len()].copy_from_slice(kot);
    module.td_build_count = building;
    let mut protected = consistent();
    change(&mut protected);
    let mut found = Vec::new();
    audit_keys(&module, &protected, &mut found);
    found
}

#[test]
fn keyids_that_are_not_their_tds_are_found() {
    use KeyState::{Assigned, Flushed, Free, Reserved};
    assert_eq!(keys_found(&[Reserved, Assigned], 0, |_| {}), Vec::<String>::new());
    assert_eq!(keys_found(&[Reserved, Flushed { packages: 1 }], 0, |_| {}), Vec::<String>::new());
    assert_eq!(keys_found(&[Reserved, Free], 0, |_| {}), ["1 TDs have 1 KeyIDs, and 0 are taken"]);
    assert_eq!(keys_found(&[Assigned, Assigned], 0, |_| {}), ["1 TDs have 1 KeyIDs, and 2 are taken"]);
    let gone = keys_found(&[Reserved, Assigned], 0, |p| td(p).lifecycle = Lifecycle::Teardown);
    assert_eq!(gone, ["0 TDs have 0 KeyIDs, and 1 are taken"]);
    let shared = keys_found(&[Assigned, Assigned], 0, |p| drop(p.tds.insert(0x9000, Td::new(33))));
    assert_eq!(shared, ["2 TDs have 1 KeyIDs, and 2 are taken"]);
}

#[test]
fn a_wrong_count_of_tds_being_built_is_found() {
    type Change = fn(&mut Protected);
    let kot = [KeyState::Reserved, KeyState::Assigned];
    assert_eq!(keys_found(&kot, 1, |_| {}), ["0 TDs are being built, and the module counts 1"]);
    let building = |p: &mut Protected| {
        (td(p).op_state, td(p).lifecycle) = (OpState::Initialized, Lifecycle::KeysConfigured);
        td(p).mrtd_context = CONTEXT_VERSION;
    };
    assert_eq!(keys_found(&kot, 1, building), Vec::<String>::new());
    assert_eq!(keys_found(&kot, 0, building), ["1 TDs are being built, and the module counts 0"]);
    let uncounted: [Change; 3] = [
        |p| (td(p).op_state, td(p).lifecycle) = (OpState::Initialized, Lifecycle::KeysConfigured),
        |p| (td(p).op_state, td(p).mrtd_context) = (OpState::Initialized, CONTEXT_VERSION),
        |p| (td(p).lifecycle, td(p).mrtd_context) = (Lifecycle::KeysConfigured, CONTEXT_VERSION),
    ];
    for change in uncounted {
        assert_eq!(keys_found(&kot, 0, change), Vec::<String>::new());
    }
}
