//! Which part of a file changes with which switches.

use crate::lines::Lines;
use crate::list::{Genre, Mutant};
use crate::places::{Places, precedence};
use crate::trouble::Trouble;
use std::collections::BTreeSet;
use std::ops::Range;

/// What a site is, which decides how a switch is written there. The order is that in which sites of the same extent lie in
/// one another, the outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// The statements of a function.
    Body,
    /// An expression.
    Expression,
    /// The end of an arm's pattern: the switch becomes the arm's condition.
    Arm,
}

/// One mutant at a site.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// The number of its switch.
    pub switch: u32,
    /// What stands in the site's place. Empty for arms.
    pub text: String,
}

/// A part of a file with all mutants that replace it.
#[derive(Clone, Debug)]
pub struct Site {
    /// Where it is in the original.
    pub extent: Range<usize>,
    /// What it is.
    pub form: Form,
    /// At least one, with consecutive switches.
    pub alternatives: Vec<Alternative>,
}

/// The switch that is on in no mutant.
pub const NONE: u32 = 0;

/// Where a mutant's text is in its file.
pub fn extent(mutant: &Mutant, lines: &Lines<'_>) -> Result<Range<usize>, Trouble> {
    let at = |place: crate::list::Position| {
        let missing = || Trouble::NoSuchPlace { file: mutant.file.clone(), line: place.line, column: place.column };
        lines.offset(place).ok_or_else(missing)
    };
    Ok(at(mutant.span.start)?..at(mutant.span.end)?)
}

/// What a mutant makes of its file, or of an extent around it.
pub fn replaced(text: &str, around: &Range<usize>, extent: &Range<usize>, replacement: &str) -> String {
    [&text[around.start..extent.start], replacement, &text[extent.end..around.end]].concat()
}

/// What was found for the mutants of one file.
#[derive(Debug, Default)]
pub struct Sites {
    /// The sites, from the first in the file on, an outer one before those inside it.
    pub sites: Vec<Site>,
    /// The mutants with a switch, by name.
    pub names: Vec<(u32, String)>,
    /// Those that cannot have one.
    pub unswitched: BTreeSet<String>,
}

/// Finds the sites of `mutants`, all of them of the file `text`. Switches are numbered from `first` on.
pub fn of(text: &str, places: &Places, mutants: &[&Mutant], first: u32) -> Result<Sites, Trouble> {
    let lines = Lines::of(text);
    let mut all = Vec::new();
    let mut found = Sites::default();
    for mutant in mutants {
        let extent = extent(mutant, &lines)?;
        match place(text, places, mutant, &extent) {
            Some((around, form, text)) => all.push((around, form, text, mutant.name.clone())),
            None => {
                found.unswitched.insert(mutant.name.clone());
            }
        }
    }
    all.sort_by_key(|(around, form, ..)| (around.start, std::cmp::Reverse(around.end), *form));
    for ((extent, form, text, name), switch) in all.into_iter().zip(first..) {
        found.names.push((switch, name));
        let alternative = Alternative { switch, text };
        match found.sites.last_mut().filter(|site| site.extent == extent && site.form == form) {
            Some(site) => site.alternatives.push(alternative),
            None => found.sites.push(Site { extent, form, alternatives: vec![alternative] }),
        }
    }
    Ok(found)
}

/// The extent that must be replaced as a whole so that the mutant's text is read as cargo-mutants' file would be.
fn place(text: &str, places: &Places, mutant: &Mutant, extent: &Range<usize>) -> Option<(Range<usize>, Form, String)> {
    let covers = |one: &Range<usize>| one.start <= extent.start && extent.end <= one.end;
    if places.constants.iter().any(covers) {
        return None;
    }
    if mutant.genre == Genre::FnValue {
        // In a `const fn` the compiler refuses calls of functions that are not, such as `Default::default`.
        let is_const = places.const_fns.iter().any(|function| covers(&function.body));
        let may_be_refused = is_const && mutant.replacement.contains("::");
        return (!may_be_refused).then(|| (extent.clone(), Form::Body, mutant.replacement.clone()));
    }
    if mutant.genre == Genre::MatchArm {
        let end = *places.arms.get(&extent.start)?;
        return Some((end..end, Form::Arm, String::new()));
    }
    let around = match mutant.genre {
        Genre::BinaryOperator => operator(places, mutant, extent)?,
        Genre::UnaryOperator => places.unaries.get(&extent.start)?.clone(),
        Genre::StructField => places.fields.get(&extent.start)?.clone(),
        Genre::MatchArmGuard | Genre::FnValue | Genre::MatchArm => extent.clone(),
    };
    let text = replaced(text, &around, extent, &mutant.replacement);
    // What is no expression by itself would spoil the whole file.
    syn::parse_str::<syn::Expr>(&text).is_ok().then_some((around, Form::Expression, text))
}

/// The operator's expression, or that around it which another precedence tears apart: `a && b && c` with its first `&&`
/// replaced is `a || (b && c)`.
fn operator(places: &Places, mutant: &Mutant, extent: &Range<usize>) -> Option<Range<usize>> {
    let operator = places.operators.get(&extent.start)?;
    let new = precedence(&syn::parse_str(&mutant.replacement).ok()?);
    let loosest = new.min(operator.precedence);
    let mut links = operator.chain.iter().rev();
    let mut around = links.next()?;
    for link in links.take_while(|link| new != operator.precedence && link.precedence >= loosest) {
        around = link;
    }
    (!around.has_let).then(|| around.extent.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{Extent, Position};
    use crate::places;

    /// What a mutant of a one-line file makes of it, and in whose place.
    fn placed(text: &str, old: &str, new: &str, genre: Genre) -> Option<(String, String)> {
        let at = text.find(old).expect("the text has it");
        let position = |offset: usize| Position { line: 1, column: text[..offset].chars().count() + 1 };
        let span = Extent { start: position(at), end: position(at + old.len()) };
        let mutant = Mutant { name: "m".into(), file: "f".into(), span, replacement: new.into(), genre };
        let places = places::of(&syn::parse_file(text).unwrap(), &Lines::of(text));
        let found = of(text, &places, &[&mutant], 1).unwrap();
        assert_eq!(found.sites.len() + found.unswitched.len(), 1);
        found.sites.first().map(|site| (text[site.extent.clone()].to_owned(), site.alternatives[0].text.clone()))
    }

    #[test]
    fn an_operator_is_replaced_with_all_that_another_precedence_tears_apart() {
        let placed = |text: &str, old, new| placed(&format!("fn f() {{ g({text}) }}"), old, new, Genre::BinaryOperator);
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(placed("a && b == c", "==", "!="), pair("b == c", "b != c"));
        assert_eq!(placed("a && b && c", "&&", "||"), pair("a && b && c", "a || b && c"));
        assert_eq!(placed("a - b + c", "-", "/"), pair("a - b + c", "a / b + c"));
        assert_eq!(placed("x == a + b", "+", "*"), pair("a + b", "a * b"));
        assert_eq!(placed("x - a * b", "*", "+"), pair("x - a * b", "x - a + b"));
        assert_eq!(placed("x + (a * b)", "*", "+"), pair("a * b", "a + b"));
        // `a as usize < b` is no expression.
        assert_eq!(placed("a as usize > b", ">", "<"), None);
    }

    #[test]
    fn a_chain_with_a_let_has_no_switch_but_its_operands_do() {
        let text = "fn f() { if let Some(a) = b && c && d == e { } }";
        assert_eq!(placed(text, "&&", "||", Genre::BinaryOperator), None);
        let operand = placed(text, "==", "!=", Genre::BinaryOperator).unwrap();
        assert_eq!(operand.0, "d == e");
    }

    #[test]
    fn what_the_compiler_computes_has_no_switch() {
        for text in
            ["const A: u32 = 1 + 2;", "static A: u32 = 1 + 2;", "enum E { A = 1 + 2 }", "fn f(a: [u8; 1 + 2]) { }"]
        {
            assert_eq!(placed(text, "+", "-", Genre::BinaryOperator), None, "{text}");
        }
        assert!(placed("const fn f() { g(1 + 2) }", "+", "-", Genre::BinaryOperator).is_some());
        assert!(placed("const fn f() -> u8 { g() }", "g()", "0", Genre::FnValue).is_some());
        assert_eq!(placed("const fn f() -> u8 { g() }", "g()", "Default::default()", Genre::FnValue), None);
    }

    #[test]
    fn an_arm_has_a_condition_only_where_others_remain() {
        let arm = |text: &str| placed(text, "1 => a,", "", Genre::MatchArm).is_some();
        assert!(arm("fn f() { match x { 1 => a, _ => b } }"));
        assert!(!arm("fn f() { match x { 1 => a, _ if c => b, _ if d => e } }"));
    }
}
