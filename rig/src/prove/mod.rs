//! What the rig makes of a proof about a kernel's machine code: counterexamples as scenarios that a whole machine replays and as
//! recordings that the judge judges, threads for the search, machines to begin from, and certificates that are compared with a proof made anew.

mod certificate;
mod initial;
mod judgement;
mod order;
mod replay;
mod threads;
mod whole;

pub(crate) use certificate::{Certificate, differences};
pub(crate) use judgement::{OrderJudgement, judge};
pub(crate) use replay::{ObservedKernel, scenario};
pub(crate) use whole::{Proof, prove};
