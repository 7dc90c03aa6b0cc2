//! Proofs about the machine code of the rig's own kernel, and about the same code with an error planted in its bytes.

use rig_images::{Images, KernelRequest, Progress};
use rig_interleave::firmware::FirmwareModel;
use rig_interleave::image::{ElfImage, Source};
use rig_interleave::kernel::{Entry, Locking};
use rig_interleave::report::{Report, Verdict};
use rig_interleave::rules::Rule;
use rig_interleave::search::OneByOne;
use rig_interleave::{MemoryModel, Request, Unprovable};
use rig_tests::{Rig, take_host};
use rstest::rstest;
use std::path::PathBuf;
use std::sync::OnceLock;

const SECTION: &str = "do_seamldr_install_module";
/// Instructions that do nothing, of 2, 5 and 6 bytes.
const NOP_2: &[u8] = &[0x66, 0x90];
const NOP_5: &[u8] = &[0x0f, 0x1f, 0x44, 0, 0];
const NOP_6: &[u8] = &[0x66, 0x0f, 0x1f, 0x44, 0, 0];

pub(crate) fn vmlinux() -> PathBuf {
    let images = Images::open(Progress::silent()).expect("the cache opens");
    let kernel = images.kernel(&KernelRequest::default()).expect("the rig's kernel is there, or builds");
    kernel.vmlinux.expect("the rig's kernel has its ELF file")
}

/// The unmodified kernel, read once.
pub(crate) fn kernel() -> ElfImage {
    static IMAGE: OnceLock<ElfImage> = OnceLock::new();
    let read = || ElfImage::parse(&std::fs::read(vmlinux()).expect("vmlinux is read")).expect("it is an ELF file");
    IMAGE.get_or_init(read).clone()
}

pub(crate) fn prove(image: ElfImage, request: Request) -> Result<Report, Unprovable> {
    rig_interleave::prove(image.into(), FirmwareModel::Small, request, &OneByOne, &mut |_| {})
}

fn two(failures: bool) -> Request {
    Request { cpus: 2, failures, ..Request::default() }
}

/// Bytes of a function.
fn code<'a>(image: &'a ElfImage, function: &str) -> (u64, &'a [u8]) {
    let (start, size) = image.symbols().extent(function).expect("the kernel has the function");
    (start, &image.bytes(start).expect("with its code")[..size as usize])
}

/// Writes `new` at `offset` of the one place in `function` where `old` is.
fn plant(image: &mut ElfImage, function: &str, old: &[u8], offset: u64, new: &[u8]) {
    let (start, code) = code(image, function);
    let places: Vec<usize> = (0..=code.len() - old.len()).filter(|at| code[*at..].starts_with(old)).collect();
    let [place] = places[..] else { panic!("{old:x?} is in {function} at {places:?}") };
    assert!(image.patch(start + place as u64 + offset, new));
}

/// Replaces each call of `callee` in `function` by `new`, of five bytes.
fn replace_calls(image: &mut ElfImage, function: &str, callee: &str, new: &[u8]) {
    let target = image.symbols().address(callee).expect("the kernel has the callee");
    let (start, code) = code(image, function);
    let leads_there = |at: &usize| {
        let distance = i32::from_le_bytes(code[at + 1..at + 5].try_into().expect("four bytes"));
        code[*at] == 0xe8 && (start + *at as u64 + 5).wrapping_add_signed(distance.into()) == target
    };
    let places: Vec<usize> = (0..code.len() - 5).filter(leads_there).collect();
    assert!(!places.is_empty(), "{function} calls {callee}");
    for place in places {
        assert!(image.patch(start + place as u64, new));
    }
}

#[rstest]
#[case::two(Request { cpus: 2, ..Request::default() })]
#[case::two_with_a_failure(Request { cpus: 2, failures: true, ..Request::default() })]
#[case::two_with_store_buffers(Request { cpus: 2, memory: MemoryModel::Tso, ..Request::default() })]
#[case::two_with_store_buffers_and_a_failure(
    Request { cpus: 2, memory: MemoryModel::Tso, failures: true, ..Request::default() }
)]
#[case::three_with_the_locks_contract(Request { cpus: 3, lock: Locking::Contract, ..Request::default() })]
#[case::five_with_reductions(Request { cpus: 5, lock: Locking::Contract, symmetry: true, ..Request::default() })]
#[case::two_from_stop_machine(Request { cpus: 2, entry: Entry::StopMachine, ..Request::default() })]
#[case::three(Request { cpus: 3, ..Request::default() })]
#[case::three_with_a_failure(Request { cpus: 3, failures: true, ..Request::default() })]
fn the_kernel_holds(#[case] request: Request) {
    let report = prove(kernel(), request).expect("there is a verdict");
    assert_eq!(report.verdict, Verdict::Holds, "{:#?}", report.finding);
    let zeroes = vec![0; request.cpus];
    assert!(report.returns.iter().any(|row| row.codes == zeroes), "an update succeeds: {:?}", report.returns);
    assert_eq!(report.returns.iter().any(|row| row.codes != zeroes), request.failures, "{:?}", report.returns);
    // Every instruction of the section is executed if a call fails somewhere; otherwise nearly all.
    let section = report.coverage.iter().find(|row| row.function == SECTION).expect("the section is executed");
    assert!(section.executed + 3 >= section.instructions, "{section:?}");
    assert_eq!(report.contracts.iter().any(|row| row.function == "_printk"), request.failures);
}

/// Reductions change how many states there are, and nothing else.
#[rstest]
#[case::what_is_dead_is_kept(Request { keeps_dead: true, ..Request::default() })]
#[case::the_lock_keeps_its_count(Request { keeps_pending_loop: true, ..Request::default() })]
#[case::what_is_dead_is_kept_with_a_failure(Request { keeps_dead: true, failures: true, ..Request::default() })]
fn reductions_change_no_verdict(#[case] unreduced: Request) {
    let failures = unreduced.failures;
    let full = prove(kernel(), unreduced).expect("there is a verdict");
    let reduced = prove(kernel(), two(failures)).expect("there is a verdict");
    assert_eq!(full.verdict, Verdict::Holds, "{:#?}", full.finding);
    assert_eq!(reduced.verdict, Verdict::Holds);
    assert!(full.states > reduced.states, "{} and {}", full.states, reduced.states);
    assert!(full.reductions.len() < reduced.reductions.len());
    let codes = |report: &Report| report.returns.iter().map(|row| row.codes.clone()).collect::<Vec<_>>();
    assert_eq!(codes(&full), codes(&reduced));
}

/// Errors planted in the machine code. Each is found with and without dropping what is dead, by the same rule.
#[rstest]
#[case::acknowledgements_without_their_lock(Rule::Lockstep, false, |image: &mut ElfImage| {
    replace_calls(image, SECTION, "_raw_spin_lock", NOP_5);
    replace_calls(image, SECTION, "_raw_spin_unlock", NOP_5);
})]
#[case::advance_at_any_acknowledgement(Rule::Lockstep, false, |image: &mut ElfImage| {
    // cmp eax, ecx; jne +8
    plant(image, SECTION, &[0x39, 0xc8, 0x75, 0x08], 2, NOP_2);
})]
#[case::acknowledgements_not_counted(Rule::Progress, false, |image: &mut ElfImage| {
    // add eax, 1
    plant(image, SECTION, &[0x83, 0xc0, 0x01], 2, &[0]);
})]
#[case::shutdown_on_every_cpu(Rule::LeadOnly, false, |image: &mut ElfImage| {
    // test r14d, r14d; jne
    plant(image, SECTION, &[0x45, 0x85, 0xf6, 0x0f, 0x85], 3, NOP_6);
})]
#[case::update_on_every_cpu(Rule::LeadOnly, false, |image: &mut ElfImage| {
    // test r14d, r14d; jne
    plant(image, SECTION, &[0x45, 0x85, 0xf6, 0x75], 3, NOP_2);
})]
#[case::no_install(Rule::Succeeds, false, |image: &mut ElfImage| {
    // xor eax, eax
    replace_calls(image, SECTION, "seamldr_install", &[0x31, 0xc0, 0x0f, 0x1f, 0]);
})]
#[case::failures_do_not_stop(Rule::StopOnFailure, true, |image: &mut ElfImage| {
    // test edx, edx becomes xor edx, edx
    plant(image, SECTION, &[0x75, 0x08, 0x85, 0xd2], 2, &[0x31]);
})]
#[case::no_lock_of_the_loader(Rule::SerialLoader, false, |image: &mut ElfImage| {
    // seamldr_call() is inlined there.
    replace_calls(image, "seamldr_install", "_raw_spin_lock", NOP_5);
})]
#[case::interrupts_enabled(Rule::InterruptsOff, false, |image: &mut ElfImage| {
    // endbr64 becomes sti and three nops
    plant(image, SECTION, &[0xf3, 0x0f, 0x1e, 0xfa], 0, &[0xfb, 0x90, 0x90, 0x90]);
})]
fn a_planted_error_is_refuted(#[case] rule: Rule, #[case] failures: bool, #[case] plant: fn(&mut ElfImage)) {
    let mut image = kernel();
    plant(&mut image);
    for keeps_dead in [false, true] {
        let report = prove(image.clone(), Request { keeps_dead, ..two(failures) }).expect("there is a verdict");
        assert_eq!(report.verdict, Verdict::Refuted);
        let finding = report.finding.expect("a refuted kernel has a counterexample");
        assert_eq!(finding.rule, rule.name(), "{finding:#?}");
        // The last line says where the CPUs are, even if the first state is wrong already.
        assert!(finding.steps.last().is_some_and(|line| line.contains("CPU 1 ")), "{finding:#?}");
    }
}

#[test]
fn a_change_without_consequences_is_certified() {
    let mut image = kernel();
    // pause in the loop that waits for the next state becomes a nop
    plant(&mut image, SECTION, &[0xf3, 0x90], 0, NOP_2);
    let changed = prove(image, two(false)).expect("there is a verdict");
    let unchanged = prove(kernel(), two(false)).expect("there is a verdict");
    assert_eq!((changed.verdict, changed.states), (Verdict::Holds, unchanged.states));
    assert_ne!(changed.code, unchanged.code, "a certificate is about one code");
    assert_ne!(changed.image, unchanged.image);
}

#[test]
fn an_instruction_that_is_not_known_ends_the_proof() {
    let mut image = kernel();
    // pause becomes cpuid
    plant(&mut image, SECTION, &[0xf3, 0x90], 0, &[0x0f, 0xa2]);
    let error = prove(image, two(false)).expect_err("there is no verdict");
    assert!(error.to_string().contains("Cpuid") && error.to_string().contains(SECTION), "{error}");
}

#[test]
fn rules_have_the_judges_names() {
    let ours = [Rule::Succeeds, Rule::RecordAfter];
    for rule in Rule::ALL.iter().filter(|rule| !ours.contains(rule)) {
        assert!(rig_judge::Invariant::ALL.iter().any(|invariant| invariant.name() == rule.name()), "{}", rule.name());
    }
}

#[test]
fn a_proof_is_one_command() {
    let _host = take_host();
    let rig = Rig::default();
    let out = rig.path("certificate.json");
    let answer = rig.go(&["prove", "--cpus", "2", "--json", "--out", out.to_str().unwrap()]).json(0);
    assert_eq!(answer["report"]["verdict"], "holds");
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(out).expect("it is written")).unwrap();
    assert_eq!(written, answer["report"]);

    rig.go(&["prove", "--cpus", "9"]).expect(2);
    let text = rig.file("no-kernel", "text");
    rig.go(&["prove", "--kernel", text.to_str().unwrap()]).expect(2).says(&["elf"]);
    rig.go(&["prove", "--cpus", "2", "--memory-mib", "0"]).expect(5).says(&["no verdict"]);
}

#[test]
fn a_refuted_kernel_is_a_failure() {
    let mut bytes = std::fs::read(vmlinux()).expect("vmlinux is read");
    let image = kernel();
    let (_, code) = code(&image, SECTION);
    let place = bytes.windows(code.len()).position(|window| window == code).expect("the section is in the file");
    let jump = code.windows(4).position(|window| window == [0x39, 0xc8, 0x75, 0x08]).expect("it compares");
    bytes[place + jump + 2..place + jump + 4].copy_from_slice(NOP_2);
    let rig = Rig::default();
    let path = rig.file("vmlinux", bytes);
    let ended = rig.go(&["prove", "--cpus", "2", "--kernel", path.to_str().unwrap()]);
    ended.expect(1);
    assert!(ended.stdout.starts_with("REFUTED") && ended.stdout.contains("broken: lockstep"), "{ended}");
}

/// From a machine that is stopped before the section. With `both`, seam-emu and the small model are compared in every state.
#[rstest]
#[case::two(&["--cpus", "2", "--failures", "1", "--firmware", "both"])]
#[case::three(&["--cpus", "3", "--firmware", "both"])]
#[case::two_from_stop_machine(&["--cpus", "2", "--from", "stop-machine"])]
#[case::the_second_update_after_a_failed_one(&["--cpus", "2", "--after-failed"])]
#[case::the_update_module_with_a_lock(&["--cpus", "2", "--subject", "kmod", "--ack", "lock"])]
#[case::the_update_module_with_atomic_counters(&["--cpus", "3", "--subject", "kmod", "--ack", "atomic", "--failures", "1"])]
fn a_machine_holds(#[case] arguments: &[&str]) {
    let _host = take_host();
    let rig = Rig::default();
    let answer = rig.go(&[&["prove", "--json"][..], arguments].concat()).json(0);
    let report = &answer["report"];
    assert_eq!((&report["verdict"], &report["request"]["state"]), (&"holds".into(), &"machine".into()));
    let zeroes = vec![0; report["cpus"].as_u64().unwrap() as usize];
    let returns = report["returns"].as_array().unwrap();
    assert!(returns.iter().any(|row| row["codes"] == serde_json::json!(zeroes)), "an update succeeds: {returns:?}");
    let machine =
        report["assumptions"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains("machine"));
    assert!(machine, "{report}");
}
