//! One update of the TDX module, as the guest's user space makes it.

use super::context::Drive;
use super::device::DEVICE;
use super::disturbance::{Disturbance, disturb};
use super::error::{DriveError, failed};
use super::readings::version;
use crate::guest::GuestError;
use crate::run::record::told::Told;
use crate::run::record::upload::Upload;
use crate::update_image::update_image;
use rig_wire::agent::{Answer, Command};
use rig_wire::event::{self, Mark, update_end};

/// One update, from its upload to what is read back.
pub(crate) async fn update(drive: &Drive<'_>, told: &mut Told, number: u32) -> Result<(), DriveError> {
    let (image, wanted) = update_image(drive.scenario, number)?;
    let before = told.after.clone();
    let to = wanted.as_deref().unwrap_or("the given image");
    let doing = format!("update {number} of {} to {to}", drive.scenario.updates);
    drive.mark(Mark::UpdateBegin, u64::from(number)).await?;
    drive.doing(told, &doing);
    let upload = drive.guest.request(Command::Update { device: DEVICE.into(), image });
    let (answer, disturbance) = match number {
        1 => tokio::join!(upload, disturb(drive)),
        _ => (upload.await, Ok(Disturbance::default())),
    };
    let disturbance = disturbance.map_err(|error| failed(told, error))?;
    told.switches.extend(disturbance.switches);
    told.during.extend(disturbance.refusals);
    let outcome = match answer.map_err(|error| failed(told, error))? {
        Answer::Update(outcome) => outcome,
        other => return Err(failed(told, GuestError::Unexpected(Box::new(other)))),
    };
    let seen = version(drive, told).await?;
    told.after.clone_from(&seen);
    let upload = Upload { outcome, before, wanted, seen };
    let told_outcome = if upload.succeeded() { event::UpdateOutcome::Succeeded } else { event::UpdateOutcome::Failed };
    told.updates.push(upload);
    drive.mark(Mark::UpdateEnd, update_end(number, told_outcome)).await
}
