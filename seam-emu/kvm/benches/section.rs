//! Figures of the section on vCPUs: `cargo bench -p seam-kvm`. They are of the KVM of this machine.

#[path = "../tests/harness/mod.rs"]
#[allow(dead_code, reason = "the benchmark uses a part of the harness")]
mod harness;

use harness::case::Case;
use harness::walk::{KickedVcpu, Walked, walk};
use hdrhistogram::Histogram;
use kvm_bindings::kvm_regs;
use kvm_ioctls::VcpuFd;
use seam_kvm::{Exception, Exit, KvmVcpu, Vcpu, VcpuError};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const UPDATES: u32 = 200;

fn main() {
    if cfg!(no_kvm) {
        println!("no figures: /dev/kvm cannot be opened");
        return;
    }
    own_time();
    for (lps, updates) in [(1, UPDATES), (2, UPDATES), (4, 50), (16, 5), (56, 2)] {
        let outcome = Case { updates, ..Case::new(lps) }.go().expect("the updates are made");
        assert!(outcome.succeeded(updates as usize) && outcome.broken().is_empty());
        let rate = f64::from(updates) / outcome.took.as_secs_f64();
        let each_ms = outcome.took.as_secs_f64() * 1000.0 / f64::from(updates);
        println!("{lps:>2} vCPUs: {rate:7.1} updates/s, {each_ms:7.2} ms each, lockstep held");
    }
    let began = Instant::now();
    let outcome = Case::new(4).go().expect("the update is made");
    println!(
        "a whole case with 4 vCPUs: {:.1} ms, of which the update {:.1} ms",
        ms(began),
        outcome.took.as_secs_f64() * 1000.0
    );
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// A vCPU that measures the time between two entries, which is this library's own.
struct Timed {
    inner: KvmVcpu<VcpuFd>,
    left: Option<Instant>,
    own_ns: Histogram<u64>,
    entry_ns: Histogram<u64>,
}

impl Vcpu for Timed {
    fn enter(&mut self) -> Result<Exit, VcpuError> {
        if let Some(left) = self.left {
            self.own_ns.saturating_record(left.elapsed().as_nanos() as u64);
        }
        let entered = Instant::now();
        let exit = self.inner.enter();
        self.entry_ns.saturating_record(entered.elapsed().as_nanos() as u64);
        self.left = Some(Instant::now());
        exit
    }
    fn registers(&self) -> kvm_regs {
        self.inner.registers()
    }
    fn set_registers(&mut self, registers: &kvm_regs) {
        self.inner.set_registers(registers);
    }
    fn is_kicked(&self) -> bool {
        self.inner.is_kicked()
    }
    fn complete(&mut self) -> Result<(), VcpuError> {
        self.inner.complete()
    }
    fn raise(&mut self, exception: Exception) -> Result<(), VcpuError> {
        self.inner.raise(exception)
    }
    fn cr4(&self) -> Result<u64, VcpuError> {
        self.inner.cr4()
    }
    fn set_cr4(&mut self, value: u64) -> Result<bool, VcpuError> {
        self.inner.set_cr4(value)
    }
}

impl KickedVcpu for Timed {
    fn take_kick(&self) {
        self.inner.take_kick();
    }
}

fn own_time() {
    let mut prepared = Case::new(1).prepare().expect("there is a machine");
    let histogram = || Histogram::new_with_bounds(1, 1_000_000_000, 3).expect("bounds");
    let inner = prepared.vcpus.remove(0);
    let mut vcpu = Timed { inner, left: None, own_ns: histogram(), entry_ns: histogram() };
    for _ in 0..UPDATES {
        prepared.machine.begin_update();
        prepared.machine.call_section(&mut vcpu, 0);
        vcpu.left = None;
        let walked = walk(&prepared.emulator, 0, &mut vcpu, &AtomicBool::new(false)).expect("it runs").0;
        assert_eq!(walked, Walked::Returned(0));
    }
    let show = |name: &str, h: &Histogram<u64>| {
        let at = |quantile| Duration::from_nanos(h.value_at_quantile(quantile));
        println!("{name}: median {:?}, 90% {:?}, 99% {:?}, {} exits", at(0.5), at(0.9), at(0.99), h.len());
    };
    show("the library's own time per exit", &vcpu.own_ns);
    show("KVM_RUN, entry to exit", &vcpu.entry_ns);
}
