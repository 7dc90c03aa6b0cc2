//! Modules that need one another in a circle.

use crate::common::{library, none, one};
use tidy::allowed::{Allowed, AllowedCycle};
use tidy::check::cycles;
use tidy::violation::Violation;

/// A library of the modules `x` and `y` with these texts.
fn two(x: &str, y: &str) -> Vec<Violation> {
    cycles(&library(&[("src/lib.rs", "mod x; mod y;"), ("src/x.rs", x), ("src/y.rs", y)]), &[])
}

fn allowed(modules: &str) -> Vec<AllowedCycle> {
    let entry = format!("[[cycle]]\ncrate-name = \"a\"\nmodules = {modules}\nreason = \"r\"");
    Allowed::parse(&entry).unwrap().cycle
}

#[test]
fn one_direction_is_no_fault() {
    none(&two("use crate::y::Y; pub struct X(Y);", "pub struct Y;"));
}

#[test]
fn two_modules_that_use_one_another_are_found_with_both_arrows() {
    let found = two("use crate::y::Y;\npub struct X(Y);", "\nuse super::x::X;\npub struct Y(Box<X>);");
    one(&found, &["a: 2 modules", "x -> y  src/x.rs:1 crate::y::Y", "y -> x  src/y.rs:2 super::x::X"]);
}

#[test]
fn a_path_needs_no_use() {
    one(&two("pub fn x() { crate::y::y() }", "pub fn y() { super::x::x() }"), &["x -> y", "y -> x"]);
    one(&two("pub fn x(_: crate::y::Y) {}", "pub enum Y { A } fn y() { crate::x::x(Y::A) }"), &["y -> x"]);
}

#[test]
fn macros_attributes_and_functions_own_imports_are_looked_into() {
    let needed = "pub fn x() {} pub struct Y(crate::x::X);";
    one(&two("pub struct X; fn f() { println!(\"{:?}\", crate::y::x()) }", needed), &["x -> y"]);
    one(
        &two("#[derive(D)] pub struct X { #[serde(with = \"crate::y\", default = \"crate::y::x\")] f: u8 }", needed),
        &["x -> y"],
    );
    one(&two("pub struct X; fn f() { use crate::y::x; x() }", needed), &["x -> y"]);
}

#[test]
fn names_are_followed_through_reexports_to_where_they_are_defined() {
    // `x` uses `y` by way of the root, which hands out both; the root is no part of the circle.
    let root = "mod x; mod y; pub use x::X; pub use y::*;";
    let files =
        [("src/lib.rs", root), ("src/x.rs", "use crate::Y; pub struct X(Y);"), ("src/y.rs", "pub struct Y(crate::X);")];
    one(&cycles(&library(&files), &[]), &["a: 2 modules", "x -> y", "y -> x"]);
}

#[test]
fn a_parent_that_only_hands_out_its_children_is_in_no_circle() {
    let root = "mod p;";
    let parent = "mod c; mod d; pub use c::C; pub use d::D;";
    let files = [
        ("src/lib.rs", root),
        ("src/p/mod.rs", parent),
        ("src/p/c.rs", "use super::D; pub struct C(D);"),
        ("src/p/d.rs", "pub struct D;"),
    ];
    none(&cycles(&library(&files), &[]));
}

#[test]
fn a_child_that_uses_its_parents_own_is_in_a_circle_with_a_parent_that_calls_it() {
    let parent = "mod c; pub struct P; pub fn p() { c::run() }";
    let files =
        [("src/lib.rs", "mod p;"), ("src/p.rs", parent), ("src/p/c.rs", "pub fn run() -> super::P { super::P }")];
    one(&cycles(&library(&files), &[]), &["p -> p::c", "p::c -> p"]);
}

#[test]
fn tests_do_not_count() {
    let needing = "pub struct Y; #[cfg(test)] mod tests { use crate::x::X; } #[cfg(all(test, unix))] use crate::x::X;";
    none(&two("use crate::y::Y; pub struct X(Y);", needing));
}

#[test]
fn modules_inside_a_file_belong_to_it() {
    none(&two("mod inner { use super::X; pub struct I(X); } pub struct X; pub fn x(_: inner::I) {}", ""));
    let found = two("mod inner { pub struct I(crate::y::Y); } pub struct X;", "pub struct Y(crate::x::X);");
    one(&found, &["a: 2 modules"]);
}

#[test]
fn a_listed_cycle_is_no_fault_and_a_module_more_is() {
    let tree = [
        ("src/lib.rs", "mod x; mod y; mod z;"),
        ("src/x.rs", "pub struct X(crate::y::Y);"),
        ("src/y.rs", "pub struct Y(crate::z::Z);"),
        ("src/z.rs", "pub struct Z(crate::x::X);"),
    ];
    none(&cycles(&library(&tree), &allowed("[\"x\", \"y\", \"z\"]")));
    let grown = cycles(&library(&tree), &allowed("[\"x\", \"y\"]"));
    assert_eq!(grown.len(), 2, "{grown:#?}");
    assert!(grown[0].text.contains("not in it before: z"), "{grown:#?}");
}

#[test]
fn an_entry_without_its_cycle_is_a_fault() {
    let tree = library(&[("src/lib.rs", "mod x; mod y;"), ("src/x.rs", ""), ("src/y.rs", "")]);
    one(&cycles(&tree, &allowed("[\"x\", \"y\"]")), &["the cycle of x y is no longer there"]);
}

#[test]
fn a_module_without_a_file_is_a_fault() {
    one(&cycles(&library(&[("src/lib.rs", "mod x;")]), &[]), &["src/lib.rs", "`x`", "src/x.rs and src/x/mod.rs"]);
}
