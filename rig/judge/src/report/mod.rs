//! What people and their tools see of a run.

mod html;
mod junit;
mod ktap;
mod perfetto;
mod terminal;

pub use html::html;
pub use junit::junit;
pub use ktap::ktap;
pub use perfetto::perfetto;
pub use terminal::{Look, terminal};

use crate::finding::Standing;
use crate::verdict::Verdict;
use crate::{Breach, Invariant};

impl Verdict {
    /// How an invariant stands.
    pub fn standing(&self, invariant: Invariant) -> Standing {
        self.invariants.get(&invariant).copied().unwrap_or(Standing::NotApplicable)
    }

    /// The breach of an invariant.
    pub fn breach(&self, invariant: Invariant) -> Option<&Breach> {
        self.breaches.iter().find(|b| b.invariant == invariant)
    }

    /// Why an invariant could not be judged.
    pub fn why_not_observed(&self, invariant: Invariant) -> Option<&str> {
        self.not_observed.iter().find(|n| n.invariant == invariant).map(|n| n.reason.as_str())
    }
}
