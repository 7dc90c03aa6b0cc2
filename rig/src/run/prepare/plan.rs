//! From a scenario to the plan for the emulator and the setup of the judge.

use super::holds;
use crate::machine::command::{CPUID_1_EAX, PHYSICAL_ADDRESS_BITS};
use crate::machine::memory;
use crate::scenario::{Ack, Clock, Engine, FaultSpec, Scenario, Subject};
use crate::symbols::{Observation, Symbols};
use crate::trouble::Trouble;
use rig_judge::{Invariant, Setup, SubjectNames};
use rig_wire::plan::{Hold, PLAN_VERSION, PhysicalRange, Plan, Shortcuts, hardirq_mask};
use seam_emu::Config;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Guest time without progress inside the update that counts as a hang, nanoseconds: some 50 million instructions.
const STALL_NS: u64 = 100_000_000;

/// Why some is not seen of an engine that only calls CPUs.
const NO_STATE: &str = "the engine `notifier` keeps no state in memory: its steps are judged by their SEAMCALLs";

/// Files that a plan names.
#[derive(Clone, Debug)]
pub(crate) struct PlanFiles {
    /// The module image that is loaded when the machine starts.
    pub(crate) module_image: PathBuf,
    /// The event ring.
    pub(crate) ring: PathBuf,
    /// The control socket.
    pub(crate) control: PathBuf,
    /// The agent's socket.
    pub(crate) agent: PathBuf,
}

/// The plan for a scenario on a host with this many cores.
pub(crate) fn plan(
    scenario: &Scenario,
    observation: &Observation,
    (release, schedules): (&str, Vec<Vec<Hold>>),
    files: PlanFiles,
    host_cores: usize,
) -> Result<Plan<Config>, Trouble> {
    let install_function = names(scenario, observation).install_function;
    let deterministic = scenario.clock == Clock::Deterministic;
    let counts_instructions = holds::count_instructions(&schedules);
    Ok(Plan {
        version: PLAN_VERSION,
        firmware: firmware(scenario)?,
        module_image: files.module_image,
        ring: Some(files.ring),
        control: Some(files.control),
        exchange: deterministic.then_some(files.agent),
        stall_ns: deterministic.then(|| stall_ns(scenario, &schedules)),
        restore: None,
        deterministic,
        yield_at_pause: !deterministic && scenario.cpus as usize > host_cores,
        watches: observation.watches.clone(),
        functions: observation.functions.clone(),
        seamret_keeps_vmcs: !scenario.platform.seamret_clears_vmcs,
        schedules,
        update_function: observation.functions.iter().position(|f| f.name == install_function),
        counts_instructions,
        preempt_count_offset: observation.preempt_count_offset,
        hardirq_mask: hardirq_mask(release),
        shortcuts: None,
        instruction_log: None,
    })
}

/// What makes QEMU 11.1 quicker with this kernel on so many vCPUs. All their ticks together are as many as eight vCPUs have.
pub(crate) fn shortcuts(symbols: &Symbols, cpus: u32) -> Shortcuts {
    let code = [("_text", "_etext"), ("_sinittext", "_einittext")];
    let code = code.into_iter().filter_map(|ends| kernel_code(symbols, ends)).collect();
    Shortcuts { code, tick_stretch: (cpus / 8).max(1) }
}

/// Where a kernel that is not moved (`nokaslr`) has its code between two symbols: `__START_KERNEL_map` of
/// `arch/x86/include/asm/page_64_types.h` is guest-physical address 0.
fn kernel_code(symbols: &Symbols, (start, end): (&str, &str)) -> Option<PhysicalRange> {
    const START_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
    const PAGE: u64 = 4096;
    let [start, end] = [start, end].map(|name| symbols.address(name)?.checked_sub(START_KERNEL_MAP));
    let (start, end) = (start?.next_multiple_of(PAGE), end? / PAGE * PAGE);
    end.checked_sub(start).filter(|length| *length > 0).map(|length| PhysicalRange { start, length })
}

/// Guest time for which the update's code may spin for nothing: far longer than it takes for anything but what the scenario
/// itself prolongs.
fn stall_ns(scenario: &Scenario, schedules: &[Vec<Hold>]) -> u64 {
    let durations = &scenario.platform.durations;
    let longest_call = durations.leaf_ns.values().copied().chain([durations.default_ns]).max().unwrap_or(0);
    let longest_hold = schedules.iter().flatten().map(|hold| hold.limit_ns).max().unwrap_or(0);
    scenario.budget.stall_guest_us.map_or(STALL_NS, |us| u64::from(us) * 1000) + longest_call + longest_hold
}

/// The emulated platform: one package, APIC ids as QEMU gives them to one socket.
fn firmware(scenario: &Scenario) -> Result<Config, Trouble> {
    let default = Config::for_lps(scenario.cpus as usize);
    let enough = default.remaining_updates.max(scenario.updates);
    let config = Config {
        memory: memory::convertible(scenario.memory_mib()),
        remaining_updates: scenario.platform.remaining_updates.unwrap_or(enough),
        cpuid_1_eax: CPUID_1_EAX,
        physical_address_bits: PHYSICAL_ADDRESS_BITS,
        faults: scenario.faults.iter().map(FaultSpec::to_fault).collect(),
        durations: scenario.platform.durations.clone(),
        machine_code: scenario.has_machine_code(),
        tdx_keyids: scenario.platform.tdx_keyids.unwrap_or(default.tdx_keyids),
        ..default
    };
    let help = "change the scenario so that it describes a platform that can exist";
    config.validate().map_err(|e| Trouble::usage(format!("the scenario's platform: {e}"), help))?;
    Ok(config)
}

/// The setup of the judge.
pub(crate) fn setup(scenario: &Scenario, observation: &Observation) -> Setup {
    let lps = u16::try_from(scenario.cpus).expect("scenarios have at most 512 CPUs");
    let names = names(scenario, observation);
    // They are recorded from the first instruction on, at which only the boot CPU runs.
    let knows_online = observation.functions.iter().any(|function| function.name == names.set_online_function);
    Setup {
        online: if knows_online { vec![0] } else { (0..lps).collect() },
        knows_online,
        watches: observation.watches.clone(),
        functions: observation.functions.clone(),
        expected_console: scenario.expect.allowed_lines(),
        load: scenario.load_demands(),
        unobservable: if calls_cpus(scenario) { stateless() } else { observation.unobservable.clone() },
        ..Setup::new(lps, names)
    }
}

/// Whether the update's engine keeps no state in memory.
fn calls_cpus(scenario: &Scenario) -> bool {
    scenario.engine == Some(Engine::Notifier)
}

/// What no word in memory shows of such an engine.
fn stateless() -> BTreeMap<Invariant, String> {
    [Invariant::Lockstep, Invariant::StopOnFailure]
        .into_iter()
        .map(|invariant| (invariant, NO_STATE.to_owned()))
        .collect()
}

fn names(scenario: &Scenario, observation: &Observation) -> SubjectNames {
    match scenario.subject {
        Subject::InTree => observation.names.clone(),
        Subject::Kmod if calls_cpus(scenario) => SubjectNames::kmod_by_calls(),
        Subject::Kmod => SubjectNames::kmod(scenario.ack != Some(Ack::Atomic)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::{Symbols, observe_update};

    fn files() -> PlanFiles {
        PlanFiles {
            module_image: "/r/module".into(),
            ring: "/t/ring".into(),
            control: "/t/control.sock".into(),
            agent: "/t/agent.sock".into(),
        }
    }

    fn observation() -> Observation {
        observe_update(&Symbols::from_system_map(crate::symbols::tests::MAP)).unwrap()
    }

    #[test]
    fn the_plan_follows_the_scenario() {
        let scenario = Scenario { cpus: 16, updates: 20, ..Scenario::default() };
        let plan = plan(&scenario, &observation(), ("7.3.4", Vec::new()), files(), 2).unwrap();
        assert_eq!(plan.firmware.lps.len(), 16);
        assert_eq!(plan.firmware.remaining_updates, 20);
        assert_eq!(plan.firmware.memory[0].end(), u64::from(scenario.memory_mib()) << 20);
        assert!(plan.yield_at_pause);
        assert_eq!(plan.watches[0].name, "update_ctrl.state");
        assert_eq!(setup(&scenario, &observation()).lps, 16);
    }

    #[test]
    fn vcpus_that_have_a_core_each_need_not_yield() {
        let scenario = Scenario { cpus: 2, ..Scenario::default() };
        assert!(!plan(&scenario, &observation(), ("7.3.4", Vec::new()), files(), 2).unwrap().yield_at_pause);
    }

    #[test]
    fn an_impossible_fault_is_the_callers_mistake() {
        let fault = toml::from_str("leaf = \"TDH.SYS.SHUTDOWN\"\nlp = 99\naction = \"never-returns\"").unwrap();
        let scenario = Scenario { faults: vec![fault], ..Scenario::default() };
        let trouble = plan(&scenario, &observation(), ("7.3.4", Vec::new()), files(), 2).unwrap_err();
        assert!(trouble.cause.contains("no LP 99"), "{}", trouble.cause);
    }

    #[test]
    fn calls_last_as_long_as_the_scenario_says() {
        let text = "name = \"slow\"\n[platform.durations.leaf_ns]\n\"SEAMLDR.INSTALL\" = 7000\n";
        let mut scenario = crate::scenario::from_text(text, "x.toml").unwrap();
        let durations = plan(&scenario, &observation(), ("7.3.4", Vec::new()), files(), 2).unwrap().firmware.durations;
        assert_eq!((durations.leaf_ns["SEAMLDR.INSTALL"], durations.default_ns), (7000, 0));
        scenario.platform.durations.leaf_ns.insert("SEAMLDR.INSTAL".into(), 1);
        let trouble = plan(&scenario, &observation(), ("7.3.4", Vec::new()), files(), 2).unwrap_err();
        assert!(trouble.cause.contains("`SEAMLDR.INSTAL`"), "{}", trouble.cause);
    }

    #[test]
    fn the_kernels_code_lies_where_it_is_linked() {
        let map = "ffffffff81000010 T _text\nffffffff81406340 T _etext\n\
                   ffffffff81925000 T _sinittext\nffffffff819680bb T _einittext\n";
        let [text, init_text] =
            [(0x100_1000, 0x40_5000), (0x192_5000, 0x4_3000)].map(|(start, length)| PhysicalRange { start, length });
        assert_eq!(shortcuts(&Symbols::from_system_map(map), 4).code, [text, init_text]);
        assert_eq!(shortcuts(&Symbols::from_system_map("ffffffff81000000 T _text\n"), 4).code, []);
    }

    #[test]
    fn many_vcpus_tick_no_more_often_than_eight() {
        let stretch = |cpus| shortcuts(&Symbols::from_system_map(""), cpus).tick_stretch;
        assert_eq!([1, 8, 15, 16, 255, 512].map(stretch), [1, 1, 1, 2, 31, 64]);
    }
}
