//! The ways in which a function is made wrong.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A rule makes a mutant at each place where it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A statement is left out: an expression, a jump, or an `if`, loop or `switch` with all that is in it.
    DeleteStatement,
    /// The condition of an `if`, a loop or `?:` is negated, or one operand of `&&` or `||`.
    NegateCondition,
    /// The right side of a comparison is one more.
    OneMore,
    /// The right side of a comparison is one less.
    OneLess,
    /// Two statements that follow each other in a block change places.
    SwapStatements,
}

impl Rule {
    /// All of them, in the order in which a list has them.
    pub const ALL: [Self; 5] =
        [Self::DeleteStatement, Self::NegateCondition, Self::OneMore, Self::OneLess, Self::SwapStatements];

    /// Its name in identities and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeleteStatement => "delete-statement",
            Self::NegateCondition => "negate-condition",
            Self::OneMore => "one-more",
            Self::OneLess => "one-less",
            Self::SwapStatements => "swap-statements",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
