//! A TD as a VMM builds it.

use super::{Answer, Machine, call};
use seam_emu::Regs;
use seam_emu::abi::td_params::TdParams;
use seam_emu::abi::{Leaf, Status};
use seam_emu::script::Script;
use zerocopy::FromZeros;

/// Where the test VMM takes pages from, and where it keeps parameters and page contents.
pub(crate) const POOL: u64 = 0x3000_0000;
/// Where it takes large pages from.
pub(crate) const LARGE: u64 = 0x4000_0000;
pub(crate) const TD_PARAMS: u64 = 0x50_0000;
pub(crate) const SOURCE: u64 = 0x51_0000;
/// Where scripts are loaded in a TD.
pub(crate) const SCRIPT_GPA: u64 = 0x10_0000;

/// A TD's pages.
#[derive(Clone, Debug)]
pub(crate) struct Td {
    pub(crate) tdr: u64,
    pub(crate) keyid: u64,
    pub(crate) vcpus: Vec<u64>,
    next_page: u64,
    pub(crate) first_page: u64,
}

impl Td {
    /// A fresh page.
    pub(crate) fn page(&mut self) -> u64 {
        self.next_page += 4096;
        self.next_page - 4096
    }

    /// Every page that the TD took.
    pub(crate) fn pages(&self) -> impl Iterator<Item = u64> {
        (self.first_page..self.next_page).step_by(4096)
    }
}

/// Parameters that the module takes.
pub(crate) fn params() -> TdParams {
    let mut params = TdParams::new_zeroed();
    params.attributes = 1 << 28;
    params.xfam = 3;
    params.max_vcpus = 4;
    params.eptp_controls = 6 | 3 << 3;
    params.config_flags = 0b100;
    params.tsc_frequency = 100;
    params
}

impl Machine {
    /// A TD that runs this on two virtual CPUs, one that is being built and one without keys, so that random calls find
    /// something to work on.
    pub(crate) fn tds_in_every_stage(&mut self, script: &Script) {
        self.td(0, &[0, 1], script);
        let mut building = self.td_initialized(&params(), 1);
        self.td_tables(&mut building);
        self.td_create(2);
    }

    /// MNG.CREATE with the `n`th TD KeyID.
    pub(crate) fn td_create(&mut self, n: u64) -> Td {
        let first_page = POOL + n * 0x10_0000;
        let mut td = Td {
            tdr: first_page,
            keyid: super::GLOBAL_KEYID + 1 + n,
            vcpus: Vec::new(),
            next_page: first_page,
            first_page,
        };
        td.page();
        self.ok(0, Regs { rcx: td.tdr, rdx: td.keyid, ..call(Leaf::MngCreate) });
        td
    }

    /// A TD just after MNG.INIT with these parameters.
    pub(crate) fn td_initialized(&mut self, params: &TdParams, n: u64) -> Td {
        let mut td = self.td_create(n);
        self.td_keys(&mut td);
        let init = self.td_init_call(&td, params);
        self.ok(0, init);
        td
    }

    /// MNG.KEY.CONFIG on each package and all MNG.ADDCX.
    pub(crate) fn td_keys(&mut self, td: &mut Td) {
        let lps = self.firmware.config().lps.clone();
        for package in 0..self.firmware.config().packages() {
            let lp = lps.iter().position(|lp| lp.package == package).expect("validated");
            self.ok(lp, Regs { rcx: td.tdr, ..call(Leaf::MngKeyConfig) });
        }
        for _ in 0..self.field(0x9800_0001_0000_0100) / 4096 {
            self.ok(0, Regs { rcx: td.page(), rdx: td.tdr, ..call(Leaf::MngAddcx) });
        }
    }

    /// Operands of MNG.INIT.
    pub(crate) fn td_init_call(&mut self, td: &Td, params: &TdParams) -> Regs {
        self.put(TD_PARAMS, params);
        Regs { rcx: td.tdr, rdx: TD_PARAMS, ..call(Leaf::MngInit) }
    }

    /// A vCPU on LP `lp` that begins at [`SCRIPT_GPA`].
    pub(crate) fn td_vcpu(&mut self, td: &mut Td, lp: usize) {
        let tdvpr = td.page();
        self.ok(lp, Regs { rcx: tdvpr, rdx: td.tdr, ..call(Leaf::VpCreate) });
        for _ in 1..self.field(0x9800_0001_0000_0200) / 4096 {
            self.ok(lp, Regs { rcx: td.page(), rdx: tdvpr, ..call(Leaf::VpAddcx) });
        }
        let apic_id = td.vcpus.len() as u64;
        let init = Leaf::VpInit.number() | 1 << 16;
        self.ok(lp, Regs { rax: init, rcx: tdvpr, rdx: SCRIPT_GPA, r8: apic_id, ..Regs::default() });
        td.vcpus.push(tdvpr);
    }

    /// Secure EPT tables for the first 2 MB.
    pub(crate) fn td_tables(&mut self, td: &mut Td) {
        for level in (1..=3).rev() {
            self.ok(0, Regs { rcx: level, rdx: td.tdr, r8: td.page(), ..call(Leaf::MemSeptAdd) });
        }
    }

    /// PAGE.ADD and MR.EXTEND of whole pages.
    pub(crate) fn td_load(&mut self, td: &mut Td, gpa: u64, bytes: &[u8]) {
        use seam_emu::GuestMemory;
        for (i, page) in bytes.chunks(4096).enumerate() {
            let gpa = gpa + 4096 * i as u64;
            self.memory.write(SOURCE, page).expect("RAM");
            self.ok(0, Regs { rcx: gpa, rdx: td.tdr, r8: td.page(), r9: SOURCE, ..call(Leaf::MemPageAdd) });
            for offset in (0..4096).step_by(256) {
                self.ok(0, Regs { rcx: gpa + offset, rdx: td.tdr, ..call(Leaf::MrExtend) });
            }
        }
    }

    /// A finished TD with one vCPU per given LP that runs a script.
    pub(crate) fn td(&mut self, n: u64, lps: &[usize], script: &Script) -> Td {
        self.td_with(&params(), n, lps, script)
    }

    /// The same with other parameters of MNG.INIT.
    pub(crate) fn td_with(&mut self, params: &TdParams, n: u64, lps: &[usize], script: &Script) -> Td {
        self.td_of(params, n, lps, &script.to_pages())
    }

    /// The same with other contents at [`SCRIPT_GPA`].
    pub(crate) fn td_of(&mut self, params: &TdParams, n: u64, lps: &[usize], contents: &[u8]) -> Td {
        let mut td = self.td_initialized(params, n);
        for &lp in lps {
            self.td_vcpu(&mut td, lp);
        }
        self.td_tables(&mut td);
        self.td_load(&mut td, SCRIPT_GPA, contents);
        self.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MrFinalize) });
        td
    }

    /// VP.ENTER; RAX says why the vCPU left.
    pub(crate) fn enter(&mut self, td: &Td, vcpu: usize, lp: usize) -> u64 {
        match self.call(lp, Regs { rcx: td.vcpus[vcpu], ..call(Leaf::VpEnter) }) {
            Answer::Status(status) => status.0,
            other => panic!("VP.ENTER: {other:?}"),
        }
    }

    /// Ends a TD whose vCPUs are on the given LPs and gives all its pages back.
    pub(crate) fn td_destroy(&mut self, td: &Td, lps: &[usize]) {
        for (tdvpr, lp) in td.vcpus.iter().zip(lps) {
            self.ok(*lp, Regs { rcx: *tdvpr, ..call(Leaf::VpFlush) });
        }
        self.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngVpflushdone) });
        self.td_wb_all();
        self.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngKeyFreeid) });
        for page in td.pages().filter(|page| *page != td.tdr) {
            self.ok(0, Regs { rcx: page, ..call(Leaf::PhymemPageReclaim) });
        }
        self.ok(0, Regs { rcx: td.tdr, ..call(Leaf::PhymemPageReclaim) });
    }

    /// CACHE.WB on each package.
    pub(crate) fn td_wb_all(&mut self) {
        let lps = self.firmware.config().lps.clone();
        for package in 0..self.firmware.config().packages() {
            let lp = lps.iter().position(|lp| lp.package == package).expect("validated");
            assert_eq!(self.call(lp, call(Leaf::PhymemCacheWb)), Answer::Status(Status::SUCCESS));
        }
    }
}
