//! Machine code in trust domains: a VMM without an operating system builds TDs by SEAMCALLs and runs them on TCG's own SVM. Only a
//! real QEMU shows that nothing of either is lost on the way.

use rig::machine::bare::{BareMachine, Threads};
use rig_images::{Images, Progress};
use rig_tests::{bare, take_host};
use rig_wire::plan::{PLAN_VERSION, Plan};
use rstest::rstest;
use seam_emu::image::{self, ImageSpec};
use seam_emu::{Config, MemoryRange};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const MEMORY_MIB: u32 = 512;
/// A run that is not over by then hangs.
const LIMIT: Duration = Duration::from_secs(600);

/// What the TD says of a #VE: the exit's reason and the instruction's length in bytes.
const fn ve(reason: u64, length: u64) -> u64 {
    reason | length << 8
}

/// What a TD reports of itself: number and value. Reasons of exits are VMX's (SDM appendix C).
const REPORTS: [(u32, u64); 34] = [
    (1, 48 << 32),                     // GPAW, and the vCPU's number
    (2, 0x40660),                      // CR4: what the program set, and MCE
    (3, 0x42660),                      // with VMXE, which TCG refuses
    (4, 0xD00),                        // EFER: LME, LMA and NXE, not SVME
    (5, 0x1234_5678_9000),             // the kernel's GS base
    (6, 0xCCCC_DDDD),                  // CR2 and DR0, after an exit
    (10, 0x6574_6E49),                 // CPUID 0x21, "Inte", without a #VE
    (11, ve(10, 2)),                   // #VE of CPUID, 2 bytes long
    (12, ve(12, 1)),                   // HLT
    (13, ve(30, 2) | 0x80_0000 << 16), // OUT to port 0x80, 1 byte
    (14, ve(30, 1) | 0x60_0008 << 16), // IN from port 0x60
    (15, ve(31, 2)),                   // RDMSR
    (16, ve(32, 2)),                   // WRMSR
    (17, ve(54, 2)),                   // WBINVD
    (18, ve(39, 3)),                   // MONITOR
    (19, ve(36, 3)),                   // MWAIT
    (20, 9),                           // #VEs so far
    (21, 2),                           // #GPs: RDPMC, and XSETBV beyond XFAM
    (22, 3),                           // #UDs: UD2, VMMCALL, SEAMCALL
    (23, 9),                           // none of them a #VE
    (30, 48),                          // TDG.VP.INFO: success, GPAW, the first vCPU
    (31, 1 << 32 | 1),                 // of one
    (32, 0xC000_0100),                 // a leaf that does not exist
    (33, 0xC000_0704),                 // no #VE to tell of
    (35, 0),                           // registers that did not pass through TDG.VP.VMCALL, or changed
    (40, 0x7E57_0000),                 // a page that is mapped when it is touched
    (41, 0x7E57_0000),                 // the same, after it was blocked and unblocked
    (42, ve(48, 0) | 0x1C_1000 << 8),  // #VE for a page that was removed, added and is pending
    (43, 0),                           // a shared page
    (44, 0x0B0B),                      // the VMM shares another one in its place
    (45, 0x0A0B),                      // and the first one, for reading alone, until the TD writes
    (50, 1),                           // NMIs that the VMM injected
    (51, 0),                           // vector registers that changed while the TD was interrupted
    (52, 0),                           // exceptions that nobody expected
];

/// What the machine wrote to its serial port.
struct Said(String);

impl Said {
    /// The rest of the lines that begin so.
    fn lines<'a>(&'a self, start: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.lines().filter_map(move |line| line.strip_prefix(start))
    }

    /// The number behind a word, in each line that has it.
    fn numbers(&self, start: &str, word: &str) -> Vec<u64> {
        let number = |line: &str| {
            let rest = line.split_once(&format!("{word}: ")).or_else(|| line.split_once(&format!("{word} ")))?.1;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        self.lines(start).filter_map(number).collect()
    }
}

/// Runs the program with these words on its command line to its end.
fn run(cpus: u32, words: &str, threads: Threads, machine_code: bool) -> Said {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| folder.path().join(name);
    let images = Images::open(Progress::silent()).expect("the cache opens");
    std::fs::write(file("module"), image::build(&ImageSpec::default())).expect("it can be written");
    let plan = plan(cpus, file("module"), threads != Threads::Many, machine_code);
    std::fs::write(file("plan.json"), serde_json::to_vec(&plan).expect("a plan is JSON")).expect("it can be written");
    let machine = BareMachine {
        cpus,
        memory_mib: MEMORY_MIB,
        program: bare::program().to_owned(),
        words: format!("cpus={cpus} {words}"),
        plugin: (images.plugin().expect("the plugin builds"), file("plan.json")),
        console: file("console"),
        threads,
    };
    let qemu = images.tool_root().expect("QEMU is there").qemu_command();
    let mut child = machine.start(qemu).expect("QEMU starts");
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("QEMU is this process's child") {
            break status;
        }
        if started.elapsed() > LIMIT {
            child.kill().expect("QEMU is this process's child");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = std::fs::read_to_string(file("console")).expect("QEMU makes the file");
    assert_eq!(status.code(), Some(1), "the program did not end well:\n{said}");
    assert!(said.lines().any(|line| line == "end"), "{said}");
    // A TD's exception, exit or question that nobody expected.
    assert!(!said.lines().any(|line| line.starts_with("trap ") || line.starts_with("odd-")), "{said}");
    Said(said)
}

fn plan(cpus: u32, module_image: PathBuf, deterministic: bool, machine_code: bool) -> Plan<Config> {
    const MIB: u64 = 1 << 20;
    let memory = vec![MemoryRange { base: MIB, size: (u64::from(MEMORY_MIB) - 1) * MIB }];
    Plan {
        version: PLAN_VERSION,
        firmware: Config { memory, machine_code, ..Config::for_lps(cpus as usize) },
        module_image,
        ring: None,
        control: None,
        exchange: None,
        stall_ns: None,
        restore: None,
        deterministic,
        yield_at_pause: !deterministic,
        watches: Vec::new(),
        functions: Vec::new(),
        seamret_keeps_vmcs: true,
        schedules: Vec::new(),
        update_function: None,
        counts_instructions: false,
        preempt_count_offset: None,
        hardirq_mask: 0,
        shortcuts: None,
        instruction_log: None,
    }
}

/// A TD goes through every exit, its memory is taken away and given back, and the VMM compares all that it had. First with
/// interrupts meanwhile, then with NMIs.
#[test]
fn a_td_and_its_vmm_find_everything_as_it_should_be() {
    let _host = take_host();
    let said = run(1, "", Threads::Many, true);
    let reports: Vec<(u32, u64)> = said.lines("report ").filter_map(parse).collect();
    let wanted: Vec<(u32, u64)> = REPORTS.into_iter().chain(REPORTS).collect();
    assert_eq!(reports, wanted, "{}", said.0);
    assert_eq!(said.lines("registers ").collect::<Vec<_>>(), ["0", "0"], "{}", said.0);
    assert_eq!(said.numbers("counts ", "differences"), [0, 0], "{}", said.0);
    // Blocked; removed (the entry allows nothing); read-only where it writes.
    let violations = ["1c0000 1 0", "1c1000 1 0", "800000000000 a 0"];
    assert_eq!(said.lines("violation ").collect::<Vec<_>>(), [violations, violations].concat(), "{}", said.0);
    let died = "Died(4000000100000002)";
    assert_eq!(said.0.lines().filter(|line| *line == died).count(), 2, "by its triple fault: {}", said.0);
    let [interrupts, nmis] = ["interrupts", "nmis"].map(|what| said.numbers("counts ", what));
    assert!(interrupts[0] > 20 && nmis[0] == 0 && nmis[1] > 20, "{}", said.0);
    assert_eq!(said.lines("state ").collect::<Vec<_>>(), ["d01", "d01"], "EFER without SVME: {}", said.0);
    println!(
        "a call to the VMM and back, and one that is answered at once, ns: {:?}",
        said.lines("nanoseconds ").collect::<Vec<_>>()
    );
}

fn parse(line: &str) -> Option<(u32, u64)> {
    let (id, value) = line.split_once(' ')?;
    Some((id.parse().ok()?, u64::from_str_radix(value, 16).ok()?))
}

/// All processors at once, each with a TD.
#[rstest]
#[case::one_processor(1, 0)]
#[case::two_processors(2, 0)]
#[case::four_processors(4, 0)]
#[case::four_processors_and_nmis(4, 1)]
fn tds_run_in_parallel(#[case] cpus: u32, #[case] nmi: u32) {
    let _host = take_host();
    check_soak(&run(cpus, &format!("soak=5 nmi={nmi}"), Threads::Many, true), cpus, nmi);
}

#[test]
fn tds_take_turns_on_one_thread() {
    let _host = take_host();
    check_soak(&run(2, "soak=3 nmi=0", Threads::One, true), 2, 0);
}

fn check_soak(said: &Said, cpus: u32, nmi: u32) {
    let cpus = cpus as usize;
    assert_eq!(said.numbers("processor ", "differences"), vec![0; cpus], "{}", said.0);
    for wrong in ["wrong", "answers"] {
        assert_eq!(said.numbers("td ", wrong), vec![0; cpus], "{}", said.0);
    }
    let interrupted = if nmi == 0 { "interrupts" } else { "nmis" };
    for counted in ["entries", interrupted] {
        let counts = said.numbers("processor ", counted);
        assert!(counts.len() == cpus && counts.iter().all(|count| *count > 20), "{counted}: {}", said.0);
    }
    assert!(said.numbers("td ", "rounds").iter().all(|rounds| *rounds > 50), "{}", said.0);
}

/// The program compares times, so each word that it says depends on each instruction's place in time.
#[test]
fn counted_runs_are_alike() {
    let _host = take_host();
    let [first, second] = [(); 2].map(|()| run(1, "", Threads::Counted, true));
    assert!(first.numbers("counts ", "entries")[0] > 100, "{}", first.0);
    assert_eq!(first.0, second.0);
}

/// Where the plan does not have machine code, none of a TD's code runs: its vCPU is looked at for a script, in a page that is not
/// mapped, and ends by the #VE of the page that its VMM adds.
#[test]
fn without_the_plans_leave_no_code_runs() {
    let _host = take_host();
    let said = run(1, "soak=1 nmi=0", Threads::Many, false);
    assert!(said.numbers("processor ", "entries")[0] >= 1, "{}", said.0);
    assert_eq!(said.numbers("td ", "rounds"), [0], "{}", said.0);
    assert!(said.0.contains("Died(4000000100000002)"), "{}", said.0);
}
