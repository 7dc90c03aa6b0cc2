//! Arrows between crates.

use crate::common::{architecture, none, one, package, workspace};
use tidy::check::arrows;

#[test]
fn the_promised_arrow_is_no_fault() {
    none(&arrows(&workspace(&[], vec![package("a", &["b"]), package("b", &[])]), &architecture()));
}

#[test]
fn a_foreign_arrow_is_found() {
    let tree = workspace(&[], vec![package("a", &["b"]), package("b", &["a"])]);
    one(&arrows(&tree, &architecture()), &["b: needs a", "[arrows] in ARCHITECTURE.md lacks"]);
}

#[test]
fn an_arrow_that_is_promised_to_tests_alone_is_not_promised_to_the_product() {
    let mut user = package("a", &["b"]);
    user.tests_need.insert("b".to_owned());
    let tree = workspace(&[], vec![user, package("b", &[])]);
    one(&arrows(&tree, &architecture()), &["a: needs b", "[arrows-of-tests] in ARCHITECTURE.md lacks"]);
}

#[test]
fn a_promised_arrow_that_is_gone_is_found() {
    let tree = workspace(&[], vec![package("a", &[]), package("b", &[])]);
    one(&arrows(&tree, &architecture()), &["a: does not need b"]);
}
