//! Equal failures of many seeds, together.

use super::results::SeedResult;
use super::summary::kind;
use std::fmt::Write as _;
use std::path::Path;

/// Seeds of a group that are named.
const NAMED: usize = 3;

/// Seeds that failed in the same way: the same invariants broke, and the reason is the same but for its numbers (which CPU it was,
/// at which address, which update of the guest).
#[derive(Debug)]
pub(crate) struct FailureGroup<'a> {
    key: (String, String),
    seeds: Vec<&'a SeedResult>,
}

/// Puts equal failures together, the most frequent first.
pub(crate) fn groups<'a>(failed: &[&'a SeedResult]) -> Vec<FailureGroup<'a>> {
    let mut groups: Vec<FailureGroup<'a>> = Vec::new();
    for result in failed {
        let key = (kind(result), without_numbers(result.reason.as_deref().unwrap_or_default()));
        match groups.iter_mut().find(|group| group.key == key) {
            Some(group) => group.seeds.push(result),
            None => groups.push(FailureGroup { key, seeds: vec![result] }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.seeds.len()));
    groups
}

impl FailureGroup<'_> {
    /// For people: how many, the first one's reason and evidence, and the commands that go on from there.
    pub(crate) fn text(&self, folder: &Path) -> String {
        let count = self.seeds.len();
        let first = self.seeds.iter().find(|result| result.run.is_some()).unwrap_or(&self.seeds[0]);
        let reason = first.reason.clone().unwrap_or_else(|| kind(first));
        let named: Vec<String> = self.seeds.iter().take(NAMED).map(|result| result.seed.to_string()).collect();
        let more = match count.saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let word = if count == 1 { "seed" } else { "seeds" };
        let mut text = format!("{count} {word}: {reason}\n  {word} {}{more}", named.join(", "));
        if let Some(run) = &first.run {
            let run = folder.join(run).display().to_string();
            let _ = write!(text, "\n  look:   cargo rig show {run}\n  again:  cargo rig replay {run} --times 20");
            let _ = write!(text, "\n  shrink: cargo rig shrink {run}");
        }
        text
    }
}

/// A text in which each number is the same.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        plain.push_str(&rest[..at]);
        plain.push('#');
        let number = &rest[at..];
        // An address is one number, whatever letters it has.
        let is_part: fn(char) -> bool =
            if number.starts_with("0x") { |c| c.is_ascii_hexdigit() || c == 'x' } else { |c| c.is_ascii_digit() };
        rest = number.trim_start_matches(is_part);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::result;
    use super::*;
    use rig_judge::Outcome;

    fn failed(seed: u64, reason: &str, run: Option<&str>) -> SeedResult {
        SeedResult { reason: Some(reason.into()), run: run.map(Into::into), ..result(seed, Outcome::Failed) }
    }

    #[test]
    fn failures_that_differ_in_numbers_only_are_equal() {
        let all = [
            failed(4, "CPU 1 is late at 0xffa0", None),
            failed(7, "CPU 3 never came", Some("guests/2")),
            failed(9, "CPU 2 is late at 0x81f", Some("guests/3")),
        ];
        let groups = groups(&all.iter().collect::<Vec<_>>());
        assert_eq!(groups.iter().map(|group| group.seeds.len()).collect::<Vec<_>>(), [2, 1]);
        let text = groups[0].text(Path::new("runs/x"));
        assert!(text.starts_with("2 seeds: CPU 2 is late at 0x81f\n  seeds 4, 9\n"), "{text}");
        assert!(text.contains("cargo rig replay runs/x/guests/3 --times 20"), "the one that has evidence: {text}");
        let text = groups[1].text(Path::new("runs/x"));
        assert!(text.starts_with("1 seed: CPU 3 never came\n  seed 7\n"), "{text}");
    }

    #[test]
    fn other_words_or_invariants_are_another_failure() {
        let (mut one, other) = (failed(1, "late", None), failed(2, "late", None));
        one.broken = vec!["serial-loader".into()];
        assert_eq!(groups(&[&one, &other]).len(), 2);
        assert_eq!(groups(&[&failed(1, "late", None), &failed(2, "later", None)]).len(), 2);
        assert_eq!(groups(&[]).len(), 0);
    }

    #[test]
    fn numbers_are_alike_and_words_are_not() {
        assert_eq!(without_numbers("CPU 12: 0xdeadbeef, face"), "CPU #: #, face");
        assert_eq!(without_numbers("none"), "none");
    }
}
