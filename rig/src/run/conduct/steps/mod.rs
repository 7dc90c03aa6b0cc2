//! The steps of a scenario in its guest: free functions over a [`StepContext`].

pub(crate) mod boot;
mod clients;
mod context;
mod cpus;
mod device;
mod disturbance;
mod error;
mod execute;
mod hw;
pub(crate) mod loads;
pub(crate) mod readings;
mod scenario;
mod tds;
pub(crate) mod update;

pub(crate) use context::StepContext;
pub(crate) use error::StepError;
pub(crate) use scenario::run_scenario;
