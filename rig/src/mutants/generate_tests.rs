use super::*;

/// Identity, text before and text after of all mutants of the function `f`.
fn mutants(source: &str) -> Vec<(String, String, String)> {
    let mutants = generate("x.c", source, &["f"]).unwrap();
    let spaced = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    mutants.iter().map(|m| (m.identity(), spaced(&m.before), spaced(&m.after))).collect()
}

/// All mutants by one rule: text before and text after.
fn by(rule: Rule, source: &str) -> Vec<(String, String)> {
    let named = |(identity, before, after): (String, _, _)| identity.contains(rule.name()).then_some((before, after));
    mutants(source).into_iter().filter_map(named).collect()
}

fn check(rule: Rule, body: &str, expected: &[(&str, &str)]) {
    let found = by(rule, &format!("static int f(int a, int b)\n{{\n{body}\n}}\n"));
    let found: Vec<(&str, &str)> = found.iter().map(|(before, after)| (before.as_str(), after.as_str())).collect();
    assert_eq!(found, expected, "{body}");
}

#[test]
fn every_statement_is_deleted_once() {
    check(Rule::DeleteStatement, "a = b; g(a);", &[("a = b;", ";"), ("g(a);", ";")]);
    check(Rule::DeleteStatement, "return a;", &[("return a;", ";")]);
    check(Rule::DeleteStatement, "if (a) return b;", &[("if (a) return b;", ";"), ("return b;", ";")]);
    check(
        Rule::DeleteStatement,
        "if (a) { g(); } else h();",
        &[("if (a) { g(); } else h();", ";"), ("g();", ";"), ("h();", ";")],
    );
    check(Rule::DeleteStatement, "while (a) continue;", &[("while (a) continue;", ";"), ("continue;", ";")]);
    check(Rule::DeleteStatement, "do { g(); } while (a);", &[("do { g(); } while (a);", ";"), ("g();", ";")]);
    check(
        Rule::DeleteStatement,
        "for (a = 0; a < b; a++) g();",
        &[("for (a = 0; a < b; a++) g();", ";"), ("g();", ";")],
    );
    check(Rule::DeleteStatement, "goto out; out: g();", &[("goto out;", ";"), ("g();", ";")]);
    check(
        Rule::DeleteStatement,
        "switch (a) { case 1: g(); break; default: break; }",
        &[("switch (a) { case 1: g(); break; default: break; }", ";"), ("g();", ";"), ("break;", ";"), ("break;", ";")],
    );
}

#[test]
fn macros_that_lock_or_loop_are_statements() {
    check(Rule::DeleteStatement, "guard(raw_spinlock)(&lock);", &[("guard(raw_spinlock)(&lock);", ";")]);
    let flags = "for_each_possible_cpu(a) per_cpu(flag, a) = false;";
    check(Rule::DeleteStatement, flags, &[(flags, ";")]);
}

#[test]
fn declarations_blocks_and_empty_statements_are_not_deleted() {
    check(Rule::DeleteStatement, "int c = 1; enum x d; ; { ; }", &[]);
}

#[test]
fn every_condition_is_negated_and_every_part_of_one() {
    check(Rule::NegateCondition, "if (!a) g();", &[("!a", "!(!a)")]);
    check(Rule::NegateCondition, "do g(); while (a != b);", &[("a != b", "!(a != b)")]);
    check(Rule::NegateCondition, "for (;a < b;) g();", &[("a < b", "!(a < b)")]);
    check(Rule::NegateCondition, "g(a ? b : 1);", &[("a", "!(a)")]);
    check(
        Rule::NegateCondition,
        "if (a == b && !g()) h();",
        &[("a == b && !g()", "!(a == b && !g())"), ("a == b", "!(a == b)"), ("!g()", "!(!g())")],
    );
    check(Rule::NegateCondition, "switch (a) { default: g(); }", &[]);
}

#[test]
fn every_compared_count_is_one_more_and_one_less() {
    let body = "if (a == g(b) && b + a >= MAX) h();";
    check(Rule::OneMore, body, &[("g(b)", "g(b) + 1"), ("MAX", "MAX + 1")]);
    check(Rule::OneLess, body, &[("g(b)", "g(b) - 1"), ("MAX", "MAX - 1")]);
    check(Rule::OneMore, "if (a < b << 2) h();", &[("b << 2", "(b << 2) + 1")]);
    check(Rule::OneMore, "if (a & b) h(a + b);", &[]);
}

#[test]
fn neighbours_change_places_and_comments_stay() {
    check(
        Rule::SwapStatements,
        "g(); /* why */ h(); return 0;",
        &[("g(); /* why */ h();", "h(); /* why */ g();"), ("h(); return 0;", "return 0; h();")],
    );
    check(
        Rule::SwapStatements,
        "int c; g(); { h(); a = b; }",
        &[("g(); { h(); a = b; }", "{ h(); a = b; } g();"), ("h(); a = b;", "a = b; h();")],
    );
    check(Rule::SwapStatements, "switch (a) { case 1: g(); break; }", &[("g(); break;", "break; g();")]);
    check(Rule::SwapStatements, "out: g(); return a;", &[("g(); return a;", "return a; g();")]);
    check(Rule::SwapStatements, "g(); g();", &[]);
}

#[test]
fn mutants_of_one_line_have_different_identities() {
    let found = mutants("int\nf(int a, int b)\n{\n\tif (a == 1 || b == 2)\n\t\treturn 1;\n\treturn 0;\n}\n");
    let identities: Vec<&str> = found.iter().map(|(identity, ..)| identity.as_str()).collect();
    assert_eq!(
        identities,
        [
            "f:4:delete-statement",
            "f:4:swap-statements",
            "f:4:negate-condition",
            "f:4:negate-condition:2",
            "f:4:one-more",
            "f:4:one-less",
            "f:4:negate-condition:3",
            "f:4:one-more:2",
            "f:4:one-less:2",
            "f:5:delete-statement",
            "f:6:delete-statement",
        ]
    );
}

#[test]
fn only_the_named_functions_are_changed_and_lines_keep_their_numbers() {
    let source = "void *g(void)\n{\n\th();\n}\n\nstatic struct x *f(void)\n{\n\ti(1,\n\t  2);\n\tk();\n}\n";
    let found = generate("x.c", source, &["f"]).unwrap();
    assert_eq!(found.len(), 3, "{found:?}");
    for mutant in &found {
        assert!(mutant.source.contains("\th();\n") && mutant.source.lines().count() == source.lines().count());
        let diff = mutant.diff(source);
        assert!(diff.starts_with("--- a/x.c\n+++ b/x.c\n@@ ") && !diff.contains("-\th();"), "{diff}");
    }
    assert_eq!(generate("x.c", source, &["g", "f"]).unwrap().len(), 4);
}

#[test]
fn cannot_change_what_is_not_there_or_not_understood() {
    let error = generate("x.c", "int g(void) { return 1; }", &["f"]).unwrap_err();
    assert_eq!(error.to_string(), "x.c has no function f");
    let error = generate("x.c", "int f(void) { return (1; }", &["f"]).unwrap_err();
    assert!(matches!(error, GenerateError::NotUnderstood { .. }), "{error}");
}
