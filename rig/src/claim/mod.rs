//! `rig claim`: whether what somebody claims of the kernel can be shown. What was tried goes in, the answer comes out.

mod answer;
mod evidence;
mod text;

pub use answer::Answer;
pub use evidence::{ClaimEvidence, ProofResult, SeedsResult};
pub use text::text;
