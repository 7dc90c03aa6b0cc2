//! All tests that reach the firmware as its users do, in one binary: a change of the library links once.

mod common;

mod faults;
mod fidelity;
mod fields;
mod genuine;
mod holding;
mod images;
mod interleavings;
mod linux_flow;
mod machine_code;
mod platforms;
mod properties;
mod save;
mod scripts;
mod seamldr;
mod sigstructs;
mod states;
mod sys;
mod td_calls;
mod td_life;
mod td_vmm;
mod tdmrs;
mod timing;

// As in the library's own tests: instrumented for fuzzing, this too needs libFuzzer.
use bolero as _;
