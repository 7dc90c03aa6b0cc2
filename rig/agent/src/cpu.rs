//! On which CPU a thread runs.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::fs;

/// CPUs that are online now, in order of their numbers.
pub(crate) fn online() -> Result<Vec<usize>, String> {
    let allowed = sched_getaffinity(Pid::from_raw(1)).or_else(|_| sched_getaffinity(Pid::from_raw(0)));
    let allowed = allowed.map_err(|e| format!("ask for the CPUs: {}", e.desc()))?;
    Ok((0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect())
}

/// Binds the calling thread to a CPU; it runs there when this returns.
pub(crate) fn bind(cpu: usize) -> Result<(), String> {
    let mut set = CpuSet::new();
    let bound = set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    bound.map_err(|e| format!("bind a thread to CPU {cpu}: {}", e.desc()))
}

/// One CPU of each package, the lowest of those given.
pub(crate) fn one_per_package(cpus: &[usize]) -> Vec<usize> {
    let mut known = Vec::new();
    let first = |cpu: &&usize| {
        let package = package(**cpu);
        let new = !known.contains(&package);
        known.push(package);
        new
    };
    cpus.iter().filter(first).copied().collect()
}

/// The package of a CPU; where the kernel does not say, it is package 0.
fn package(cpu: usize) -> u32 {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id");
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_bind_to_each_cpu_that_is_there() {
        let cpus = online().unwrap();
        assert!(!cpus.is_empty());
        // In a thread of its own: the test's thread keeps its freedom.
        std::thread::spawn(move || cpus.iter().for_each(|cpu| bind(*cpu).unwrap())).join().unwrap();
    }

    #[test]
    fn cannot_bind_to_a_cpu_that_is_not_there() {
        assert!(bind(CpuSet::count() - 1).unwrap_err().contains("bind"));
    }

    #[test]
    fn every_package_has_one_cpu() {
        let cpus = online().unwrap();
        let chosen = one_per_package(&cpus);
        assert_eq!(chosen.first(), cpus.first());
        assert!(chosen.len() <= cpus.len());
    }
}
