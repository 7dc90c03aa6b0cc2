//! The scenario, step by step, as the guest lives it: free functions over a [`Drive`].

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

pub(crate) use context::Drive;
pub(crate) use error::DriveError;
pub(crate) use scenario::run_scenario;
