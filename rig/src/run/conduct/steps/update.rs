//! One update of the TDX module, as the guest's user space makes it.

use super::context::StepContext;
use super::device::DEVICE;
use super::disturbance::{Disturbance, disturb};
use super::error::{StepError, failed};
use super::readings::version;
use crate::guest::GuestError;
use crate::run::record::guest_report::GuestReport;
use crate::run::record::upload::Upload;
use crate::update_image::update_image;
use rig_wire::agent::{Answer, Command};
use rig_wire::event::{self, Mark, update_end};

/// One update, from its upload to what is read back.
pub(crate) async fn update(context: &StepContext<'_>, report: &mut GuestReport, number: u32) -> Result<(), StepError> {
    let (image, wanted) = update_image(context.scenario, number)?;
    let before = report.after.clone();
    let to = wanted.as_deref().unwrap_or("the given image");
    let doing = format!("update {number} of {} to {to}", context.scenario.updates);
    context.mark(Mark::UpdateBegin, u64::from(number)).await?;
    context.doing(report, &doing);
    let upload = context.guest.request(Command::Update { device: DEVICE.into(), image });
    let (answer, disturbance) = match number {
        1 => tokio::join!(upload, disturb(context)),
        _ => (upload.await, Ok(Disturbance::default())),
    };
    let disturbance = disturbance.map_err(|error| failed(report, error))?;
    report.switches.extend(disturbance.switches);
    report.during.extend(disturbance.refusals);
    let outcome = match answer.map_err(|error| failed(report, error))? {
        Answer::Update(outcome) => outcome,
        other => return Err(failed(report, GuestError::Unexpected(Box::new(other)))),
    };
    let after = version(context, report).await?;
    report.after.clone_from(&after);
    let upload = Upload { outcome, before, wanted, after };
    let reported = if upload.succeeded() { event::UpdateOutcome::Succeeded } else { event::UpdateOutcome::Failed };
    report.updates.push(upload);
    context.mark(Mark::UpdateEnd, update_end(number, reported)).await
}
