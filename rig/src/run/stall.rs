//! When a machine counts as hung: by progress and by the CPU time that QEMU used without any, not by the clock alone.
//!
//! A slow or busy host gives QEMU less CPU time and so stretches the budget by itself. A guest that sleeps for ever uses
//! no CPU time; a generous bound on the clock catches it.

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
}

/// CPU time without progress that any machine may use, seconds: firmware, decompression, early boot.
const BASE_CPU_S: u64 = 20;
/// More of it for each vCPU: they take turns on the host's cores.
const PER_VCPU_CPU_MS: u64 = 1000;
/// Host time per CPU time: a sleeping guest, or a host with other work.
const WALL_FACTOR: u64 = 6;
/// Events go on but the agent says nothing.
const ANSWER_FACTOR: u64 = 10;

impl StallBudget {
    /// For a machine with this many vCPUs; `stall_cpu_s` overrides the CPU time.
    pub(crate) fn for_machine(cpus: u32, stall_cpu_s: Option<u32>) -> Self {
        let default_ms = BASE_CPU_S * 1000 + PER_VCPU_CPU_MS * u64::from(cpus);
        let cpu_ms = stall_cpu_s.map_or(default_ms, |s| u64::from(s) * 1000);
        Self { cpu_ms, wall_ms: cpu_ms * WALL_FACTOR, answer_cpu_ms: cpu_ms * ANSWER_FACTOR }
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
    /// Host time so far, milliseconds.
    pub(crate) wall_ms: u64,
}

/// Watches samples for a stall.
#[derive(Clone, Debug)]
pub(crate) struct StallWatch {
    budget: StallBudget,
    last_progress: Sample,
    last_answer: Sample,
}

impl StallWatch {
    /// Starts with nothing seen.
    pub(crate) fn new(budget: StallBudget) -> Self {
        Self { budget, last_progress: Sample::default(), last_answer: Sample::default() }
    }

    /// Takes the next sample; says in one line what the stall is, if there is one.
    pub(crate) fn observe(&mut self, now: Sample) -> Option<String> {
        if now.answers != self.last_answer.answers {
            self.last_answer = now;
        }
        if now.progress != self.last_progress.progress || now.answers != self.last_progress.answers {
            self.last_progress = now;
        }
        let cpu_ms = now.cpu_ms.saturating_sub(self.last_progress.cpu_ms);
        let wall_ms = now.wall_ms.saturating_sub(self.last_progress.wall_ms);
        if cpu_ms >= self.budget.cpu_ms {
            return Some(format!("no progress while QEMU used {} s of CPU time", cpu_ms / 1000));
        }
        if wall_ms >= self.budget.wall_ms {
            return Some(format!("no progress for {} s, and the guest hardly ran", wall_ms / 1000));
        }
        let answer_ms = now.cpu_ms.saturating_sub(self.last_answer.cpu_ms);
        (answer_ms >= self.budget.answer_cpu_ms)
            .then(|| format!("no message from the guest's agent while QEMU used {} s of CPU time", answer_ms / 1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(progress: u64, answers: u64, cpu_s: u64, wall_s: u64) -> Sample {
        Sample { progress, answers, cpu_ms: cpu_s * 1000, wall_ms: wall_s * 1000 }
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
        assert!(watch.observe(sample(5, 1, 13, 8)).unwrap().contains("10 s of CPU time"));
    }

    #[test]
    fn a_starved_machine_does_not_stall_and_a_sleeping_one_does() {
        let mut watch = StallWatch::new(StallBudget::for_machine(4, Some(10)));
        assert_eq!(watch.observe(sample(0, 0, 1, 59)), None);
        assert!(watch.observe(sample(0, 0, 1, 60)).unwrap().contains("hardly ran"));
    }

    #[test]
    fn a_silent_agent_stalls_whatever_else_goes_on() {
        let mut watch = StallWatch::new(StallBudget::for_machine(4, Some(10)));
        for i in 1..100 {
            assert_eq!(watch.observe(sample(i, 1, i, i)), None, "{i}");
        }
        assert!(watch.observe(sample(101, 1, 101, 101)).unwrap().contains("agent"));
    }
}
