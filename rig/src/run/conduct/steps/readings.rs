//! What the subject's attributes say before and after the updates.

use super::context::Drive;
use super::device::UPLOADS;
use super::error::{DriveError, failed};
use crate::guest::GuestError;
use crate::run::prepare::subject;
use crate::run::record::told::{Reading, Told};
use rig_wire::agent::Failure;

/// `version` answers with it when no module runs any more.
const ENXIO: i32 = 6;
const ENOENT: i32 = 2;

/// What runs before the first update.
pub(crate) async fn read_before(drive: &Drive<'_>, told: &mut Told) -> Result<(), DriveError> {
    drive.doing(told, "reading the module's version");
    told.before = match drive.guest.read(&attribute(drive, "version")).await {
        Err(GuestError::Failed(f)) if f.errno == Some(ENOENT) => return Err(DriveError::NoSubject(f.what)),
        version => lost_is_none(version).map_err(|error| failed(told, error))?,
    };
    told.after.clone_from(&told.before);
    told.remaining.0 = Some(remaining(drive).await);
    told.absent = true;
    for upload in UPLOADS {
        match drive.guest.read(upload).await {
            Ok(_) => told.absent = false,
            Err(GuestError::Failed(f)) if f.errno == Some(ENOENT) => {}
            Err(error) => return Err(failed(told, error)),
        }
    }
    Ok(())
}

/// What is left of the SEAM database at the end.
pub(super) async fn read_after(drive: &Drive<'_>, told: &mut Told) {
    drive.doing(told, "reading back");
    told.remaining.1 = Some(remaining(drive).await);
}

/// The module's version; none: there is no module any more.
pub(super) async fn version(drive: &Drive<'_>, told: &Told) -> Result<Option<String>, DriveError> {
    lost_is_none(drive.guest.read(&attribute(drive, "version")).await).map_err(|error| failed(told, error))
}

/// Whoever makes the verdict decides what it means that it cannot be read.
async fn remaining(drive: &Drive<'_>) -> Reading {
    match drive.guest.read(&attribute(drive, "num_remaining_updates")).await {
        Ok(text) => text.parse().map_err(|_| format!("it holds \"{text}\"")),
        Err(GuestError::Failed(Failure { errno: Some(errno), .. })) => Err(format!("errno {errno}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Path of one of the subject's attributes.
fn attribute(drive: &Drive<'_>, name: &str) -> String {
    format!("{}/{name}", subject::attributes(drive.scenario.subject))
}

fn lost_is_none(version: Result<String, GuestError>) -> Result<Option<String>, GuestError> {
    match version {
        Err(GuestError::Failed(f)) if f.errno == Some(ENXIO) => Ok(None),
        version => version.map(Some),
    }
}
