//! The rig: scenarios in, verdicts out.
//!
//! It starts machines whose emulated SEAM firmware services SEAMCALLs, drives the run-time update of the TDX module
//! through an agent in the guest, and hands every observation to the judge. It never touches the subject's code.

mod acks;
pub mod bundle;
pub mod claim;
pub mod cli;
pub mod dist;
pub mod doctor;
pub mod explore;
mod file_hash;
mod fingerprint;
mod fit;
pub mod guest;
pub mod machine;
mod milliseconds;
pub mod mutants;
pub mod packed;
mod prove;
mod record_file;
pub mod releases;
pub mod run;
pub mod scenario;
pub mod series;
pub mod suite;
pub mod symbols;
pub mod tds;
pub mod trouble;
mod update_image;
mod version;
mod whole_file;
