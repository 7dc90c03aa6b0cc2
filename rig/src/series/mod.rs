//! Patch series and histories of the kernel: each state is built and judged, and compared with the one before it.
//!
//! | module | what it does |
//! | --- | --- |
//! | `scenario_result`, `difference`, `row`, `report` | pure: what a scenario came to, what changed, how a patch stands, all of them |
//! | `terminal`, `html`, `ktap`, `kcidb`, `b4` | pure: the report for people and for programs |
//! | `judging`, `compare`, `bisect` | the order of work, over the trait [`Bench`] that builds and runs |
//! | `git`, `mails`, `repository` | patches and commits, by git's own commands |
//! | `workshop` | [`Bench`] with real kernels and machines |

mod b4;
mod bench;
mod bisect;
mod compare;
mod difference;
#[cfg(test)]
mod flow_tests;
mod git;
mod html;
mod judging;
mod kcidb;
mod known;
mod ktap;
mod mails;
mod report;
mod repository;
mod row;
mod scenario_result;
mod terminal;
mod work;
mod workshop;

pub use b4::b4;
pub use bisect::{FirstBad, Step as BisectStep};
pub use difference::{Change, Difference};
pub use html::html;
pub use kcidb::kcidb;
pub use ktap::ktap;
pub use report::SeriesReport;
pub use row::{PatchRow, PatchStanding};
pub use scenario_result::ScenarioResult;
pub use terminal::{end, line, table};
pub use work::{BisectRequest, Listener, Patches, SeriesRequest, bisect, of_mail, series};
