//! Links in documents.

use crate::common::{library, none, one};
use tidy::check::links;
use tidy::violation::Violation;

fn check(text: &str) -> Vec<Violation> {
    let other = "# A title, with `code`!\n\n## Twice\n\n## Twice\n";
    links(&library(&[("docs/page.md", text), ("docs/other.md", other), ("src/lib.rs", ""), ("a.png", "")]))
}

#[test]
fn links_to_what_is_there_are_no_fault() {
    none(&check("[a](other.md) [b](../src/lib.rs) [c](../src) ![d](../a.png) [e](https://x.y/z.md) <mailto:a@b.c>"));
    none(&check("# Here\n\n[a](#here) [b](other.md#a-title-with-code) [c](other.md#twice-1) [d]\n\n[d]: other.md"));
    none(&check("`[a](gone.md)`\n\n```\n[a](gone.md)\n```\n"));
}

#[test]
fn a_broken_link_is_found_with_its_line() {
    one(&check("# Here\n\nSee [a](gone.md)."), &["docs/page.md:3", "gone.md", "there is no docs/gone.md"]);
    one(&check("![a](b.png)"), &["docs/page.md:1"]);
    one(&check("[a]\n\n[a]: ../gone"), &["there is no gone"]);
}

#[test]
fn a_heading_that_is_not_there_is_found() {
    one(&check("[a](#gone)"), &["docs/page.md has no heading for #gone"]);
    one(&check("[a](other.md#twice-2)"), &["docs/other.md has no heading for #twice-2"]);
}
