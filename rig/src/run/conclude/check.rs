//! One check of something that was expected.

use rig_judge::verdict::Check;

/// A check of two texts.
pub(super) fn check(name: &str, expected: &str, seen: &str) -> Check {
    Check { name: name.into(), expected: expected.into(), seen: seen.into(), met: expected == seen }
}

/// How the kernel answered an order: done, or refused.
pub(super) fn words_of(errno: Option<i32>) -> String {
    errno.map_or("done".to_owned(), |e| format!("refused with errno {e}"))
}
