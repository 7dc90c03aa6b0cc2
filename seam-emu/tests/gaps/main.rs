//! Where the model once differed from the published sources: a test for each difference, named by its number in the
//! list of differences that was made from those sources (`a01` is the first of section A).

#[path = "../firmware/common/mod.rs"]
#[allow(dead_code, reason = "the helpers are those of tests/firmware, which uses all of them")]
mod common;

mod generations;
mod leaf;

// As in the library's own tests: instrumented for fuzzing, this too needs libFuzzer.
use bolero as _;
