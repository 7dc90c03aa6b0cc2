//! What the subject's attributes say before and after the updates.

use super::context::StepContext;
use super::device::UPLOADS;
use super::error::{StepError, failed};
use crate::guest::GuestError;
use crate::run::prepare::subject;
use crate::run::record::guest_report::{GuestReport, Reading};
use rig_wire::agent::Failure;

/// `version` answers with it when no module runs any more.
const ENXIO: i32 = 6;
const ENOENT: i32 = 2;

/// What runs before the first update.
pub(crate) async fn read_before(context: &StepContext<'_>, report: &mut GuestReport) -> Result<(), StepError> {
    context.doing(report, "reading the module's version");
    report.before = match context.guest.read(&attribute(context, "version")).await {
        Err(GuestError::Failed(f)) if f.errno == Some(ENOENT) => return Err(StepError::NoSubject(f.what)),
        version => lost_is_none(version).map_err(|error| failed(report, error))?,
    };
    report.after.clone_from(&report.before);
    report.remaining.0 = Some(remaining(context).await);
    report.absent = true;
    for upload in UPLOADS {
        match context.guest.read(upload).await {
            Ok(_) => report.absent = false,
            Err(GuestError::Failed(f)) if f.errno == Some(ENOENT) => {}
            Err(error) => return Err(failed(report, error)),
        }
    }
    Ok(())
}

/// What is left of the SEAM database at the end.
pub(super) async fn read_after(context: &StepContext<'_>, report: &mut GuestReport) {
    context.doing(report, "reading back");
    report.remaining.1 = Some(remaining(context).await);
}

/// The module's version; none: there is no module any more.
pub(super) async fn version(context: &StepContext<'_>, report: &GuestReport) -> Result<Option<String>, StepError> {
    lost_is_none(context.guest.read(&attribute(context, "version")).await).map_err(|error| failed(report, error))
}

/// Why it cannot be read is part of the reading: the verdict decides what that means.
async fn remaining(context: &StepContext<'_>) -> Reading {
    match context.guest.read(&attribute(context, "num_remaining_updates")).await {
        Ok(text) => text.parse().map_err(|_| format!("it holds \"{text}\"")),
        Err(GuestError::Failed(Failure { errno: Some(errno), .. })) => Err(format!("errno {errno}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Path of one of the subject's attributes.
fn attribute(context: &StepContext<'_>, name: &str) -> String {
    format!("{}/{name}", subject::attributes(context.scenario.subject))
}

fn lost_is_none(version: Result<String, GuestError>) -> Result<Option<String>, GuestError> {
    match version {
        Err(GuestError::Failed(f)) if f.errno == Some(ENXIO) => Ok(None),
        version => version.map(Some),
    }
}
