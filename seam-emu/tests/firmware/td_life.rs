//! A TD from its creation over updates to its end.

use crate::common::td::{SCRIPT_GPA, params};
use crate::common::{Answer, Machine, call};
use seam_emu::abi::status::Operand;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::script::{Op, Script};
use seam_emu::{Config, LogicalProcessor, Note, Regs};
use sha2::{Digest, Sha384};

/// Counts in register 0, hashes its own page, stores the chain, halts, and begins again.
fn chain_script() -> Script {
    let start = Script::new().then(Op::Accept, 0, 0x8000);
    let again = start.here();
    start
        .then(Op::Add, 0, 1)
        .then(Op::Store, 0, 0x8000)
        .then(Op::Hash, 0, 0x8000)
        .then(Op::StoreChain, 0, 0x8040)
        .then(Op::Halt, 0, 0)
        .then(Op::Jump, 0, again)
}

/// What the chain is after `n` rounds of [`chain_script`].
fn predicted_chain(n: u64) -> [u8; 48] {
    let mut page = [0; 4096];
    let mut chain = [0; 48];
    for round in 1..=n {
        page[..8].copy_from_slice(&round.to_le_bytes());
        chain = Sha384::new().chain_update(chain).chain_update(page).finalize().into();
        page[0x40..0x70].copy_from_slice(&chain);
    }
    chain
}

/// A machine with a TD that has run `rounds` rounds.
fn running(rounds: u64) -> (Machine, crate::common::td::Td) {
    let mut m = Machine::new(2);
    m.boot_linux();
    let mut td = m.td(0, &[0], &chain_script());
    assert_eq!(m.enter(&td, 0, 0), 48, "the TD waits for the page that it wants to accept");
    assert_eq!(m.regs.r8, 0x8000);
    m.ok(0, Regs { rcx: 0x8000, rdx: td.tdr, r8: td.page(), ..call(Leaf::MemPageAug) });
    for _ in 0..rounds {
        assert_eq!(m.enter(&td, 0, 0), 77, "TDVMCALL");
        assert_eq!((m.regs.rcx, m.regs.r10, m.regs.r11), (0xFC00, 0, 12), "HLT");
    }
    (m, td)
}

/// The chain that the TD stored.
fn stored_chain(m: &Machine, td: &crate::common::td::Td) -> [u8; 48] {
    let page = td.pages().last().expect("the page that was added last");
    m.get(page + 0x40)
}

#[test]
fn a_td_computes_what_it_should() {
    let (m, td) = running(3);
    assert_eq!(stored_chain(&m, &td), predicted_chain(3));
    assert_ne!(stored_chain(&m, &td), predicted_chain(2));
}

#[test]
fn a_td_lives_through_updates() {
    let (mut m, td) = running(2);
    let before = m.firmware.td_digests(&m.memory);
    assert_eq!(before.len(), 1);
    for update in 7..10 {
        m.firmware.take_notes();
        m.update(&ImageSpec::version(1, 5, update));
        let digests: Vec<_> =
            m.firmware.take_notes().into_iter().filter(|note| matches!(note, Note::TdDigest { .. })).collect();
        assert_eq!(digests.len(), 2, "one when the state is exported, one when it is imported");
        assert_eq!(digests[0], digests[1]);
    }
    assert_eq!(m.firmware.td_digests(&m.memory), before);
    assert_eq!(m.enter(&td, 0, 0), 77);
    assert_eq!(stored_chain(&m, &td), predicted_chain(3));
    assert_ne!(m.firmware.td_digests(&m.memory), before, "it ran");
}

#[test]
fn a_bit_of_a_page_changes_the_digest() {
    use seam_emu::GuestMemory;
    let (mut m, td) = running(1);
    let before = m.firmware.td_digests(&m.memory);
    let page = td.pages().last().expect("a page");
    let byte: u8 = m.get(page + 9);
    m.memory.write(page + 9, &[byte ^ 1]).expect("RAM");
    assert_ne!(m.firmware.td_digests(&m.memory), before);
}

#[test]
fn a_td_gives_everything_back_a_thousand_times() {
    let mut m = Machine::new(2);
    m.boot_linux();
    let script = Script::new().then(Op::Set, 0, 1);
    let fresh = m.firmware.save();
    for _ in 0..1000 {
        let td = m.td(0, &[0, 1], &script);
        assert_eq!(m.enter(&td, 0, 0), 77);
        m.td_destroy(&td, &[0, 1]);
    }
    assert_eq!(m.firmware.save(), fresh, "no KeyID, page or count is left behind");
}

#[test]
fn a_td_can_be_measured_as_specified() {
    let mut m = Machine::new(1);
    m.boot_linux();
    let contents = Script::new().then(Op::Set, 0, 1).to_pages();
    let td = m.td(0, &[0], &Script::new().then(Op::Set, 0, 1));
    let mut expected = Sha384::new();
    let block = |name: &[u8], gpa: u64| {
        let mut block = [0u8; 128];
        block[..name.len()].copy_from_slice(name);
        block[16..24].copy_from_slice(&gpa.to_le_bytes());
        block
    };
    expected.update(block(b"MEM.PAGE.ADD", SCRIPT_GPA));
    for offset in (0..4096u64).step_by(256) {
        expected.update(block(b"MR.EXTEND", SCRIPT_GPA + offset));
        expected.update(&contents[offset as usize..][..256]);
    }
    let expected: [u8; 48] = expected.finalize().into();
    // MRTD: class 19, element size 8 bytes, six elements.
    for (i, word) in expected.chunks_exact(8).enumerate() {
        m.ok(0, Regs { rcx: td.tdr, rdx: 0x1310_0003_0000_0000 + i as u64, ..call(Leaf::MngRd) });
        assert_eq!(m.regs.r8, u64::from_le_bytes(word.try_into().expect("8 bytes")));
    }
}

#[test]
fn a_slice_ends_with_an_external_interrupt() {
    let mut m = Machine::new(1);
    m.boot_linux();
    let td = m.td(0, &[0], &Script::new().then(Op::Jump, 0, 0));
    assert_eq!(m.enter(&td, 0, 0), 1);
    assert_eq!(m.regs.r9 >> 31, 1, "valid interruption information");
}

#[test]
fn a_vcpu_cannot_be_entered_on_another_lp_before_it_is_flushed() {
    let (mut m, td) = running(1);
    let enter = Regs { rcx: td.vcpus[0], ..call(Leaf::VpEnter) };
    assert_eq!(m.call(1, enter), Answer::Status(Status::VCPU_ASSOCIATED));
    assert_eq!(
        m.call(1, Regs { rcx: td.vcpus[0], ..call(Leaf::VpFlush) }),
        Answer::Status(Status::VCPU_NOT_ASSOCIATED)
    );
    m.ok(0, Regs { rcx: td.vcpus[0], ..call(Leaf::VpFlush) });
    assert_eq!(m.enter(&td, 0, 1), 77);
}

#[test]
fn a_page_can_be_removed_after_blocking_and_tracking() {
    let (mut m, td) = running(1);
    let page = td.pages().last().expect("a page");
    m.ok(0, Regs { rcx: 0x8000, rdx: td.tdr, ..call(Leaf::MemRangeBlock) });
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MemTrack) });
    m.ok(0, Regs { rcx: 0x8000, rdx: td.tdr, ..call(Leaf::MemPageRemove) });
    assert_eq!(m.regs.rcx, page);
    assert_eq!(m.enter(&td, 0, 0), 48, "the TD misses its page");
}

#[test]
fn a_page_cannot_be_removed_before() {
    let (mut m, td) = running(1);
    let remove = Regs { rcx: 0x8000, rdx: td.tdr, ..call(Leaf::MemPageRemove) };
    assert_eq!(m.call(0, remove), Answer::Status(Status(Status::GPA_RANGE_NOT_BLOCKED.0 | 1)));
    assert_eq!(m.regs.rdx, 4 << 8, "level 0, present");
    m.ok(0, Regs { rcx: 0x8000, rdx: td.tdr, ..call(Leaf::MemRangeBlock) });
    assert_eq!(m.call(0, remove), Answer::Status(Status(Status::TLB_TRACKING_NOT_DONE.0 | 1)));
}

#[test]
fn an_update_can_be_refused_while_a_td_is_built() {
    const AVOID: u64 = 1 << 16;
    let spec = ImageSpec { features0: ImageSpec::default().features0 | 1 << 47, ..ImageSpec::default() };
    let mut m = Machine::with(Config::for_lps(1), &spec);
    m.boot_linux();
    let mut td = m.td_initialized(&params(), 0);
    let refused = Status(Status::UPDATE_COMPATIBILITY_SENSITIVE.0 | 1 << 16);
    assert_eq!(m.call(0, Regs { rcx: AVOID, ..call(Leaf::SysShutdown) }), Answer::Status(refused));
    assert_eq!(m.firmware.module_state(), 3, "the module is open again");
    m.td_vcpu(&mut td, 0);
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MrFinalize) });
    m.ok(0, Regs { rcx: AVOID, ..call(Leaf::SysShutdown) });
}

#[test]
fn a_key_is_set_on_every_package_and_freed_after_every_cache() {
    let lps = (0..4).map(|i| LogicalProcessor { apic_id: i, package: i / 2 }).collect();
    let mut m = Machine::with(Config { lps, ..Config::for_lps(4) }, &ImageSpec::default());
    m.boot_linux();
    let mut td = m.td_create(0);
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngKeyConfig) });
    let again = Regs { rcx: td.tdr, ..call(Leaf::MngKeyConfig) };
    assert_eq!(m.call(1, again), Answer::Status(Status::KEY_CONFIGURED), "the same package");
    let addcx = Regs { rcx: td.page(), rdx: td.tdr, ..call(Leaf::MngAddcx) };
    assert_eq!(m.call(0, addcx), Answer::Status(Status::TD_KEYS_NOT_CONFIGURED));
    m.ok(2, again);
    m.ok(0, addcx);
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngVpflushdone) });
    m.ok(0, call(Leaf::PhymemCacheWb));
    let free = Regs { rcx: td.tdr, ..call(Leaf::MngKeyFreeid) };
    assert_eq!(m.call(0, free), Answer::Status(Status::WBCACHE_NOT_COMPLETE));
    m.ok(3, call(Leaf::PhymemCacheWb));
    m.ok(0, free);
}

#[test]
fn usage_counts_tds_pages_and_keyids() {
    let mut m = Machine::new(1);
    m.boot_linux();
    assert_eq!(m.firmware.td_usage(), (0, 0, 0));
    let first = m.td(0, &[0], &Script::new());
    assert_eq!(m.firmware.td_usage(), (1, 17, 1), "root, 6 and 6 of control structures, 3 tables, 1 page");
    m.td_create(1);
    assert_eq!(m.firmware.td_usage(), (2, 18, 2));
    m.ok(0, Regs { rcx: first.vcpus[0], ..call(Leaf::VpFlush) });
    m.ok(0, Regs { rcx: first.tdr, ..call(Leaf::MngVpflushdone) });
    assert_eq!(m.firmware.td_usage(), (2, 18, 2), "its KeyID is not free before the caches are");
    m.td_wb_all();
    m.ok(0, Regs { rcx: first.tdr, ..call(Leaf::MngKeyFreeid) });
    assert_eq!(m.firmware.td_usage(), (2, 18, 1));
    m.ok(0, Regs { rcx: first.vcpus[0], ..call(Leaf::PhymemPageReclaim) });
    assert_eq!(m.firmware.td_usage(), (2, 17, 1));
}

#[test]
fn tds_are_lost_when_a_module_is_loaded_over_them() {
    let mut m = Machine::new(2);
    m.boot_linux();
    m.td(0, &[0, 1], &chain_script());
    m.td_create(1);
    assert_eq!(m.install(&crate::common::image(&ImageSpec::version(1, 5, 7)), 0), Answer::Status(Status::SUCCESS));
    m.boot_linux();
    assert_eq!(m.firmware.audit(), Vec::<String>::new());
    assert_eq!(m.firmware.td_usage(), (0, 0, 0), "their pages are nobody's, as PAMTs were made anew");
    assert_eq!(m.firmware.td_digests(&m.memory), []);
    let td = m.td(0, &[0], &Script::new());
    assert_eq!(m.firmware.audit(), Vec::<String>::new());
    m.td_destroy(&td, &[0]);
    assert_eq!(m.firmware.td_usage(), (0, 0, 0));
}

#[test]
fn tds_are_lost_when_an_updated_module_is_configured_instead() {
    let mut m = Machine::new(1);
    m.boot_linux();
    m.td(0, &[0], &chain_script());
    m.ok(0, call(Leaf::SysShutdown));
    assert_eq!(m.install(&crate::common::image(&ImageSpec::version(1, 5, 7)), 1), Answer::Status(Status::SUCCESS));
    assert_eq!(m.firmware.td_usage().0, 1, "UPDATE would keep it");
    m.boot_linux();
    assert_eq!(m.firmware.td_usage(), (0, 0, 0));
    assert_eq!(m.firmware.audit(), Vec::<String>::new());
}

#[test]
fn two_vcpus_cannot_have_one_apic_id() {
    let mut m = Machine::new(2);
    m.boot_linux();
    let mut td = m.td_initialized(&params(), 0);
    m.td_vcpu(&mut td, 0);
    let tdvpr = td.page();
    m.ok(0, Regs { rcx: tdvpr, rdx: td.tdr, ..call(Leaf::VpCreate) });
    for _ in 1..6 {
        m.ok(0, Regs { rcx: td.page(), rdx: tdvpr, ..call(Leaf::VpAddcx) });
    }
    let init = |id| Regs { rax: Leaf::VpInit.number() | 1 << 16, rcx: tdvpr, r8: id, ..Regs::default() };
    assert_eq!(m.call(0, init(0)), Answer::Status(Status::X2APIC_ID_NOT_UNIQUE), "the first vCPU's");
    assert_eq!(m.call(0, init(1 << 32)), Answer::Status(Status::OPERAND_INVALID.operand(Operand::R8)));
    m.ok(0, init(1));
}
