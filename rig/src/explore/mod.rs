//! Many schedules of one scenario: seeds, schedules, results, statistics, and how they are spread over machines.

pub mod evidence;
pub mod explorer;
#[cfg(test)]
mod fake;
pub(crate) mod groups;
pub mod random;
pub mod repeat;
pub mod repetition;
pub mod results;
pub mod schedule;
pub mod shard;
pub mod statistics;
pub mod summary;
pub mod tally;
pub mod view;
