//! Firmware that Linux has initialised, and an image to update it with.

use super::layout::{MODULE, PARAMETERS};
use seam_emu::abi::seamldr::InstallParams;
use seam_emu::abi::tdmr::TdmrInfo;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::{self, ImageSpec};
use seam_emu::{Caller, Config, Durations, Firmware, GuestMemory, Outcome, Regs, Reply, SparseMemory};
use seam_kvm::Ram;
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};
use zerocopy::{FromZeros, IntoBytes};

const TDMR_ARRAY: u64 = 0x40_0000;
const TDMR_INFO: u64 = 0x40_1000;
const PAMT: u64 = 0x1000_0000;
const GLOBAL_KEYID: u64 = 32;
/// Metadata field of the module's update version.
const UPDATE_VERSION: u64 = 0x0800_0001_0000_0005;

/// The update version of the module before and after an update.
pub(crate) const BEFORE: u64 = 6;
pub(crate) const AFTER: u64 = 7;

/// The image that the firmware starts with, and the one to install.
fn images() -> &'static [Vec<u8>; 2] {
    static BUILT: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    BUILT.get_or_init(|| {
        [BEFORE, AFTER].map(|update| image::build(&ImageSpec { update: update as u16, ..ImageSpec::default() }))
    })
}

/// A platform with this configuration as Linux leaves it behind when it has initialised TDX.
pub(crate) fn initialised(config: Config) -> Firmware {
    // By the number of LPs; faults and durations are no part of a saved state.
    static SAVED: Mutex<BTreeMap<usize, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut saved = SAVED.lock().expect("no holder panics");
    let bytes = saved.entry(config.lps.len()).or_insert_with(|| initialise(&config));
    Firmware::restore(config, bytes).expect("the same platform")
}

/// The state that Linux's initialisation leaves behind.
fn initialise(config: &Config) -> Vec<u8> {
    let size = config.memory.last().expect("a platform has memory").end();
    let mut memory = SparseMemory::new(size);
    let quiet = Config { faults: Vec::new(), durations: Durations::default(), ..config.clone() };
    let mut firmware = Firmware::boot(quiet, &images()[0]).expect("the firmware boots");
    let info = tdmr();
    memory.write(TDMR_ARRAY, &TDMR_INFO.to_le_bytes()).expect("memory");
    memory.write(TDMR_INFO, info.as_bytes()).expect("memory");
    let mut go = |lp, regs| call(&mut firmware, &mut memory, lp, regs);
    go(0, leaf(Leaf::SysInit));
    (0..config.lps.len()).for_each(|lp| _ = go(lp, leaf(Leaf::SysLpInit)));
    go(0, Regs { rcx: TDMR_ARRAY, rdx: 1, r8: GLOBAL_KEYID, ..leaf(Leaf::SysConfig) });
    go(0, leaf(Leaf::SysKeyConfig));
    while go(0, leaf(Leaf::SysTdmrInit)).rdx < info.size {}
    firmware.save()
}

/// The TDMR of the first 2 GiB.
fn tdmr() -> TdmrInfo {
    let mut info = TdmrInfo { base: 0, size: 2 << 30, ..TdmrInfo::default() };
    (info.pamt_4k_base, info.pamt_4k_size) = (PAMT, (2 << 30) / 4096 * 16);
    (info.pamt_2m_base, info.pamt_2m_size) = (PAMT + info.pamt_4k_size, 16384);
    (info.pamt_1g_base, info.pamt_1g_size) = (info.pamt_2m_base + 16384, 4096);
    let pamts = info.pamt_4k_size + info.pamt_2m_size + info.pamt_1g_size;
    (info.reserved[0].offset, info.reserved[0].size) = (0, 1 << 20);
    (info.reserved[1].offset, info.reserved[1].size) = (PAMT, pamts);
    info
}

fn leaf(leaf: Leaf) -> Regs {
    Regs { rax: leaf.number(), ..Regs::default() }
}

/// A call that succeeds, however long it lasts.
fn call(firmware: &mut Firmware, memory: &mut SparseMemory, lp: usize, regs: Regs) -> Regs {
    let mut after = regs;
    let caller = Caller { lp, in_vmx_root: true, cpl: 0, long_mode: true };
    let mut reply = firmware.seamcall(caller, &mut after, memory, 0);
    while let Reply::Wait { until_ns } = reply {
        reply = firmware.seamcall(caller, &mut after, memory, until_ns);
    }
    assert!(matches!(reply, Reply::Done(done) if done.outcome == Outcome::Return), "{regs:x?}: {reply:?}");
    assert_eq!(after.rax, Status::SUCCESS.0, "{regs:x?}");
    after
}

/// The update version of the module that is loaded, once it is initialised.
pub(crate) fn version(firmware: &mut Firmware) -> u64 {
    let mut memory = SparseMemory::new(1 << 21);
    call(firmware, &mut memory, 0, Regs { rdx: UPDATE_VERSION, ..leaf(Leaf::SysRd) }).r8
}

/// Puts SEAMLDR's parameters and the new image into guest memory, as the uploader does.
pub(crate) fn fill_parameters(ram: &mut Ram) {
    let file = &images()[1];
    // A blob has a page of header, then SIGSTRUCT.
    ram.write(MODULE, &file[4096..]).expect("memory");
    let mut params = InstallParams::new_zeroed();
    params.scenario = 1;
    params.sigstruct_pa = MODULE;
    params.num_module_pages = (file.len() / 4096 - 2) as u64;
    for (page, pa) in params.module_pages_pa[..params.num_module_pages as usize].iter_mut().enumerate() {
        *pa = MODULE + 4096 * (page as u64 + 1);
    }
    ram.write(PARAMETERS, params.as_bytes()).expect("memory");
}
