//! Fuzz targets: bytes become calls (`calls`) or an image (`images`), and what must hold is judged.
//!
//! `cargo test` replays the inputs kept in `__fuzz__` and tries a fixed set of random ones. Guided by coverage, for as long as
//! one likes, with the stable compiler and a C++ compiler for libFuzzer (`cargo install cargo-bolero`):
//!
//! ```text
//! cargo bolero test -p seam-emu calls::target --sanitizer NONE -T 10m
//! cargo bolero test -p seam-emu images::target --sanitizer NONE -T 10m
//! ```

mod bytes;
mod calls;
#[path = "../firmware/common/mod.rs"]
#[allow(dead_code, reason = "fuzz targets use a part of it")]
mod common;
mod images;
