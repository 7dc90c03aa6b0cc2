//! The schema against the reader of files, and the reference page against the schema.

use super::schema;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../../../docs/reference/scenario.md");
/// The page that has the invariants' names.
const INVARIANTS: &str = include_str!("../../../../docs/reference/invariants.md");

fn parsed() -> Value {
    serde_json::from_str(&schema()).unwrap()
}

/// What a schema has within itself: each key with its default and whether it is a key of a table, each word that a value
/// can be, and the names of other definitions.
#[derive(Default)]
struct Parts<'a> {
    keys: BTreeMap<&'a str, Option<&'a Value>>,
    words: BTreeSet<&'a str>,
    definitions: BTreeSet<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(schema: &'a Value) -> Self {
        let mut parts = Self::default();
        parts.collect(schema);
        parts
    }

    fn collect(&mut self, schema: &'a Value) {
        let Value::Object(schema) = schema else { return };
        for (key, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            self.keys.insert(key, property.get("default"));
            self.collect(property);
        }
        for word in
            schema.get("const").into_iter().chain(schema.get("enum").and_then(Value::as_array).into_iter().flatten())
        {
            self.words.extend(word.as_str());
        }
        self.definitions.extend(schema.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/$defs/")));
        for name in ["items", "additionalProperties"] {
            schema.get(name).into_iter().for_each(|inner| self.collect(inner));
        }
        for name in ["oneOf", "anyOf"] {
            let forms = schema.get(name).and_then(Value::as_array).into_iter().flatten();
            forms.for_each(|form| self.collect(form));
        }
    }

    /// The same, with all of the definitions that it leads to, except for those of which another section speaks.
    fn closed(schema: &'a Value, root: &'a Value) -> Self {
        let mut parts = Self::of(schema);
        let mut done = BTreeSet::from(["Invariant"]);
        while let Some(name) = parts.definitions.iter().find(|name| !done.contains(**name)).copied() {
            done.insert(name);
            parts.collect(&root["$defs"][name]);
        }
        parts
    }
}

/// The page's section that has a top-level key of the type table.
fn section(key: &str) -> &'static str {
    let heads = [format!("`[{key}]`"), format!("`[[{key}]]`")];
    let mut sections = PAGE.split("\n## ");
    let of_key = |text: &&str| heads.iter().any(|head| text.lines().next().is_some_and(|line| line.contains(head)));
    sections.find(of_key).or_else(|| PAGE.split("\n## ").nth(1)).unwrap()
}

/// What stands between backticks in a text.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The words of the code in the tables, and in the prose, of a text.
fn words(text: &str) -> BTreeSet<&str> {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let parts = code(text).flat_map(|span| span.split(move |c: char| !is_of_word(c))).filter(|word| !word.is_empty());
    // Versions have dots in them.
    parts.chain(code(text)).collect()
}

/// Rows of the tables whose first column is of keys: the first column, and all columns.
fn key_rows(section: &str) -> Vec<(&str, Vec<&str>)> {
    let mut rows = Vec::new();
    let mut is_of_keys = false;
    let mut previous = "";
    for line in section.lines() {
        if line.starts_with('|') {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            if previous.starts_with('|') {
                let is_rule = line.starts_with("| ---");
                rows.extend((is_of_keys && !is_rule).then_some((cells[0], cells)));
            } else {
                is_of_keys = cells[0].starts_with("key");
            }
        }
        previous = line;
    }
    rows
}

#[test]
fn every_table_refuses_keys_that_it_lacks() {
    let root = parsed();
    let definitions = root["$defs"].as_object().unwrap().iter();
    let tables = definitions.flat_map(|(name, definition)| {
        let forms = ["oneOf", "anyOf"].into_iter().filter_map(|of| definition.get(of)?.as_array()).flatten();
        forms.chain([definition]).map(move |form| (name, form))
    });
    let tables: Vec<_> = tables.filter(|(_, form)| form.get("properties").is_some()).collect();
    assert!(tables.len() > 25, "{}", tables.len());
    for (name, table) in tables {
        assert_eq!(table["additionalProperties"], false, "{name}: {table}");
    }
    assert_eq!(root["additionalProperties"], false);
}

#[test]
fn the_page_has_every_key_and_every_word() {
    let root = parsed();
    for (key, property) in root["properties"].as_object().unwrap() {
        let there = words(section(key));
        assert!(words(PAGE.split("\n## ").nth(1).unwrap()).contains(key.as_str()), "the page lacks `{key}`");
        if key == "nested" {
            // Its scenarios lead to everything once more.
            let nested = Parts::of(&root["$defs"]["Nested"]);
            nested.keys.keys().for_each(|inner| assert!(there.contains(inner), "the page lacks `nested.{inner}`"));
            continue;
        }
        let parts = Parts::closed(property, &root);
        let all = words(PAGE);
        for inner in parts.keys.keys() {
            assert!(there.contains(inner), "the page lacks `{inner}` in the section of `{key}`");
        }
        for word in &parts.words {
            assert!(all.contains(word), "the page lacks the value `{word}` of `{key}`");
        }
    }
    let invariants = Parts::of(&root["$defs"]["Invariant"]);
    assert_eq!(invariants.words.len(), 12);
    let known = words(INVARIANTS);
    invariants.words.iter().for_each(|name| assert!(known.contains(name), "no page has the invariant `{name}`"));
}

#[test]
fn the_page_has_no_key_that_is_none() {
    let root = parsed();
    let top = root["properties"].as_object().unwrap();
    let mut documented_rows = 0;
    for text in PAGE.split("\n## ").skip(1) {
        let head = text.lines().next().unwrap();
        let of_section: Vec<&str> = words(head).into_iter().filter(|word| top.contains_key(*word)).collect();
        let parts: Vec<Parts<'_>> = of_section.iter().map(|key| Parts::closed(&top[*key], &root)).collect();
        for (first, cells) in key_rows(text) {
            documented_rows += 1;
            for key in code(first) {
                let last = key.rsplit('.').next().unwrap();
                let found: Vec<Option<&Value>> = match parts.as_slice() {
                    [] => top.get(last).map(|property| property.get("default")).into_iter().collect(),
                    parts => parts.iter().filter_map(|parts| parts.keys.get(last).copied()).collect(),
                };
                assert!(!found.is_empty(), "the page has `{key}` in \"{head}\", which no scenario takes");
                if let Some(written) = cells.get(cells.len() - 2).and_then(|cell| literal(cell)) {
                    let defaults: Vec<&Value> = found.into_iter().flatten().filter(|value| !value.is_null()).collect();
                    let agrees = defaults.is_empty() || defaults.contains(&&written);
                    assert!(agrees, "`{key}`: the page has the default {written}, the types {defaults:?}");
                }
            }
        }
    }
    assert!(documented_rows > 70, "{documented_rows}");
}

/// The value that a cell consists of, if it is one.
fn literal(cell: &str) -> Option<Value> {
    let text = cell.trim_matches('`');
    let value: toml::Table = toml::from_str(&format!("x = {text}")).ok()?;
    serde_json::to_value(&value["x"]).ok()
}
