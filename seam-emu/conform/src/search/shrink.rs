//! Cuts a sequence down to the steps that its difference needs.

use super::{Finding, Subjects, replay};
use crate::compare::Step;

/// The shortest sequence that leaving out steps, many at once and then fewer, comes to. It shows a difference of the same
/// kind at the same leaf.
pub fn shrink(found: &Finding, mut subjects: impl FnMut() -> Subjects) -> Finding {
    let mut best = found.clone();
    let last = found.steps.len() - 1;
    let kept = |at: &usize| *at == last || found.refused.binary_search(at).is_err();
    let accepted: Vec<Step> = (0..=last).filter(kept).map(|at| found.steps[at].clone()).collect();
    if let Some(shorter) = shows(&accepted, found, &mut subjects()) {
        best = shorter;
    }
    let mut chunk = best.steps.len() / 2;
    while chunk > 0 {
        let mut from = 0;
        // The last step shows the difference and stays.
        while from + 1 < best.steps.len() {
            let to = (from + chunk).min(best.steps.len() - 1);
            let without: Vec<Step> = [&best.steps[..from], &best.steps[to..]].concat();
            match shows(&without, found, &mut subjects()) {
                Some(shorter) => best = shorter,
                None => from = to,
            }
        }
        chunk /= 2;
    }
    best
}

/// The part of a sequence that shows what was found.
fn shows(steps: &[Step], found: &Finding, subjects: &mut Subjects) -> Option<Finding> {
    let (at, difference) = replay(subjects, steps)?;
    let last = found.steps.last().expect("a difference has a step");
    let same = steps[at].leaf() == last.leaf() && difference.is_like(&found.difference);
    same.then(|| Finding { steps: steps[..=at].to_vec(), refused: Vec::new(), difference })
}
