//! Leaves by name, as people write them: in full, or as reports do.

use seam_emu::abi::Leaf;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// The leaf of this name; `TDH.` of the module's and `SEAMLDR.` of P-SEAMLDR's may be left out, where that leaves no doubt.
pub(super) fn named(text: &str) -> Result<Leaf, String> {
    if let Some(leaf) = Leaf::from_name(text) {
        return Ok(leaf);
    }
    let is_short = |leaf: &&&Leaf| leaf.name().split_once('.').is_some_and(|(_, rest)| rest == text);
    let matching: Vec<&Leaf> = Leaf::ALL.iter().filter(|leaf| is_short(&leaf)).collect();
    match matching.as_slice() {
        [only] => Ok(**only),
        [] => Err(format!("no leaf is called `{text}`; {}", nearest(text))),
        several => {
            let names: Vec<&str> = several.iter().map(|leaf| leaf.name()).collect();
            Err(format!("`{text}` can be {}; write it in full", names.join(" and ")))
        }
    }
}

fn nearest(name: &str) -> String {
    let likeness = |leaf: &&Leaf| strsim::jaro_winkler(name, leaf.name());
    let best = Leaf::ALL.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    best.map_or_else(String::new, |leaf| format!("did you mean `{}`?", leaf.name()))
}

/// Reads a leaf's name; the full one comes out.
pub(super) fn full_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    named(&text).map(|leaf| leaf.name().to_owned()).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_has_its_full_name_and_that_of_reports() {
        assert_eq!(named("TDH.SYS.SHUTDOWN"), Ok(Leaf::SysShutdown));
        assert_eq!(named("SYS.SHUTDOWN"), Ok(Leaf::SysShutdown));
        assert_eq!(named("INSTALL"), Ok(Leaf::LdrInstall));
        assert!(named("SEAMLDR.INSTAL").unwrap_err().ends_with("did you mean `SEAMLDR.INSTALL`?"));
    }

    #[test]
    fn every_short_name_is_of_one_leaf_or_refused() {
        for leaf in Leaf::ALL {
            let short = leaf.name().split_once('.').unwrap().1;
            match named(short) {
                Ok(found) => assert_eq!(found, *leaf),
                Err(why) => assert!(why.contains(leaf.name()) && why.contains("in full"), "{short}: {why}"),
            }
        }
    }
}
