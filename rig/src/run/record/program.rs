//! How a program ended that the guest ran for a scenario.

use rig_wire::agent::Executed;

/// How one program ended.
#[derive(Debug)]
pub(crate) struct ProgramEnd {
    /// Its exit code and its output.
    pub(crate) executed: Executed,
    /// What `version` reads afterwards; none: the module is lost.
    pub(crate) version: Option<String>,
}
