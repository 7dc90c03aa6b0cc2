//! What the module remembers against a VMM that lets a vCPU fault at one instruction again and again, to watch what it
//! touches.
//!
//! Source: TDX module `td_exit_stepping.c` (`td_exit_epf_stepping_log`).

use serde::{Deserialize, Serialize};

/// Violations at one instruction after which the module suspects its VMM (`STEPPING_EPF_THRESHOLD`).
const THRESHOLD: u8 = 6;
/// Pages that it remembers (`EPF_GPA_LIST_SIZE`).
const LIST_SIZE: usize = 32;

/// Violations of a vCPU at one instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ZeroStep {
    /// The instruction at which the vCPU was last entered.
    entered_at: u64,
    /// Violations without progress, up to the threshold.
    count: u8,
    /// Pages whose violations came after that.
    pages: Vec<u64>,
}

impl ZeroStep {
    /// The vCPU is entered at this instruction. Gives the pages that must be in its reach before it may go on.
    pub(crate) fn enter(&mut self, instruction: u64) -> &[u64] {
        self.entered_at = instruction;
        &self.pages
    }

    /// It leaves at this instruction by a violation of private memory in this page.
    pub(crate) fn violation(&mut self, instruction: u64, page: u64) {
        if instruction != self.entered_at {
            (self.count, self.pages) = (0, Vec::new());
        }
        if self.count < THRESHOLD {
            self.count += 1;
        } else if self.pages.len() < LIST_SIZE && !self.pages.contains(&page) {
            self.pages.push(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Violations of a page, one entry each, at one instruction.
    fn violations(zero_step: &mut ZeroStep, times: usize, page: u64) {
        for _ in 0..times {
            zero_step.enter(5);
            zero_step.violation(5, page);
        }
    }

    #[test]
    fn the_seventh_violation_at_one_instruction_is_remembered() {
        let mut zero_step = ZeroStep::default();
        violations(&mut zero_step, 6, 0x1000);
        assert!(zero_step.enter(5).is_empty());
        violations(&mut zero_step, 2, 0x1000);
        violations(&mut zero_step, 1, 0x2000);
        assert_eq!(zero_step.enter(5), [0x1000, 0x2000]);
    }

    #[test]
    fn progress_is_a_new_beginning() {
        let mut zero_step = ZeroStep::default();
        violations(&mut zero_step, 7, 0x1000);
        zero_step.violation(6, 0x3000);
        assert!(zero_step.enter(6).is_empty());
    }

    #[test]
    fn no_more_than_32_pages_are_remembered() {
        let mut zero_step = ZeroStep::default();
        for page in 0..50 {
            violations(&mut zero_step, 1, page << 12);
        }
        assert_eq!(zero_step.enter(5).len(), 32);
    }
}
