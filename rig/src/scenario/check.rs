//! Ranges that the types of a scenario cannot say.

use super::{Backend, Budget, Clock, Engine, Moment, Nested, Scenario, Subject, UpdateImage};

/// Most vCPUs of a machine: QEMU's q35 takes 4096, the kernels here are built for fewer, and 512 is what was planned for.
pub const MAX_CPUS: u32 = 512;
const MAX_UPDATES: u32 = 1000;
const MODULE_PAGES: std::ops::RangeInclusive<u32> = 2..=496;
const MEMORY_MIB: std::ops::RangeInclusive<u32> = 256..=65536;

impl Scenario {
    /// Says what is out of range: the key, the value and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        if !is_name(&self.name) {
            return Err(format!("`name` is \"{}\"; it must be 1 to 64 of a-z, 0-9 and '-'", self.name));
        }
        if !(1..=MAX_CPUS).contains(&self.cpus) {
            return Err(format!("`cpus` is {}; it must be 1 to {MAX_CPUS}", self.cpus));
        }
        if self.updates > MAX_UPDATES {
            return Err(format!("`updates` is {}; it must be 0 to {MAX_UPDATES}", self.updates));
        }
        if let Some(mib) = self.memory_mib.filter(|mib| !MEMORY_MIB.contains(mib)) {
            return Err(format!("`memory_mib` is {mib}; it must be {} to {}", MEMORY_MIB.start(), MEMORY_MIB.end()));
        }
        let mut specs = [Some(&self.module), self.image.spec.as_ref()].into_iter().flatten().chain(&self.image.modules);
        if let Some(spec) = specs.find(|spec| !MODULE_PAGES.contains(&spec.module_pages)) {
            return Err(format!("`module_pages` is {}; it must be 2 to 496", spec.module_pages));
        }
        self.image.check(self.updates)?;
        if self.engine.is_some_and(|engine| engine != Engine::StopMachine) && self.twin.is_some() {
            return Err("`twin` is an error of the engine `stop-machine`: leave out one of `engine` and `twin`".into());
        }
        if self.subject != Subject::Kmod && (self.ack.is_some() || self.engine.is_some() || self.twin.is_some()) {
            return Err(
                "`ack`, `engine` and `twin` choose between variants of the update kernel module: set `subject` to \"kmod\""
                    .into(),
            );
        }
        self.nested.iter().try_for_each(Nested::check)?;
        if let (Backend::Kvm | Backend::TcgShim, Some(why)) = (self.backend, self.needs_plugin()) {
            return Err(match self.subject {
                Subject::InTree => format!("{why}: set `subject` to \"kmod\", or `backend` to \"tcg\""),
                Subject::Kmod => format!("{why}: set `backend` to \"tcg\""),
            });
        }
        if let Some(tds) = &self.tds {
            tds.check()?;
            if self.subject != super::Subject::InTree {
                return Err("`tds` are run by KVM, which takes the TDX module from the in-tree subject only".into());
            }
        }
        self.check_kernel()?;
        if self.subject != Subject::Kmod && !self.module_parameters.is_empty() {
            return Err("`module_parameters` go to the update kernel module: set `subject` to \"kmod\"".into());
        }
        if self.kernel_arguments.contains(['\n', '\0']) {
            return Err("`kernel_arguments` must be one line".into());
        }
        self.budget.check()?;
        self.check_switches()?;
        self.faults.iter().try_for_each(|fault| fault.check(self.cpus))?;
        super::hw::check(&self.hw, self.updates)?;
        super::client::check(self.userspace.as_ref(), &self.clients, self.updates)?;
        if !self.hw.is_empty() && !self.clients.is_empty() {
            return Err("`hw` and `client` both make the updates: leave out one of the two".into());
        }
        self.check_clock()?;
        self.holds.iter().try_for_each(|hold| hold.check(self.cpus, self.updates))?;
        self.expect.check(self.updates, self.keep_going)
    }
}

impl Scenario {
    fn check_switches(&self) -> Result<(), String> {
        if let Some(switch) = self.switches.iter().find(|switch| !(1..self.cpus).contains(&switch.cpu)) {
            return Err(format!(
                "`switch.cpu` is {}; with {} CPUs it must be 1 to {}",
                switch.cpu,
                self.cpus,
                self.cpus - 1
            ));
        }
        if self.updates == 0 && self.switches.iter().any(|switch| switch.when.is_in_update()) {
            return Err("`switch.when` is in an update, but `updates` is 0: there is none in which to switch".into());
        }
        if self.holds.is_empty() && self.switches.iter().any(|switch| switch.when == Moment::Held) {
            return Err("`switch.when` is \"held\", but no `[[hold]]` says which CPU is held".into());
        }
        Ok(())
    }

    /// What cannot be repeated bit for bit.
    fn check_clock(&self) -> Result<(), String> {
        if self.clock == Clock::Parallel {
            return Ok(());
        }
        let refuse = |why: &str| Err(format!("`clock` is \"deterministic\", but {why}"));
        if !self.during.is_empty() || self.switches.iter().any(|switch| switch.when.is_in_update()) {
            return refuse("`during` acts on the guest from the host while an update runs; leave out one of the two");
        }
        if !matches!(self.backend, Backend::Auto | Backend::Tcg) {
            return refuse("only QEMU's TCG counts instructions; set `backend` to \"tcg\"");
        }
        Ok(())
    }
}

impl Budget {
    fn check(self) -> Result<(), String> {
        let Self { stall_cpu_s, stall_guest_us, evidence_mb, total_s } = self;
        let budgets = [("stall_guest_us", stall_guest_us), ("evidence_mb", evidence_mb), ("total_s", total_s)];
        for (key, amount) in budgets.into_iter().chain([("stall_cpu_s", stall_cpu_s)]) {
            if amount == Some(0) {
                return Err(format!("`budget.{key}` is 0; it must be at least 1"));
            }
        }
        Ok(())
    }
}

impl UpdateImage {
    /// `updates`: how many the scenario makes itself; 0 if others do.
    fn check(&self, updates: u32) -> Result<(), String> {
        let made = self.mutation.is_some() || self.spec.is_some() || !self.modules.is_empty();
        if self.file.is_some() && made {
            let others = "leave out `image.mutation`, `image.spec` and `image.modules`";
            return Err(format!("`image.file` is uploaded as it is; {others}"));
        }
        if self.spec.is_some() && !self.modules.is_empty() {
            return Err(
                "`image.spec` and `image.modules` both say what the updates bring: leave out one of the two".into()
            );
        }
        let named = self.modules.len();
        if named != 0 && updates != 0 && named != updates as usize {
            return Err(format!("`image.modules` has {named} modules for {updates} updates: name one for each"));
        }
        Ok(())
    }
}

impl Nested {
    fn check(&self) -> Result<(), String> {
        for inner in &self.scenarios {
            if inner.nested.is_some() || inner.backend != Backend::Kvm {
                return Err(format!("`nested.scenarios` has {}, which must be for the backend \"kvm\"", inner.name));
            }
            inner.check().map_err(|cause| format!("`nested.scenarios`: {}: {cause}", inner.name))?;
        }
        let is_one = |name: &String| self.scenarios.iter().any(|inner| inner.name == *name);
        match self.warm.iter().chain(self.held.keys()).find(|name| !is_one(name)) {
            Some(name) => {
                Err(format!("`nested.warm` or `nested.held` names {name}, which is none of `nested.scenarios`"))
            }
            None => Ok(()),
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Ack, CpuState, CpuSwitch, Engine, Moment, Twin};
    use seam_emu::Generation;
    use seam_emu::image::{ImageSpec, Mutation};
    use std::collections::BTreeMap;

    fn with(change: impl FnOnce(&mut Scenario)) -> Result<(), String> {
        let mut scenario = Scenario::default();
        change(&mut scenario);
        scenario.check()
    }

    fn switch(cpu: u32) -> CpuSwitch {
        CpuSwitch { cpu, to: CpuState::Offline, when: Moment::Before, errno: None }
    }

    #[test]
    fn each_update_has_its_module_or_none_has() {
        let modules = || vec![ImageSpec::of(Generation::V1_5_16), ImageSpec::of(Generation::V1_5_25)];
        assert_eq!(with(|s| (s.updates, s.image.modules) = (2, modules())), Ok(()));
        let one = with(|s| s.image.modules = modules()).unwrap_err();
        assert!(one.contains("has 2 modules for 1 updates"), "{one}");
        let twice = with(|s| (s.updates, s.image.modules, s.image.spec) = (2, modules(), Some(ImageSpec::default())));
        assert!(twice.unwrap_err().contains("`image.spec` and `image.modules`"));
        let given = with(|s| (s.updates, s.image.modules, s.image.file) = (2, modules(), Some("x".into())));
        assert!(given.unwrap_err().contains("`image.file` is uploaded as it is"));
    }

    #[test]
    fn can_have_any_number_of_cpus_in_range() {
        assert_eq!(with(|s| s.cpus = 1), Ok(()));
        assert_eq!(with(|s| s.cpus = MAX_CPUS), Ok(()));
        assert_eq!(with(|s| s.updates = 0), Ok(()));
        assert_eq!(with(|s| s.switches = vec![switch(1), switch(3)]), Ok(()));
    }

    #[test]
    fn cannot_ask_for_nested_scenarios_that_are_not_there() {
        let nested = |warm: &str, backend| Nested {
            kernel: "debian:7.3".into(),
            doctor: false,
            warm: vec![warm.into()],
            held: BTreeMap::new(),
            scenarios: vec![Scenario { subject: Subject::Kmod, backend, ..Scenario::default() }],
        };
        assert_eq!(nested("plain", Backend::Kvm).check(), Ok(()));
        assert!(nested("plan", Backend::Kvm).check().unwrap_err().contains("plan"));
        assert!(nested("plain", Backend::Tcg).check().unwrap_err().contains("kvm"));
    }

    #[test]
    fn cannot_leave_the_ranges() {
        let both = UpdateImage { file: Some("x".into()), mutation: Some(Mutation::Hash), ..UpdateImage::default() };
        for (broken, key) in [
            (with(|s| s.cpus = 0), "`cpus`"),
            (with(|s| s.cpus = MAX_CPUS + 1), "`cpus`"),
            (with(|s| s.updates = 1001), "`updates`"),
            (with(|s| s.memory_mib = Some(16)), "`memory_mib`"),
            (with(|s| s.name = "../x".into()), "`name`"),
            (with(|s| s.name = String::new()), "`name`"),
            (with(|s| s.module.module_pages = 1), "`module_pages`"),
            (with(|s| s.image = both.clone()), "`image.file`"),
            (with(|s| s.kernel_arguments = "a\nb".into()), "`kernel_arguments`"),
            (with(|s| s.budget.stall_cpu_s = Some(0)), "`budget.stall_cpu_s`"),
            (with(|s| s.budget.total_s = Some(0)), "`budget.total_s`"),
            (with(|s| s.switches = vec![switch(0)]), "`switch.cpu`"),
            (with(|s| s.switches = vec![switch(4)]), "`switch.cpu`"),
            (
                with(|s| (s.updates, s.switches) = (0, vec![CpuSwitch { when: Moment::During, ..switch(1) }])),
                "`switch.when`",
            ),
            (with(|s| s.switches = vec![CpuSwitch { when: Moment::Held, ..switch(1) }]), "`[[hold]]`"),
            (with(|s| s.kernel = Some("debian:6.12".into())), "`subject`"),
            (with(|s| s.ack = Some(Ack::Atomic)), "`ack`"),
            (with(|s| s.backend = Backend::Kvm), "in-tree"),
            (with(|s| (s.backend, s.subject, s.clock) = (Backend::Kvm, Subject::Kmod, Clock::Deterministic)), "clock"),
            (with(|s| (s.backend, s.subject) = (Backend::Kvm, Subject::Kmod)).and(Err("fine".into())), "fine"),
            (with(|s| s.engine = Some(Engine::Kick)), "`engine`"),
            (with(|s| s.twin = Some(Twin::LostAck)), "`twin`"),
            (with(|s| (s.engine, s.twin) = (Some(Engine::Kick), Some(Twin::LostAck))), "`twin`"),
            (with(|s| s.module_parameters = "ack=lock".into()), "`module_parameters`"),
            (with(|s| s.expect.broken = vec![rig_judge::Invariant::Lockstep]), "`expect.broken`"),
        ] {
            assert!(broken.as_ref().is_err_and(|e| e.contains(key)), "{key}: {broken:?}");
        }
    }
}
