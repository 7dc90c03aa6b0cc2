//! FIDELITY.md lists the differences that are accepted, with the reasons that the code has.

use seam_conform::compare::ACCEPTED;
use std::path::Path;

#[test]
fn accepted_differences_are_those_of_the_page() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../FIDELITY.md");
    let page = std::fs::read_to_string(page).expect("the page is here");
    let heading = "Differences from a module's code that are accepted";
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect("the heading is there");
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(2);
    let told: Vec<Vec<&str>> = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
    let known: Vec<Vec<&str>> = ACCEPTED.iter().map(|accepted| vec![accepted.name, accepted.reason]).collect();
    assert_eq!(told, known);
}
