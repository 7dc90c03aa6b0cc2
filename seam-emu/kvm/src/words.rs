//! Accesses to watched words, carried out and recorded.

use crate::emulator::{Emulator, interrupts};
use crate::turn::Turn;
use crate::{Access, Site};
use kvm_bindings::kvm_regs;
use rig_wire::event::{Kind, flags};
use rig_wire::plan::Point;
use std::time::Duration;

/// How long an LP that spins waits for a store before it reads again. It would spin otherwise, and each turn is an
/// exit; while it waits, a kick is not answered.
const SPIN: Duration = Duration::from_millis(1);

/// Carries out the access of this site.
pub(crate) fn serve(emulator: &Emulator, lp: u16, site: &Site, access: &Access, registers: &mut kvm_regs) -> Turn {
    let (load, store) = (Point::Load { watch: access.watch }, Point::Store { watch: access.watch });
    let (loads, stores) = (access.effect.loads(), access.effect.stores());
    if emulator.is_holding() {
        let mut points = vec![Point::Pc { address: site.address }];
        points.extend(emulator.lp(lp).sight.fresh.iter().cloned());
        points.extend(loads.then(|| load.clone()));
        points.extend(stores.then(|| store.clone()));
        if emulator.held_at(lp, &points) {
            return Turn::Wait(0);
        }
    }
    emulator.lp(lp).sight.fresh.clear();
    let pa = emulator.physical(access.address).expect("Emulator::new() looked for the word in the kernel's image");
    let mut words = emulator.words();
    let read = || emulator.ram().load(pa, access.size).expect("Emulator::new() looked for the word in memory");
    let mut word = if loads { read() } else { 0 };
    if loads && !stores && emulator.lp(lp).sight.spins(site.address, access.watch, word) {
        words = emulator.await_store(words, SPIN);
        word = read();
    }
    if loads && emulator.lp(lp).sight.load(access.watch, word) {
        record(emulator, lp, site, access, (word, interrupts(registers)));
    }
    if let Some(value) = access.apply(registers, word) {
        record(emulator, lp, site, access, (value, interrupts(registers) | flags::STORE));
        assert!(emulator.ram().store(pa, access.size, value), "Emulator::new() looked for the word in memory");
        emulator.lp(lp).sight.acts();
        emulator.word_stored();
    }
    drop(words);
    for point in [loads.then_some(load), stores.then_some(store)].into_iter().flatten() {
        emulator.passed(lp, &point);
    }
    Turn::Go
}

fn record(emulator: &Emulator, lp: u16, site: &Site, access: &Access, (value, flags): (u64, u32)) {
    emulator.events().record(lp, Kind::Watch, flags, [access.watch as u64, value, access.address, site.address]);
}
