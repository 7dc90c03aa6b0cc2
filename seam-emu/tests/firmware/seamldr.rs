//! P-SEAMLDR: call/status tables.

use crate::common::{Answer, BUFFER, IMAGE, Machine, PARAMS, call};
use seam_emu::abi::seamldr::{InstallParams, SeamLdrInfo, SysInfoTable};
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::{self, ImageSpec, Mutation};
use seam_emu::{Caller, Config, Firmware, LoaderGeneration, LogicalProcessor, Outcome, Regs, Reply};

const LOAD: u32 = 0;
const UPDATE: u32 = 1;

fn status(status: Status) -> Answer {
    Answer::Status(status)
}

/// A machine that is shut down and waits for a new module.
fn shut(config: Config, spec: &ImageSpec) -> Machine {
    let mut m = Machine::with(config, spec);
    m.boot_linux();
    let hv = m.field(0x8900_0001_0000_0000);
    m.ok(0, Regs { rcx: hv, ..call(Leaf::SysShutdown) });
    m
}

fn shut_default() -> Machine {
    shut(Config::for_lps(2), &ImageSpec::default())
}

fn next() -> Vec<u8> {
    image::build(&ImageSpec::version(1, 5, 7))
}

#[test]
fn info_tells_of_loader_and_module() {
    let mut m = Machine::new(2);
    m.ok(0, Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) });
    let info: SeamLdrInfo = m.get(BUFFER);
    assert_eq!((info.vendor_id, info.major, info.minor, info.update), (0x8086, 1, 5, 0));
    assert_eq!((info.seamextend.valid, info.seamextend.seam_ready, info.seamextend.p_seamldr_ready), (0x1FF, 1, 1));
    assert_eq!((info.seamextend.major_svn, info.seamextend.minor_svn), (1, 5));
    assert_eq!((info.num_remaining_updates, info.features0), (16, 2));
}

#[test]
fn info_and_seaminfo_cannot_write_anywhere() {
    let mut m = Machine::new(1);
    for pa in [BUFFER + 128, 1 << 52, 32 << 46 | BUFFER, 0x20_0000_0000] {
        assert_eq!(m.call(0, Regs { rcx: pa, ..call(Leaf::LdrInfo) }), status(Status::EBADPARAM), "{pa:#x}");
        assert_eq!(m.call(0, Regs { rcx: pa, ..call(Leaf::LdrSeamInfo) }), status(Status::EBADPARAM), "{pa:#x}");
    }
    // Outside RAM the write is lost and firmware does not notice.
    m.ok(0, Regs { rcx: 0x1F_0000_0000, ..call(Leaf::LdrInfo) });
}

#[test]
fn seaminfo_tells_of_the_platform() {
    let lps = (0..4).map(|i| LogicalProcessor { apic_id: i, package: i / 2 }).collect();
    let mut m = Machine::with(Config { lps, ..Config::for_lps(4) }, &ImageSpec::default());
    m.ok(0, Regs { rcx: BUFFER, ..call(Leaf::LdrSeamInfo) });
    let table: SysInfoTable = m.get(BUFFER);
    assert_eq!((table.tot_num_lps, table.tot_num_sockets), (4, 2));
    assert_eq!(table.socket_cpuid_table[..3], [0x000C_06F2, 0x000C_06F2, 0]);
    assert_eq!((table.cmrs[0].base, table.cmrs[1].size), (1 << 20, 0));
}

#[test]
fn leaves_that_do_not_exist_are_bad_parameters() {
    let mut m = Machine::new(1);
    for rax in [1u64 << 63 | 5, 1 << 63 | 0xFE, 1 << 63 | 1 << 32] {
        assert_eq!(m.call(0, Regs { rax, ..Regs::default() }), status(Status::EBADPARAM), "{rax:#x}");
    }
    for loader in [LoaderGeneration::V1_0, LoaderGeneration::V1_5] {
        let mut old = Machine::with(Config { loader, ..Config::for_lps(1) }, &ImageSpec::default());
        assert_eq!(old.call(0, call(Leaf::LdrCleanup)), status(Status::EBADPARAM), "CLEANUP is new in 1.5.02");
    }
}

#[test]
fn seamcall_cannot_be_made_outside_vmx_root_64_bit_mode_and_ring_0() {
    let mut m = Machine::new(1);
    let good = Machine::caller(0);
    for (caller, outcome) in [
        (Caller { in_vmx_root: false, ..good }, Outcome::Ud),
        (Caller { long_mode: false, ..good }, Outcome::Ud),
        (Caller { cpl: 3, ..good }, Outcome::Gp),
        (Caller { cpl: 3, in_vmx_root: false, ..good }, Outcome::Ud),
    ] {
        let mut regs = call(Leaf::SysInit);
        let reply = m.firmware.seamcall(caller, &mut regs, &mut m.memory, 0);
        assert!(matches!(reply, Reply::Done(c) if c.outcome == outcome), "{caller:?}: {reply:?}");
        assert_eq!(regs, call(Leaf::SysInit));
    }
}

/// One thing wrong with INSTALL's parameters.
type ParamsCase = (&'static str, fn(&mut InstallParams));

#[test]
fn install_cannot_be_called_with_bad_parameters() {
    let cases: &[ParamsCase] = &[
        ("version", |p| p.version = 1),
        ("scenario", |p| p.scenario = 2),
        ("reserved", |p| p.reserved[103] = 1),
        ("no pages", |p| p.num_module_pages = 0),
        ("too many pages", |p| p.num_module_pages = 497),
        ("unaligned page", |p| p.module_pages_pa[145] += 1),
        ("private page", |p| p.module_pages_pa[0] |= 32 << 46),
        ("page in the SEAM range", |p| p.module_pages_pa[7] = 0x20_0000_0000),
        ("unaligned sigstruct", |p| p.sigstruct_pa += 2048),
    ];
    for (name, change) in cases {
        let mut m = shut_default();
        let regs = m.install_call(&next(), UPDATE);
        let mut params: InstallParams = m.get(PARAMS);
        change(&mut params);
        m.put(PARAMS, &params);
        assert_eq!(m.install_all(regs), status(Status::EBADPARAM), "{name}");
        assert_eq!(m.regs.rdx, 0, "{name} is recoverable");
        // The same machine takes the image when nothing is wrong.
        assert_eq!(m.install(&next(), UPDATE), status(Status::SUCCESS), "{name} undone");
    }
    let mut m = shut_default();
    assert_eq!(m.install_all(Regs { rcx: PARAMS + 8, ..call(Leaf::LdrInstall) }), status(Status::EBADPARAM));
}

#[test]
fn only_the_last_lp_looks_at_the_parameters() {
    let mut m = shut_default();
    let good = m.install_call(&next(), UPDATE);
    m.ok(1, Regs { rcx: 3, ..good });
    m.ok(0, good);
}

#[test]
fn the_last_lp_is_the_last_of_all_platform_lps() {
    let mut m = shut(Config::for_lps(3), &ImageSpec::default());
    let regs = m.install_call(&next(), UPDATE);
    m.ok(0, regs);
    m.ok(1, regs);
    // LP 2 is offline: the module never comes.
    assert_eq!(m.call(0, call(Leaf::SysInit)), Answer::VmFailInvalid);
    assert!(m.firmware.describe().contains("waiting for LPs [2]"));
    // A retry meets the LPs that called before.
    assert_eq!(m.call(0, regs), status(Status::EBADCALL));
    assert_eq!(m.call(1, regs), status(Status::EBADCALL));
    m.ok(2, regs);
    m.init_lps();
    m.ok(0, call(Leaf::SysUpdate));
}

#[test]
fn the_first_lp_closes_the_old_module() {
    let mut m = Machine::new(2);
    m.boot_linux();
    let regs = m.install_call(&next(), UPDATE);
    assert_eq!(m.firmware.module_state(), 3);
    m.ok(0, regs);
    assert_eq!(m.firmware.module_state(), 5);
    assert_eq!(m.call(1, call(Leaf::SysRd)), Answer::VmFailInvalid);
}

#[test]
fn images_that_are_altered_cannot_be_installed() {
    use Mutation as M;
    // What P-SEAMLDR sees is the sigstruct and the pages, whatever the file's header says.
    for (mutation, expected, damage) in [
        (M::Signature, Status::EBADSIG, 0),
        (M::SignedField, Status::EBADSIG, 0),
        (M::Modulus, Status::EBADSIG, 0),
        (M::SigstructReserved, Status::EBADSIG, 0),
        (M::Hash, Status::EBADHASH, 1),
        (M::Elf, Status::EBADPARAM, 1),
    ] {
        let mut m = shut_default();
        assert_eq!(m.install(&mutation.apply(&next()), UPDATE), status(expected), "{mutation:?}");
        assert_eq!(m.regs.rdx, damage, "{mutation:?}");
        let answer = m.call(0, call(Leaf::SysRd));
        let after = if damage == 0 { status(Status::SYS_SHUTDOWN) } else { Answer::VmFailInvalid };
        assert_eq!(answer, after, "{mutation:?}: a recoverable failure leaves the old module, shut down");
    }
}

/// Name, new image, status by loader 1.5.02 and by 1.5.
type SpecCase = (&'static str, ImageSpec, Status, Status);

#[test]
fn modules_that_do_not_fit_cannot_be_installed() {
    let base = || ImageSpec::version(1, 5, 7);
    let ok = Status::SUCCESS;
    let cases: &[SpecCase] = &[
        ("same SVN", base(), ok, ok),
        ("higher minor SVN", ImageSpec { minor_svn: 6, ..base() }, ok, ok),
        ("lower minor SVN", ImageSpec { minor_svn: 4, ..base() }, Status::EBADSIG, Status::EBADSIG),
        ("other major SVN", ImageSpec { major_svn: 2, ..base() }, Status::EUNSUPPORTED, Status::EBADCALL),
        ("major SVN 0", ImageSpec { major_svn: 0, ..base() }, Status::EUNSUPPORTED, Status::EBADCALL),
        ("other CPUs", ImageSpec { cpuids: vec![0x806F0 + 0x10], ..base() }, Status::EUNSUPCPU, Status::EUNSUPCPU),
        ("other stepping", ImageSpec { cpuids: vec![0xC06F0], ..base() }, ok, ok),
        ("no CPU table", ImageSpec { cpuids: Vec::new(), ..base() }, Status::EBADSIG, Status::EBADSIG),
        ("signed for debug", ImageSpec { debug: true, ..base() }, Status::EBADSIG, Status::EBADSIG),
        ("HV above", ImageSpec { module_hv: 2, min_update_hv: 1, ..base() }, Status::EBADHANDOFF, Status::EBADHANDOFF),
        ("HV in range", ImageSpec { module_hv: 2, ..base() }, ok, ok),
        ("min HV above HV", ImageSpec { min_update_hv: 1, ..base() }, Status::EBADSIG, Status::EBADSIG),
        ("too much data", ImageSpec { num_handoff_pages: u16::MAX, ..base() }, Status::ENOMEM, Status::ENOMEM),
    ];
    for (name, spec, new, old) in cases {
        for (loader, expected) in [(LoaderGeneration::V1_5_02, new), (LoaderGeneration::V1_5, old)] {
            let mut m = shut(Config { loader, ..Config::for_lps(2) }, &ImageSpec::default());
            assert_eq!(m.install(&image::build(spec), UPDATE), status(*expected), "{name} on {loader:?}");
        }
    }
}

#[test]
fn debug_modules_can_be_installed_on_an_unlocked_platform() {
    let config = Config { debug_unlocked: true, ..Config::for_lps(2) };
    let mut m = shut(config, &ImageSpec::default());
    let spec = ImageSpec { debug: true, cpuids: Vec::new(), ..ImageSpec::version(1, 5, 7) };
    assert_eq!(m.install(&image::build(&spec), UPDATE), status(Status::SUCCESS));
}

#[test]
fn update_cannot_follow_without_handoff_data_or_module() {
    let mut m = Machine::new(2);
    m.boot_linux();
    assert_eq!(m.install(&next(), UPDATE), status(Status::EBADHANDOFF), "no SHUTDOWN before");
    let mut m = shut_default();
    assert_eq!(m.install(&Mutation::Hash.apply(&next()), UPDATE), status(Status::EBADHASH));
    assert_eq!(m.install(&next(), UPDATE), status(Status::EBADPARAM), "no module any more");
    // The lost module's SVN is unknown, so its successor could be a downgrade.
    assert_eq!(m.install(&next(), LOAD), status(Status::ECLEANUPREQ));
    m.ok(0, call(Leaf::LdrCleanup));
    m.ok(1, call(Leaf::LdrCleanup));
    assert_eq!(m.install(&next(), LOAD), status(Status::SUCCESS));
}

#[test]
fn load_refills_the_database_and_loses_the_handoff() {
    let mut m = shut_default();
    assert_eq!(m.install(&next(), UPDATE), status(Status::SUCCESS));
    m.ok(0, Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) });
    assert_eq!(m.get::<SeamLdrInfo>(BUFFER).num_remaining_updates, 15);
    assert_eq!(m.install(&next(), LOAD), status(Status::SUCCESS));
    m.ok(0, Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) });
    assert_eq!(m.get::<SeamLdrInfo>(BUFFER).num_remaining_updates, 16);
    m.init_lps();
    assert_eq!(m.call(0, call(Leaf::SysUpdate)), status(Status::SYS_INVALID_HANDOFF));
}

#[test]
fn load_of_a_lower_svn_needs_cleanup_first() {
    let older = image::build(&ImageSpec { minor_svn: 4, ..ImageSpec::version(1, 5, 5) });
    let mut m = Machine::new(2);
    assert_eq!(m.install(&older, LOAD), status(Status::ECLEANUPREQ));
    for lp in 0..2 {
        m.ok(lp, call(Leaf::LdrCleanup));
    }
    assert_eq!(m.install(&older, LOAD), status(Status::SUCCESS));
    let config = Config { loader: LoaderGeneration::V1_5, ..Config::for_lps(2) };
    let mut old = Machine::with(config, &ImageSpec::default());
    assert_eq!(old.install(&older, LOAD), status(Status::SUCCESS), "1.5 knows no cleanup");
}

#[test]
fn cleanup_wipes_the_module_and_lets_shutdown_follow() {
    let mut m = Machine::new(2);
    assert_eq!(m.call(0, call(Leaf::LdrShutdown)), status(Status::ECLEANUPREQ));
    m.ok(1, call(Leaf::LdrCleanup));
    assert_eq!(m.call(1, call(Leaf::LdrCleanup)), status(Status::EBADCALL), "once per LP");
    assert_eq!(m.call(1, call(Leaf::LdrShutdown)), status(Status::EBADCALL), "another session is under way");
    let install = m.install_call(&next(), LOAD);
    assert_eq!(m.call(1, install), status(Status::EBADCALL));
    assert_eq!(m.call(0, call(Leaf::SysRd)), Answer::VmFailInvalid, "the module is closed");
    m.ok(0, call(Leaf::LdrCleanup));
    m.ok(0, Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) });
    let info: SeamLdrInfo = m.get(BUFFER);
    assert_eq!((info.seamextend.valid, info.num_remaining_updates), (0, 17));
    m.ok(1, call(Leaf::LdrShutdown));
    m.ok(0, call(Leaf::LdrShutdown));
    assert_eq!(m.call(0, Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) }), Answer::VmFailInvalid, "P-SEAMLDR is gone");
}

#[test]
fn the_last_lp_of_shutdown_must_be_the_one_that_ran_the_acm() {
    let config = Config { loader: LoaderGeneration::V1_5, ..Config::for_lps(2) };
    let mut m = Machine::with(config, &ImageSpec::default());
    m.ok(0, call(Leaf::LdrShutdown));
    assert_eq!(m.call(1, call(Leaf::LdrShutdown)), status(Status::EBADCALL));
    let install = m.install_call(&next(), LOAD);
    assert_eq!(m.call(0, install), status(Status::EBADCALL), "INSTALL cannot follow");
    m.ok(0, call(Leaf::LdrShutdown));
    assert_eq!(m.call(0, call(Leaf::LdrShutdown)), Answer::VmFailInvalid);
}

#[test]
fn a_foreign_key_can_be_trusted_only_by_its_hash() {
    // The modulus with one bit changed is another key; nobody can sign for it, so trust does not suffice.
    let altered = Mutation::Modulus.apply(&next());
    let hash = image::Image::parse(&altered).expect("a valid file").key_hash();
    let config = Config { trusted_key_hashes: vec![hash], ..Config::for_lps(1) };
    assert!(Firmware::boot(config, &altered).is_err());
    assert_ne!(hash, image::test_key_hash());
}

#[test]
fn pages_outside_ram_read_as_ones() {
    let mut m = shut_default();
    let regs = m.install_call(&next(), UPDATE);
    let mut params: InstallParams = m.get(PARAMS);
    params.sigstruct_pa = 0x1F_0000_0000;
    m.put(PARAMS, &params);
    assert_eq!(m.install_all(regs), status(Status::EBADSIG));
    assert_eq!(m.get::<u8>(IMAGE), 0, "the image itself was not touched");
}
