//! What became of each update: what the uploader read back, joined with what the judge found.

use crate::run::record::upload::Upload;
use crate::scenario::UpdateEnding;
use rig_judge::{Attempt, AttemptOutcome, UpdateFigures};

/// Each attempt of a run, in order; the last one may be one that the run's end cut off. `before`: the version that ran before
/// the first.
pub(super) fn attempts(uploads: &[Upload], before: Option<&str>, figures: &[UpdateFigures]) -> Vec<Attempt> {
    let of = |number: u32| figures.iter().find(|figures| figures.upload == number);
    let befores = std::iter::once(before).chain(uploads.iter().map(|upload| upload.after.as_deref()));
    let mut all: Vec<Attempt> = (1..)
        .zip(uploads)
        .zip(befores.clone())
        .map(|((number, upload), from)| attempt(number, from, Some(upload), of(number)))
        .collect();
    let next = u32::try_from(uploads.len() + 1).unwrap_or(u32::MAX);
    if let Some(figures) = of(next) {
        all.push(attempt(next, befores.last().flatten(), None, Some(figures)));
    }
    all
}

/// One attempt; `upload` is none when the run ended before anything was read back.
fn attempt(number: u32, from: Option<&str>, upload: Option<&Upload>, figures: Option<&UpdateFigures>) -> Attempt {
    let to = upload.and_then(|upload| upload.after.clone());
    let outcome = upload.map_or(AttemptOutcome::NotEnded, outcome);
    let is_lost = outcome == AttemptOutcome::Lost;
    Attempt {
        number,
        from: from.map(Into::into),
        to,
        outcome,
        error: upload.and_then(error),
        failed_call: figures.and_then(|figures| figures.failed_call.clone()),
        tds_lost: figures.filter(|_| is_lost).map_or(0, |f| f.tds_before.saturating_sub(f.tds_after)),
    }
}

fn outcome(upload: &Upload) -> AttemptOutcome {
    match upload.ending().0 {
        Some(UpdateEnding::Updated) => AttemptOutcome::Done,
        Some(UpdateEnding::Unchanged) => AttemptOutcome::Unchanged,
        Some(UpdateEnding::Lost) => AttemptOutcome::Lost,
        Some(UpdateEnding::ModuleRuns | UpdateEnding::Absent) | None => AttemptOutcome::Contradictory,
    }
}

/// What the kernel reported of a failure to the uploader.
fn error(upload: &Upload) -> Option<String> {
    match (upload.outcome.errno, upload.outcome.error.as_str()) {
        (Some(errno), _) => Some(format!("errno {errno}")),
        (None, "") => None,
        (None, error) => Some(error.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::record::upload::tests::upload;
    use rig_judge::attempt::FailedCall;

    fn figures(upload: u32) -> UpdateFigures {
        let failed_call = Some(FailedCall { lp: 2, leaf: "INSTALL".into(), status: "ENOENTROPY (0x1)".into() });
        UpdateFigures { update: upload, upload, failed_call, tds_before: 2, ..UpdateFigures::default() }
    }

    fn words(uploads: &[Upload], figures: &[UpdateFigures]) -> Vec<String> {
        attempts(uploads, Some("1.5.06"), figures).iter().map(Attempt::summary).collect()
    }

    #[test]
    fn each_attempt_has_its_line() {
        let both = [upload("", Some("1.5.07")), upload("transferring:firmware-invalid", None)];
        let lines = words(&both, &[figures(2)]);
        assert_eq!(
            lines,
            ["update 1 to 1.5.07 done", "update 2 LOST the module (CPU 2: INSTALL ENOENTROPY) and 2 TDs"]
        );
        assert_eq!(attempts(&both, Some("1.5.06"), &[])[1].from.as_deref(), Some("1.5.07"));
    }

    #[test]
    fn an_update_that_never_reached_the_section_has_the_kernels_words() {
        let refused = upload("preparing:firmware-invalid", Some("1.5.06"));
        assert_eq!(words(&[refused], &[]), ["update 1 failed (preparing:firmware-invalid), 1.5.06 still runs"]);
    }

    #[test]
    fn the_attempt_that_the_end_cut_off_is_the_last() {
        let done = [upload("", Some("1.5.07"))];
        let cut = UpdateFigures { failed_call: None, ..figures(2) };
        assert_eq!(words(&done, &[figures(1), cut])[1], "update 2 did not end");
    }

    #[test]
    fn reports_that_contradict_the_version_are_said_to() {
        assert_eq!(words(&[upload("", None)], &[]), ["update 1 was reported as done, but no module runs"]);
        assert_eq!(
            words(&[upload("x", Some("1.5.07"))], &[]),
            ["update 1 was reported as failed (x), but 1.5.07 runs"]
        );
    }
}
