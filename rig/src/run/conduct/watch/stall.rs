//! When a machine counts as hung: by progress and by the CPU time that QEMU used without any, not by the clock alone.
//!
//! A slow or busy host gives QEMU less CPU time and so stretches the budget by itself. A guest that sleeps for ever uses
//! no CPU time: it is asked what it waits for when its CPUs have slept for a while, and a generous bound on the clock catches what
//! does not answer so. A guest whose CPUs were to run and got no core is no hang of the guest's.

/// How long a machine may make no progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "units come last in names")]
pub(crate) struct StallBudget {
    /// CPU time of QEMU without progress, milliseconds.
    pub(crate) cpu_ms: u64,
    /// Host time without progress, milliseconds.
    pub(crate) wall_ms: u64,
    /// CPU time of QEMU without a message from the agent, whatever else progresses, milliseconds.
    pub(crate) answer_cpu_ms: u64,
    /// Time without progress in which the guest's CPUs sleep, before the guest is asked what it waits for, milliseconds. The
    /// guest's clock goes by the host's.
    pub(crate) sleep_ms: u64,
}

/// CPU time without progress that any machine may use, seconds: firmware, decompression, early boot.
const BASE_CPU_S: u64 = 20;
/// More of it for each vCPU: they take turns on the host's cores.
const PER_VCPU_CPU_MS: u64 = 1000;
/// Host time per CPU time: a sleeping guest, or a host with other work.
const WALL_FACTOR: u64 = 6;
/// Events go on but the agent says nothing.
const ANSWER_FACTOR: u64 = 10;
/// What a guest may sleep before it is asked, milliseconds.
const SLEEP_MS: u64 = 20_000;
/// A guest sleeps when QEMU's threads want less than this share of the time, on one core. Four idle vCPUs whose timers
/// tick were seen to take 0.28; one that spins wants all of it.
const ASLEEP: u64 = 2;
/// A guest is starved when QEMU's threads waited for a core for more than this share of the time.
const STARVED: u64 = 4;

impl StallBudget {
    /// For a machine with this many vCPUs; `stall_cpu_s` overrides the CPU time.
    pub(crate) fn for_machine(cpus: u32, stall_cpu_s: Option<u32>) -> Self {
        let default_ms = BASE_CPU_S * 1000 + PER_VCPU_CPU_MS * u64::from(cpus);
        let cpu_ms = stall_cpu_s.map_or(default_ms, |s| u64::from(s) * 1000);
        let wall_ms = cpu_ms * WALL_FACTOR;
        let patience_ms = stall_cpu_s.map_or(SLEEP_MS, |s| SLEEP_MS.max(u64::from(s) * 1000));
        Self { cpu_ms, wall_ms, answer_cpu_ms: cpu_ms * ANSWER_FACTOR, sleep_ms: patience_ms.min(wall_ms) }
    }

    /// What overrides the CPU time of a boot: a scenario that is impatient is so with its updates, and one that is patient has a slow
    /// machine.
    pub(crate) fn of_boot(cpus: u32, stall_cpu_s: Option<u32>) -> Option<u32> {
        let usual = Self::for_machine(cpus, None);
        stall_cpu_s.filter(|_| Self::for_machine(cpus, stall_cpu_s).cpu_ms > usual.cpu_ms)
    }
}

/// What is known of a machine at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Anything that grows with the guest's progress: events that are not mere waiting, console bytes.
    pub(crate) progress: u64,
    /// Messages of the agent so far.
    pub(crate) answers: u64,
    /// CPU time of QEMU so far, milliseconds.
    pub(crate) cpu_ms: u64,
    /// Time that QEMU's threads have waited for a core so far, milliseconds, all together.
    pub(crate) waited_ms: u64,
    /// Host time so far, milliseconds.
    pub(crate) wall_ms: u64,
}

/// What a lack of progress is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    /// The guest hangs; in one line.
    Hung(String),
    /// The guest's CPUs have slept for so long, milliseconds: it waits for a timer of its own, or for ever.
    Asleep(u64),
    /// The host did not let it run; in one line.
    Starved(String),
}

/// Watches samples for a stall.
#[derive(Clone, Debug)]
pub(crate) struct StallWatch {
    budget: StallBudget,
    last_progress: Sample,
    last_answer: Sample,
    /// When the guest was last asked what it waits for.
    asked_ms: u64,
}

impl StallWatch {
    /// Starts with nothing seen.
    pub(crate) fn new(budget: StallBudget) -> Self {
        Self { budget, last_progress: Sample::default(), last_answer: Sample::default(), asked_ms: 0 }
    }

    /// Takes the next sample; says what the stall is, if there is one.
    pub(crate) fn observe(&mut self, now: Sample) -> Option<Stall> {
        if now.answers != self.last_answer.answers {
            self.last_answer = now;
        }
        if now.progress != self.last_progress.progress || now.answers != self.last_progress.answers {
            self.last_progress = now;
        }
        let cpu_ms = now.cpu_ms.saturating_sub(self.last_progress.cpu_ms);
        let wall_ms = now.wall_ms.saturating_sub(self.last_progress.wall_ms);
        let waited_ms = now.waited_ms.saturating_sub(self.last_progress.waited_ms);
        if cpu_ms >= self.budget.cpu_ms {
            return Some(Stall::Hung(format!("no progress while QEMU used {} s of CPU time", cpu_ms / 1000)));
        }
        if wall_ms >= self.budget.wall_ms {
            let s = wall_ms / 1000;
            return Some(if waited_ms.saturating_mul(STARVED) >= wall_ms {
                Stall::Starved(format!(
                    "no progress for {s} s, in which QEMU's threads waited for a core: the host is too busy"
                ))
            } else {
                Stall::Hung(format!("no progress for {s} s, and the guest hardly ran"))
            });
        }
        if self.sleeps(wall_ms, cpu_ms.saturating_add(waited_ms)) {
            self.asked_ms = now.wall_ms;
            return Some(Stall::Asleep(wall_ms));
        }
        let answer_ms = now.cpu_ms.saturating_sub(self.last_answer.cpu_ms);
        let silent = || format!("no message from the guest's agent while QEMU used {} s of CPU time", answer_ms / 1000);
        (answer_ms >= self.budget.answer_cpu_ms).then(|| Stall::Hung(silent()))
    }

    /// Whether the guest has slept for long since its last progress, and since it was asked; `wanted_ms` is what QEMU's threads ran or
    /// were to run in `wall_ms`.
    fn sleeps(&self, wall_ms: u64, wanted_ms: u64) -> bool {
        let since_asked_ms = self.last_progress.wall_ms.saturating_add(wall_ms).saturating_sub(self.asked_ms);
        wall_ms.min(since_asked_ms) >= self.budget.sleep_ms && wanted_ms.saturating_mul(ASLEEP) < wall_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(progress: u64, answers: u64, cpu_s: u64, wall_s: u64) -> Sample {
        Sample { progress, answers, cpu_ms: cpu_s * 1000, waited_ms: 0, wall_ms: wall_s * 1000 }
    }

    fn hung(stall: Option<Stall>) -> String {
        match stall {
            Some(Stall::Hung(what)) => what,
            other => panic!("no hang: {other:?}"),
        }
    }

    #[test]
    fn budgets_grow_with_vcpus_and_can_be_set() {
        let budget = |cpus, s| StallBudget::for_machine(cpus, s).cpu_ms;
        assert_eq!(budget(4, None), 24_000);
        assert_eq!(budget(64, None), 84_000);
        assert_eq!(budget(64, Some(3)), 3000);
    }

    #[test]
    fn a_boot_may_be_slow_and_need_not_be_quick() {
        assert_eq!(StallBudget::of_boot(4, Some(60)), Some(60));
        assert_eq!(StallBudget::of_boot(4, Some(3)), None);
        assert_eq!(StallBudget::of_boot(4, None), None);
    }

    #[test]
    fn progress_keeps_a_machine_alive() {
        let mut watch = StallWatch::new(StallBudget::for_machine(4, Some(10)));
        for i in 0..11 {
            assert_eq!(watch.observe(sample(i, 0, 9 * i, 9 * i)), None, "{i}");
        }
    }

    #[test]
    fn a_spinning_machine_stalls_by_cpu_time() {
        let mut watch = StallWatch::new(StallBudget::for_machine(4, Some(10)));
        assert_eq!(watch.observe(sample(5, 1, 3, 2)), None);
        assert_eq!(watch.observe(sample(5, 1, 12, 7)), None);
        assert!(hung(watch.observe(sample(5, 1, 13, 8))).contains("10 s of CPU time"));
    }

    #[test]
    fn a_starved_machine_is_not_said_to_hang() {
        let mut watch = StallWatch::new(StallBudget::for_machine(4, Some(10)));
        let starved = |s| Sample { waited_ms: s * 3000, ..sample(0, 0, 1, s) };
        assert_eq!(watch.observe(starved(59)), None);
        assert!(matches!(watch.observe(starved(60)), Some(Stall::Starved(what)) if what.contains("waited for a core")));
    }

    #[test]
    fn a_machine_that_sleeps_is_asked_now_and_then_and_stalls_in_the_end() {
        let mut watch = StallWatch::new(StallBudget::for_machine(4, None));
        assert_eq!(watch.observe(sample(7, 1, 5, 10)), None);
        let asked: Vec<u64> = (11..154).filter(|s| watch.observe(sample(7, 1, 5 + s / 100, *s)).is_some()).collect();
        assert_eq!(asked, [30, 50, 70, 90, 110, 130, 150]);
        assert!(hung(watch.observe(sample(7, 1, 6, 154))).contains("hardly ran"));
    }

    #[test]
    fn a_machine_that_wants_to_run_is_not_asleep() {
        for (cpu_s, waited_s) in [(16, 0), (1, 16)] {
            let mut watch = StallWatch::new(StallBudget::for_machine(4, None));
            let busy = Sample { waited_ms: waited_s * 1000, ..sample(0, 0, cpu_s, 30) };
            assert_eq!(watch.observe(busy), None, "{busy:?}");
        }
    }

    /// As it was seen of four idle vCPUs, of which two tasks waited for each other.
    #[test]
    fn ticking_timers_keep_no_machine_awake() {
        let mut watch = StallWatch::new(StallBudget::for_machine(4, None));
        assert_eq!(watch.observe(sample(0, 0, 8, 30)), Some(Stall::Asleep(30_000)));
    }

    #[test]
    fn patience_with_a_sleeper_follows_the_budget() {
        let sleep_s = |s| StallBudget::for_machine(4, s).sleep_ms / 1000;
        assert_eq!([None, Some(60), Some(5), Some(1)].map(sleep_s), [20, 60, 20, 6]);
    }

    #[test]
    fn a_silent_agent_stalls_whatever_else_goes_on() {
        let mut watch = StallWatch::new(StallBudget::for_machine(4, Some(10)));
        for i in 1..100 {
            assert_eq!(watch.observe(sample(i, 1, i, i)), None, "{i}");
        }
        assert!(hung(watch.observe(sample(101, 1, 101, 101))).contains("agent"));
    }
}
