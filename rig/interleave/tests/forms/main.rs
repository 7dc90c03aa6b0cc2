//! The interpreter beside a processor: every form of an instruction that it knows, with edge values, is executed by both, and all
//! registers, the defined flags and the memory are compared.
//!
//! Which forms it knows is not listed here. Every instruction of the instruction set is made, and what the interpreter does not
//! refuse is compared. The processor is the one that runs this test, in a child process that is stepped by ptrace, so what only
//! a kernel may execute is left to `tests/e2e/interpreter.rs`.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod case;
mod compare;
mod generator;
mod interpret;
mod operands;
mod planted;
mod processor;
mod program;
mod renamed;
mod values;

use compare::difference;
use generator::Generator;
use iced_x86::{Code, Mnemonic};
use interpret::interpret;
use planted::Planted;
use processor::Processor;
use std::collections::BTreeMap;

/// Forms that the interpreter knows and that a process may not execute, since they change the interrupt flag.
const PRIVILEGED: [Code; 2] = [Code::Cli, Code::Sti];
/// The interpreter knows at least as many forms, each with general registers, or with memory, or with either.
const KNOWN_FORMS: usize = 400;

/// What came of a comparison.
#[derive(Debug, Default)]
struct Compared {
    /// Cases of each form.
    forms: BTreeMap<String, u32>,
    /// The first difference of each form that has one.
    differences: BTreeMap<String, String>,
}

/// Compares `cases` cases of each form, by an interpreter without an error, or by one with an error until that is found.
fn compare(cases: u32, planted: Option<Planted>) -> Compared {
    let mut processor = Processor::start();
    let mut generator = Generator::new(planted.map_or(cases.into(), |_| 7));
    let mut compared = Compared::default();
    for code in Code::values().filter(|code| !PRIVILEGED.contains(code)) {
        for _ in 0..cases {
            let Some(case) = generator.case(code) else { continue };
            let Some(interpreted) = interpret(&case, planted) else { continue };
            let executed = processor.execute(&case);
            // Some forms are encoded as another one.
            let form = format!("{:?}", case.instruction.code());
            *compared.forms.entry(form.clone()).or_default() += 1;
            if let Some(difference) = difference(&case, &interpreted, &executed) {
                compared.differences.entry(form).or_insert(difference);
                if planted.is_some() {
                    return compared;
                }
            }
        }
    }
    compared
}

/// Compares all forms without an error, and expects no difference and no form that was left out.
fn expect_no_difference(cases: u32) {
    let compared = compare(cases, None);
    let differences: Vec<String> = compared.differences.into_values().collect();
    assert!(differences.is_empty(), "{} forms differ:\n{}", differences.len(), differences.join("\n"));
    let all: u32 = compared.forms.values().sum();
    println!("{all} cases of {} forms, no difference", compared.forms.len());
    let rare: Vec<_> = compared.forms.iter().filter(|(_, count)| **count < cases / 3).collect();
    assert!(rare.is_empty(), "hardly compared: {rare:?}");
    assert!(compared.forms.len() >= KNOWN_FORMS, "{:?}", compared.forms.keys());
}

#[test]
fn every_form_does_what_a_processor_does() {
    expect_no_difference(60);
}

#[test]
#[ignore = "a million cases take minutes: run it after a change of the interpreter"]
fn every_form_does_what_a_processor_does_in_a_million_cases() {
    expect_no_difference(4_000);
}

/// The comparison finds an interpreter that is wrong.
#[test]
fn every_planted_error_is_found() {
    for planted in Planted::ALL {
        let compared = compare(60, Some(planted));
        let found = compared.differences.into_values().next();
        println!("{planted:?}: {}", found.unwrap_or_else(|| panic!("{planted:?} is not found")));
    }
}

/// What changes the interrupt flag is known to the interpreter, and left out here.
#[test]
fn privileged_forms_are_known() {
    let mut generator = Generator::new(1);
    for code in PRIVILEGED {
        let case = generator.case(code).expect("it has no operands");
        assert!(matches!(case.instruction.mnemonic(), Mnemonic::Cli | Mnemonic::Sti));
        assert!(interpret(&case, None).is_some(), "{code:?}");
    }
}
