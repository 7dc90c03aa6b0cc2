//! What a generator knows of the module's state, from the answers that it saw.

use crate::compare::{Answer, Step};
use crate::platform::Topology;
use seam_emu::Regs;
use seam_emu::abi::{Leaf, Status};
use std::collections::BTreeSet;

/// How far the module is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before TDH.SYS.INIT.
    #[default]
    Loaded,
    /// Before all LPs are initialised.
    Initialized,
    /// All LPs are: TDH.SYS.CONFIG, or TDH.SYS.UPDATE, comes next.
    LpsInitialized,
    /// Before the global key is on all packages.
    Configured,
    Ready,
    ShutDown,
}

/// How far a TD is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It has a TDR and a KeyID.
    Created,
    /// Its key is on all packages; it lacks control pages.
    Keyed,
    /// It has its control pages.
    Allocated,
    /// It has parameters.
    Initialized,
    /// Its measurement is final.
    Runnable,
    /// TDH.MNG.VPFLUSHDONE was called.
    Flushed,
    /// It has no KeyID.
    Teardown,
}

/// A vCPU.
#[derive(Clone, Debug)]
pub(super) struct VcpuView {
    pub(super) tdvpr: u64,
    /// TDH.VP.INIT was called.
    pub(super) initialized: bool,
    /// TDH.VP.ADDCX found it complete.
    pub(super) complete: bool,
    /// The LP that it was last used on.
    pub(super) lp: usize,
}

/// A TD.
#[derive(Clone, Debug)]
pub(super) struct TdView {
    pub(super) tdr: u64,
    pub(super) stage: Stage,
    /// Packages that have its key.
    pub(super) keyed: BTreeSet<u32>,
    pub(super) vcpus: Vec<VcpuView>,
    /// Pages that it took besides its TDR.
    pub(super) pages: Vec<u64>,
    /// Lowest level for which it has a table.
    pub(super) table_level: u64,
    /// Guest pages that were added.
    pub(super) mapped: Vec<u64>,
}

/// What is known.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) phase: Phase,
    pub(super) lps_initialized: BTreeSet<usize>,
    pub(super) packages_keyed: BTreeSet<u32>,
    /// A module was installed over one that had been shut down.
    pub(super) updating: bool,
    /// The TDMR is initialised.
    pub(super) tdmr_ready: bool,
    pub(super) tds: Vec<TdView>,
    /// Fields that TDH.SYS.RD told of, one after the other.
    pub(super) next_field: u64,
}

impl View {
    /// Learns from a step and the module's answer.
    pub(super) fn learn(&mut self, step: &Step, answer: &Answer, topology: Topology) {
        match (step, answer) {
            (Step::Install, Answer::Installed) => {
                self.phase = Phase::Loaded;
                self.updating = true;
                self.lps_initialized.clear();
            }
            (Step::InitializeTdmr { base, .. }, Answer::Returned(after)) => self.tdmr_ready = after.rdx > *base,
            (Step::Call { lp, regs }, Answer::Returned(after)) => {
                let Some(leaf) = step.leaf() else { return };
                if after.rax >> 32 == Status::TDCX_NUM_INCORRECT.0 >> 32 {
                    self.complete(leaf, regs);
                }
                // The "informational" bits of a success.
                if after.rax >> 62 == 0 || leaf == Leaf::SysRd {
                    self.succeed(leaf, regs, after, *lp, topology);
                }
            }
            _ => {}
        }
    }

    /// TDH.MNG.ADDCX or TDH.VP.ADDCX found that no more page is needed.
    fn complete(&mut self, leaf: Leaf, regs: &Regs) {
        match leaf {
            Leaf::MngAddcx => {
                if let Some(td) = self.td(regs.rdx)
                    && td.stage == Stage::Keyed
                {
                    td.stage = Stage::Allocated;
                }
            }
            Leaf::VpAddcx => {
                if let Some(vcpu) = self.vcpu(regs.rdx) {
                    vcpu.complete = true;
                }
            }
            _ => {}
        }
    }

    pub(super) fn td(&mut self, tdr: u64) -> Option<&mut TdView> {
        self.tds.iter_mut().find(|td| td.tdr == tdr)
    }

    fn vcpu(&mut self, tdvpr: u64) -> Option<&mut VcpuView> {
        self.tds.iter_mut().flat_map(|td| &mut td.vcpus).find(|vcpu| vcpu.tdvpr == tdvpr)
    }

    fn succeed(&mut self, leaf: Leaf, regs: &Regs, after: &Regs, lp: usize, topology: Topology) {
        let package = lp as u32 / topology.lps_per_package;
        match leaf {
            Leaf::SysInit => self.phase = Phase::Initialized,
            Leaf::SysLpInit => {
                self.lps_initialized.insert(lp);
                if self.lps_initialized.len() == topology.lps() && self.phase == Phase::Initialized {
                    self.phase = Phase::LpsInitialized;
                }
            }
            Leaf::SysConfig => {
                (self.phase, self.tdmr_ready) = (Phase::Configured, false);
                self.packages_keyed.clear();
                self.tds.clear();
                self.updating = false;
            }
            Leaf::SysKeyConfig => {
                self.packages_keyed.insert(package);
                if self.packages_keyed.len() as u32 == topology.packages {
                    self.phase = Phase::Ready;
                }
            }
            Leaf::SysShutdown => self.phase = Phase::ShutDown,
            Leaf::SysUpdate => (self.phase, self.updating) = (Phase::Ready, false),
            Leaf::SysRd => self.next_field = after.rdx,
            _ => self.td_succeeds(leaf, regs, lp, topology),
        }
    }

    fn td_succeeds(&mut self, leaf: Leaf, regs: &Regs, lp: usize, topology: Topology) {
        if leaf == Leaf::MngCreate {
            self.tds.push(TdView {
                tdr: regs.rcx,
                stage: Stage::Created,
                keyed: BTreeSet::new(),
                vcpus: Vec::new(),
                pages: Vec::new(),
                table_level: 4,
                mapped: Vec::new(),
            });
            return;
        }
        if let (Leaf::VpInit | Leaf::VpEnter | Leaf::VpRd | Leaf::VpWr, Some(vcpu)) = (leaf, self.vcpu(regs.rcx)) {
            vcpu.initialized |= leaf == Leaf::VpInit;
            vcpu.lp = lp;
            return;
        }
        if leaf == Leaf::PhymemPageReclaim {
            self.tds.retain(|td| td.tdr != regs.rcx);
            self.tds.iter_mut().for_each(|td| td.pages.retain(|page| *page != regs.rcx));
            return;
        }
        if leaf == Leaf::VpAddcx {
            if let Some(td) = self.tds.iter_mut().find(|td| td.vcpus.iter().any(|vcpu| vcpu.tdvpr == regs.rdx)) {
                td.pages.push(regs.rcx);
            }
            return;
        }
        let by_rcx = matches!(
            leaf,
            Leaf::MngKeyConfig | Leaf::MngInit | Leaf::MrFinalize | Leaf::MngVpflushdone | Leaf::MngKeyFreeid
        );
        if let Some(td) = self.td(if by_rcx { regs.rcx } else { regs.rdx }) {
            td.succeed(leaf, regs, lp as u32 / topology.lps_per_package, topology.packages);
        }
    }
}

impl TdView {
    /// A leaf that names this TD succeeded.
    fn succeed(&mut self, leaf: Leaf, regs: &Regs, package: u32, packages: u32) {
        match leaf {
            Leaf::MngKeyConfig => {
                self.keyed.insert(package);
                if self.keyed.len() as u32 == packages {
                    self.stage = Stage::Keyed;
                }
            }
            Leaf::MngAddcx => self.pages.push(regs.rcx),
            Leaf::MngInit => self.stage = Stage::Initialized,
            Leaf::VpCreate => {
                self.pages.push(regs.rcx);
                self.vcpus.push(VcpuView { tdvpr: regs.rcx, initialized: false, complete: false, lp: 0 });
            }
            Leaf::MemSeptAdd => {
                self.pages.push(regs.r8);
                self.table_level = self.table_level.min(regs.rcx & 7);
            }
            Leaf::MemPageAdd | Leaf::MemPageAug => {
                self.pages.push(regs.r8);
                self.mapped.push(regs.rcx & !0xFFF);
            }
            Leaf::MrFinalize => self.stage = Stage::Runnable,
            Leaf::MngVpflushdone => self.stage = Stage::Flushed,
            Leaf::MngKeyFreeid => self.stage = Stage::Teardown,
            _ => {}
        }
    }
}
