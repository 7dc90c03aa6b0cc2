//! Makes every mutant of a function that the rules allow. A C parser finds the places, so nothing depends on how the
//! source is laid out.

use super::mutant::replaced;
use super::{Mutant, Rule};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use tree_sitter::{Node, Parser, Tree};

/// Why a function has no mutants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The file has no such function.
    #[error("{file} has no function {function}")]
    NoFunction {
        /// Path in the kernel source.
        file: String,
        /// The name that was looked for.
        function: String,
    },
    /// The parser did not understand the function, so places in it could be missed.
    #[error("the C parser does not understand {function} of {file}")]
    NotUnderstood {
        /// Path in the kernel source.
        file: String,
        /// The function.
        function: String,
    },
}

/// A replacement that a rule makes.
struct Change {
    rule: Rule,
    range: Range<usize>,
    after: String,
}

/// All mutants of `functions` in the C file `file` with the text `source`, by function as they are named, then by place and rule.
pub fn generate(file: &str, source: &str, functions: &[&str]) -> Result<Vec<Mutant>, GenerateError> {
    let tree = parse(source);
    let mut mutants = Vec::new();
    for &function in functions {
        let error = (file.to_owned(), function.to_owned());
        let node = find(&tree, source, function)
            .ok_or_else(|| GenerateError::NoFunction { file: error.0.clone(), function: error.1.clone() })?;
        if node.has_error() {
            return Err(GenerateError::NotUnderstood { file: error.0, function: error.1 });
        }
        let mut changes = Vec::new();
        visit(node, source, &mut changes);
        // What holds another place comes before it.
        changes.sort_by_key(|change| (change.range.start, change.rule, Reverse(change.range.end)));
        mutants.extend(named(file, source, function, changes));
    }
    Ok(mutants)
}

fn parse(source: &str) -> Tree {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_c::LANGUAGE.into()).expect("the grammar is made for this parser");
    parser.parse(source, None).expect("a parser with a language and without a time limit gives a tree")
}

fn find<'t>(tree: &'t Tree, source: &str, function: &str) -> Option<Node<'t>> {
    let root = tree.root_node();
    let mut cursor = root.walk();
    let definitions = root.children(&mut cursor).filter(|node| node.kind() == "function_definition");
    definitions.into_iter().find(|node| name_of(*node, source) == Some(function))
}

/// The name of a function's definition, which may stand behind stars of a pointer type.
fn name_of<'s>(definition: Node<'_>, source: &'s str) -> Option<&'s str> {
    let mut declarator = definition.child_by_field_name("declarator")?;
    while declarator.kind() != "identifier" {
        declarator = declarator.child_by_field_name("declarator")?;
    }
    Some(&source[declarator.byte_range()])
}

/// Gives the changes their names, and leaves out those that make a file which another one makes already.
fn named(file: &str, source: &str, function: &str, changes: Vec<Change>) -> Vec<Mutant> {
    let mut made = BTreeSet::from([source.to_owned()]);
    let mut numbers = BTreeMap::new();
    let mut mutants = Vec::new();
    for Change { rule, range, after } in changes {
        let text = replaced(source, range.clone(), &after);
        if !made.insert(text.clone()) {
            continue;
        }
        let line = 1 + source[..range.start].matches('\n').count();
        let number = numbers.entry((rule, line)).and_modify(|n| *n += 1).or_insert(1);
        mutants.push(Mutant {
            file: file.into(),
            function: function.into(),
            rule,
            line,
            number: *number,
            before: source[range].to_owned(),
            after: after.trim_end().to_owned(),
            source: text,
        });
    }
    mutants
}

fn visit(node: Node<'_>, source: &str, changes: &mut Vec<Change>) {
    let text = |node: Node<'_>| &source[node.byte_range()];
    if is_statement(node) {
        changes.push(deletion(node, source));
    }
    changes.extend(conditions(node).map(|condition| {
        let after = format!("!({})", text(condition));
        Change { rule: Rule::NegateCondition, range: condition.byte_range(), after }
    }));
    if let Some(compared) = compared(node) {
        for (rule, sign) in [(Rule::OneMore, '+'), (Rule::OneLess, '-')] {
            let after = format!("{} {sign} 1", enclosed(compared, text(compared)));
            changes.push(Change { rule, range: compared.byte_range(), after });
        }
    }
    let mut cursor = node.walk();
    let children: Vec<Node<'_>> = node.named_children(&mut cursor).filter(|child| child.kind() != "comment").collect();
    if matches!(node.kind(), "compound_statement" | "case_statement") {
        changes.extend(children.windows(2).filter_map(|pair| swap(pair[0], pair[1], source)));
    }
    for child in children {
        visit(child, source, changes);
    }
}

/// Whether the node is a statement of its own; blocks, labels and `case` only hold others.
fn is_statement(node: Node<'_>) -> bool {
    match node.kind() {
        "expression_statement" => node.named_child_count() > 0,
        "return_statement" | "goto_statement" | "break_statement" | "continue_statement" | "if_statement"
        | "for_statement" | "while_statement" | "do_statement" | "switch_statement" => true,
        // A loop that is a macro, `for_each_possible_cpu(cpu) per_cpu(flag, cpu) = false;`, has the form of a declaration.
        "declaration" => node.child_by_field_name("type").is_some_and(|kind| kind.kind() == "macro_type_specifier"),
        _ => false,
    }
}

/// An empty statement in its place; all lines keep their numbers, which are compiled into warnings.
fn deletion(node: Node<'_>, source: &str) -> Change {
    let lines = source[node.byte_range()].matches('\n').count();
    let after = format!(";{}", "\n".repeat(lines));
    Change { rule: Rule::DeleteStatement, range: node.byte_range(), after }
}

/// What the node decides by.
fn conditions(node: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    let fields: &[&str] = match node.kind() {
        "if_statement" | "while_statement" | "do_statement" | "for_statement" | "conditional_expression" => {
            &["condition"]
        }
        "binary_expression" if matches!(operator(node), Some("&&" | "||")) => &["left", "right"],
        _ => &[],
    };
    fields.iter().filter_map(move |field| node.child_by_field_name(field)).map(bare)
}

/// The expression without the brackets around it.
fn bare(node: Node<'_>) -> Node<'_> {
    match node.named_child(0) {
        Some(inner) if node.kind() == "parenthesized_expression" && node.named_child_count() == 1 => bare(inner),
        _ => node,
    }
}

fn operator(node: Node<'_>) -> Option<&str> {
    node.child_by_field_name("operator").map(|operator| operator.kind())
}

/// The right side of a comparison.
fn compared(node: Node<'_>) -> Option<Node<'_>> {
    let compares =
        node.kind() == "binary_expression" && matches!(operator(node), Some("<" | "<=" | ">" | ">=" | "==" | "!="));
    compares.then(|| node.child_by_field_name("right"))?
}

/// The text as an operand of a sum.
fn enclosed(node: Node<'_>, text: &str) -> String {
    match node.kind() {
        "identifier" | "number_literal" | "call_expression" | "field_expression" | "parenthesized_expression" => {
            text.into()
        }
        _ => format!("({text})"),
    }
}

/// Both in each other's place; what stands between them, a comment perhaps, stays there. A label stays, too.
fn swap(first: Node<'_>, second: Node<'_>, source: &str) -> Option<Change> {
    let (first, second) = (unlabelled(first), unlabelled(second));
    let movable = |node: Node<'_>| is_statement(node) || node.kind() == "compound_statement";
    if !movable(first) || !movable(second) {
        return None;
    }
    let between = &source[first.end_byte()..second.start_byte()];
    let after = [&source[second.byte_range()], between, &source[first.byte_range()]].concat();
    Some(Change { rule: Rule::SwapStatements, range: first.start_byte()..second.end_byte(), after })
}

fn unlabelled(node: Node<'_>) -> Node<'_> {
    let inner = node.named_child(1).filter(|_| node.kind() == "labeled_statement");
    inner.map_or(node, unlabelled)
}

#[cfg(test)]
#[path = "generate_tests.rs"]
mod tests;
