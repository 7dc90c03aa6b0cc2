//! A machine for tests: firmware, memory and LPs that make calls as Linux does.

pub(crate) mod random;
pub(crate) mod td;

use seam_emu::abi::seamldr::InstallParams;
use seam_emu::abi::tdmr::TdmrInfo;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::{self, ImageSpec};
use seam_emu::{Caller, Completion, Config, Firmware, GuestMemory, Outcome, Regs, Reply, SparseMemory};
use std::sync::Mutex;
use zerocopy::{FromZeros, IntoBytes};

/// Where the test machine keeps things in its memory.
pub(crate) const BUFFER: u64 = 0x20_0000;
pub(crate) const PARAMS: u64 = 0x30_0000;
pub(crate) const TDMR_ARRAY: u64 = 0x40_0000;
pub(crate) const TDMR_INFO: u64 = 0x40_1000;
pub(crate) const PAMT: u64 = 0x1000_0000;
pub(crate) const IMAGE: u64 = 0x2000_0000;
/// First TDX KeyID of the default configuration.
pub(crate) const GLOBAL_KEYID: u64 = 32;

/// What a call came to: CF, #UD, #GP or a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(Status),
    VmFailInvalid,
    Ud,
    Gp,
}

/// Firmware and memory.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) firmware: Firmware,
    pub(crate) memory: SparseMemory,
    pub(crate) now_ns: u64,
    /// Registers after the last completed call.
    pub(crate) regs: Regs,
    /// The last completion.
    pub(crate) completion: Completion,
}

/// The image for a spec, built once per process.
pub(crate) fn image(spec: &ImageSpec) -> Vec<u8> {
    static BUILT: Mutex<Vec<(ImageSpec, Vec<u8>)>> = Mutex::new(Vec::new());
    let mut built = BUILT.lock().expect("no holder panics");
    if let Some((_, file)) = built.iter().find(|(known, _)| known == spec) {
        return file.clone();
    }
    let file = image::build(spec);
    built.push((spec.clone(), file.clone()));
    file
}

/// A call's operands.
pub(crate) fn call(leaf: Leaf) -> Regs {
    Regs { rax: leaf.number(), ..Regs::default() }
}

impl Machine {
    /// `n` LPs, module 1.5.06 loaded.
    pub(crate) fn new(n: usize) -> Self {
        Self::with(Config::for_lps(n), &ImageSpec::default())
    }

    pub(crate) fn with(config: Config, spec: &ImageSpec) -> Self {
        let size = config.memory.last().expect("memory").end();
        let firmware = Firmware::boot(config, &image(spec)).expect("boots");
        Self {
            firmware,
            memory: SparseMemory::new(size),
            now_ns: 0,
            regs: Regs::default(),
            completion: Completion::plain(Outcome::Return),
        }
    }

    pub(crate) fn lps(&self) -> usize {
        self.firmware.config().lps.len()
    }

    pub(crate) fn caller(lp: usize) -> Caller {
        Caller { lp, in_vmx_root: true, cpl: 0, long_mode: true }
    }

    /// One execution of the instruction.
    pub(crate) fn execute(&mut self, lp: usize, mut regs: Regs) -> (Reply, Regs) {
        let reply = self.firmware.seamcall(Self::caller(lp), &mut regs, &mut self.memory, self.now_ns);
        (reply, regs)
    }

    /// A call to its end, time passing as needed.
    pub(crate) fn call(&mut self, lp: usize, regs: Regs) -> Answer {
        loop {
            match self.execute(lp, regs) {
                (Reply::Done(completion), after) => {
                    self.regs = after;
                    self.completion = completion;
                    return match completion.outcome {
                        Outcome::Return => Answer::Status(Status(after.rax)),
                        Outcome::VmFailInvalid => Answer::VmFailInvalid,
                        Outcome::Ud => Answer::Ud,
                        Outcome::Gp => Answer::Gp,
                    };
                }
                (Reply::Wait { until_ns }, after) => {
                    assert_eq!(after, regs, "registers change only at the end");
                    self.now_ns = until_ns;
                }
                (Reply::Never, _) => panic!("the call never returns"),
                (Reply::Enter(entry), _) => panic!("the LP runs machine code: {entry:?}"),
            }
        }
    }

    /// A call that must succeed.
    pub(crate) fn ok(&mut self, lp: usize, regs: Regs) {
        assert_eq!(self.call(lp, regs), Answer::Status(Status::SUCCESS), "{regs:x?} on LP {lp}");
    }

    /// A metadata field.
    pub(crate) fn field(&mut self, id: u64) -> u64 {
        self.ok(0, Regs { rdx: id, ..call(Leaf::SysRd) });
        self.regs.r8
    }

    /// Version as Linux reads it.
    pub(crate) fn version(&mut self) -> (u64, u64, u64) {
        (self.field(0x0800_0001_0000_0004), self.field(0x0800_0001_0000_0003), self.field(0x0800_0001_0000_0005))
    }

    pub(crate) fn put<T: IntoBytes + zerocopy::Immutable>(&mut self, pa: u64, value: &T) {
        self.memory.write(pa, value.as_bytes()).expect("RAM");
    }

    pub(crate) fn get<T: zerocopy::FromBytes + IntoBytes>(&self, pa: u64) -> T {
        let mut value = T::new_zeroed();
        self.memory.read(pa, value.as_mut_bytes()).expect("RAM");
        value
    }

    /// SYS.INIT and LP.INIT on all LPs, as Linux does.
    pub(crate) fn init_lps(&mut self) {
        self.ok(0, call(Leaf::SysInit));
        for lp in 0..self.lps() {
            self.ok(lp, call(Leaf::SysLpInit));
        }
    }

    /// The TDMR that covers the first 2 GB, PAMTs and first megabyte reserved.
    pub(crate) fn tdmr() -> TdmrInfo {
        let mut info = TdmrInfo { base: 0, size: 2 << 30, ..TdmrInfo::default() };
        (info.pamt_4k_base, info.pamt_4k_size) = (PAMT, (2 << 30) / 4096 * 16);
        (info.pamt_2m_base, info.pamt_2m_size) = (PAMT + info.pamt_4k_size, 16384);
        (info.pamt_1g_base, info.pamt_1g_size) = (info.pamt_2m_base + 16384, 4096);
        let pamts = info.pamt_4k_size + info.pamt_2m_size + info.pamt_1g_size;
        (info.reserved[0].offset, info.reserved[0].size) = (0, 1 << 20);
        (info.reserved[1].offset, info.reserved[1].size) = (PAMT, pamts);
        info
    }

    /// SYS.CONFIG with one TDMR.
    pub(crate) fn config_call(&mut self, info: &TdmrInfo) -> Regs {
        self.put(TDMR_ARRAY, &TDMR_INFO);
        self.put(TDMR_INFO, info);
        Regs { rcx: TDMR_ARRAY, rdx: 1, r8: GLOBAL_KEYID, ..call(Leaf::SysConfig) }
    }

    /// All of Linux's initialisation, to `SYS_READY` and initialised TDMRs.
    pub(crate) fn boot_linux(&mut self) {
        self.init_lps();
        let config = self.config_call(&Self::tdmr());
        self.ok(0, config);
        self.key_config();
        while {
            self.ok(0, call(Leaf::SysTdmrInit));
            self.regs.rdx < 2 << 30
        } {}
    }

    /// KEY.CONFIG on one LP of each package.
    pub(crate) fn key_config(&mut self) {
        let lps = self.firmware.config().lps.clone();
        for package in 0..self.firmware.config().packages() {
            let lp = lps.iter().position(|lp| lp.package == package).expect("validated");
            self.ok(lp, call(Leaf::SysKeyConfig));
        }
    }

    /// Puts an image file into memory and gives the operands of INSTALL.
    pub(crate) fn install_call(&mut self, file: &[u8], scenario: u32) -> Regs {
        self.memory.write(IMAGE, file).expect("RAM");
        let mut params = InstallParams::new_zeroed();
        params.scenario = scenario;
        params.sigstruct_pa = IMAGE + 4096;
        params.num_module_pages = (file.len() / 4096 - 2) as u64;
        for (i, pa) in params.module_pages_pa[..params.num_module_pages as usize].iter_mut().enumerate() {
            *pa = IMAGE + 4096 * (i as u64 + 2);
        }
        self.put(PARAMS, &params);
        Regs { rcx: PARAMS, ..call(Leaf::LdrInstall) }
    }

    /// INSTALL on all LPs but the last, then on the last; the last one's answer.
    pub(crate) fn install(&mut self, file: &[u8], scenario: u32) -> Answer {
        let regs = self.install_call(file, scenario);
        self.install_all(regs)
    }

    /// INSTALL with given operands on all LPs.
    pub(crate) fn install_all(&mut self, regs: Regs) -> Answer {
        let last = self.lps() - 1;
        for lp in 0..last {
            self.ok(lp, regs);
        }
        self.call(last, regs)
    }

    /// The whole update as Linux does it.
    pub(crate) fn update(&mut self, spec: &ImageSpec) {
        let hv = self.field(0x8900_0001_0000_0000);
        self.ok(0, Regs { rcx: hv, ..call(Leaf::SysShutdown) });
        assert_eq!(self.install(&image(spec), 1), Answer::Status(Status::SUCCESS));
        self.init_lps();
        self.ok(0, call(Leaf::SysUpdate));
    }
}

/// An image with another handoff version in its sigstruct, signed again.
pub(crate) fn resigned_hv(file: &[u8], hv: u16) -> Vec<u8> {
    let mut image = seam_emu::image::Image::parse(file).expect("a valid file");
    image.sigstruct.module_hv = hv.into();
    image.sign();
    image.to_file()
}
