//! A machine of nothing but a kernel's function on vCPUs.

pub(crate) mod case;
pub(crate) mod firmware;
pub(crate) mod kernel;
pub(crate) mod layout;
pub(crate) mod machine;
pub(crate) mod outcome;
pub(crate) mod paging;
pub(crate) mod recorded;
pub(crate) mod walk;
