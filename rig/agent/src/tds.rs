//! Trust domains that the agent runs for the rig.

use crate::failure;
use rig_monitor::{Churner, Host, MonitorError, Running};
use rig_wire::agent::Failure;
use rig_wire::td::{Churn, ChurnReport, TdPlan, TdReport};
use std::sync::{Mutex, PoisonError};

/// All trust domains that run.
#[derive(Default)]
pub(crate) struct Tds {
    running: Mutex<Vec<Running>>,
    churner: Mutex<Option<Churner>>,
}

impl Tds {
    /// Builds and starts them, one after another. If one cannot be made, those before it run on.
    pub(crate) fn start(&self, plans: &[TdPlan]) -> Result<(), Failure> {
        let host = Host::open().map_err(|e| refused(&e))?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for plan in plans {
            let number = running.len();
            let td = host.build(plan, None).map_err(|e| refused(&e))?;
            running.push(Running::start(td, plan, number).map_err(|e| refused(&e))?);
        }
        Ok(())
    }

    /// Asks all to end and waits for it.
    pub(crate) fn stop(&self) -> Result<Vec<TdReport>, Failure> {
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for td in &running {
            td.ask_to_end().map_err(|e| refused(&e))?;
        }
        Ok(running.into_iter().map(Running::finish).collect())
    }

    /// Starts to churn.
    pub(crate) fn start_churn(&self, churn: Churn) -> Result<(), Failure> {
        let mut churner = self.churner.lock().unwrap_or_else(PoisonError::into_inner);
        if churner.is_some() {
            return Err(failure::refused(libc::EBUSY, "trust domains are churned already"));
        }
        *churner = Some(Churner::start(churn).map_err(|e| refused(&e))?);
        Ok(())
    }

    /// Ends the churn.
    pub(crate) fn stop_churn(&self, when_done: bool) -> Result<ChurnReport, Failure> {
        let churner = self.churner.lock().unwrap_or_else(PoisonError::into_inner).take();
        let churner = churner.ok_or_else(|| failure::refused(libc::EINVAL, "no trust domains are churned"))?;
        Ok(churner.finish(when_done))
    }
}

fn refused(error: &MonitorError) -> Failure {
    let errno = match error {
        MonitorError::Refused { errno, .. } => *errno,
        MonitorError::Plan(_) | MonitorError::GivenUp => libc::EINVAL,
    };
    failure::refused(errno, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cannot_end_what_was_not_begun() {
        let tds = Tds::default();
        assert_eq!(tds.stop().unwrap(), Vec::new());
        assert_eq!(tds.stop_churn(true).unwrap_err().errno, Some(libc::EINVAL));
    }
}
