//! Public types of one name.

use crate::common::{library, none, one};
use tidy::allowed::{Allowed, AllowedHomonym};
use tidy::check::homonyms;
use tidy::violation::Violation;

fn check(x: &str, y: &str, allowed: &[AllowedHomonym]) -> Vec<Violation> {
    homonyms(&library(&[("src/lib.rs", "mod x; mod y;"), ("src/x.rs", x), ("src/y.rs", y)]), allowed)
}

fn allowed(modules: &str) -> Vec<AllowedHomonym> {
    let entry = format!("[[homonym]]\ncrate-name = \"a\"\nname = \"T\"\nmodules = {modules}\nreason = \"r\"");
    Allowed::parse(&entry).unwrap().homonym
}

#[test]
fn a_name_of_its_own_and_private_names_are_no_fault() {
    none(&check("pub struct T;", "struct T;", &[]));
    none(&check("pub struct T;", "#[cfg(test)] pub struct T; pub fn T() {}", &[]));
}

#[test]
fn a_homonym_is_found() {
    one(&check("pub struct T;", "pub(crate) enum T {}", &[]), &["a: T is", "src/x.rs:1, src/y.rs:1"]);
    one(&check("pub trait T {}", "mod inner { pub(super) type T = u8; }", &[]), &["src/y.rs:1"]);
}

#[test]
fn a_listed_homonym_is_no_fault_and_an_entry_that_is_not_true_is() {
    none(&check("pub struct T;", "pub struct T;", &allowed("[\"x\", \"y\"]")));
    one(&check("pub struct T;", "", &allowed("[\"x\", \"y\"]")), &["mend the entry"]);
}
