//! The template of a scenario file: everything that is often needed, as comments.

/// A scenario file of this name. All but the name is commented out: explanations begin with `##`, keys with `#`.
pub fn commented(name: &str) -> String {
    include_str!("template.toml").replace("NAME", name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Scenario, from_text};

    #[test]
    fn is_a_scenario_as_it_stands() {
        let scenario = from_text(&commented("my-own"), "my-own.toml").unwrap();
        let why = scenario.why.clone();
        assert!(why.len() > 10, "{why}");
        assert_eq!(scenario, Scenario { name: "my-own".into(), why, ..Scenario::default() });
    }

    /// Each part is what stands between two blank lines.
    #[test]
    fn each_part_that_is_commented_out_is_right() {
        let text = commented("my-own");
        let uncommented = |part: &str| {
            let lines = part.lines().filter(|line| !line.starts_with("##"));
            lines.map(|line| line.strip_prefix("# ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
        };
        let mut parts = text.split("\n\n").map(uncommented);
        let head = parts.next().unwrap();
        let rest: Vec<String> = parts.filter(|part| !part.trim().is_empty()).collect();
        assert!(rest.len() >= 8, "{rest:?}");
        for part in &rest {
            let plain = from_text(&head, "x.toml").unwrap();
            let changed = from_text(&format!("{head}\n{part}\n"), "x.toml");
            let changed = changed.unwrap_or_else(|trouble| panic!("{part}: {} {}", trouble.cause, trouble.help));
            assert_ne!(changed, plain, "{part} changes nothing");
        }
    }
}
