//! Each check fails on a tree that has just the fault which it is for, and on no other one.

mod common;
mod crates;
mod cycles;
mod disk;
mod documents;
mod lists;
mod names;
mod qemu;
mod sizes;
mod unsafe_files;
