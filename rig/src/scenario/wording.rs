//! What the reader of TOML says of a value, in words for a person who writes scenarios rather than Rust.

/// The same message without Rust's types. A message of another form stays as it is.
pub(super) fn plain(message: &str) -> String {
    let message = message.replace('\n', " ");
    for prefix in ["invalid type: ", "invalid value: "] {
        if let Some((found, wanted)) = message.strip_prefix(prefix).and_then(|rest| rest.split_once(", expected ")) {
            return format!("{} stands where {} is needed", of_found(found), of_wanted(wanted));
        }
    }
    if message.starts_with("data did not match any variant of untagged enum UntilSpec") {
        return "`until` is none of { cpu, passes }, { cpu, instructions } and { time_us }".into();
    }
    if let Some(key) = message.strip_prefix("missing field ") {
        return format!("the key {key} is missing");
    }
    if message == "wanted string or table" {
        return "something else stands where a word or a table is needed".into();
    }
    message
}

/// What the file has.
fn of_found(found: &str) -> String {
    let quoted = |rest: &str| rest.trim_matches('`').to_owned();
    let words = [("string ", "the text "), ("integer ", "the number "), ("floating point ", "the number ")];
    for (rust, ours) in words.into_iter().chain([("boolean ", "the word ")]) {
        if let Some(rest) = found.strip_prefix(rust) {
            return format!("{ours}{}", quoted(rest));
        }
    }
    match found {
        "map" => "a table".into(),
        "sequence" => "a list".into(),
        other => other.to_owned(),
    }
}

/// What the key takes.
fn of_wanted(wanted: &str) -> String {
    let up_to = |max: u64| format!("a whole number from 0 to {max}");
    match wanted {
        "u8" => up_to(u8::MAX.into()),
        "u16" => up_to(u16::MAX.into()),
        "u32" => up_to(u32::MAX.into()),
        "u64" | "usize" => "a whole number that is not negative".into(),
        "i32" | "i64" => "a whole number".into(),
        "a boolean" => "true or false".into(),
        "a string" | "a borrowed string" | "string" => "a text in quotes".into(),
        "path string" => "a path in quotes".into(),
        "a sequence" => "a list".into(),
        "a map" => "a table".into(),
        "internally tagged enum Load" => "a load (a table with `profile`)".into(),
        "string or table" | "enum FaultAction" => "a word or a table".into(),
        other if other.starts_with("struct ") => "a table".into(),
        other if other.starts_with("enum ") => "a word in quotes".into(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_said_in_plain_words() {
        for (rust, ours) in [
            (
                "invalid type: string \"four\", expected u32",
                "the text \"four\" stands where a whole number from 0 to 4294967295 is needed",
            ),
            (
                "invalid value: integer `-1`, expected u32",
                "the number -1 stands where a whole number from 0 to 4294967295 is needed",
            ),
            ("invalid type: map, expected a sequence", "a table stands where a list is needed"),
            ("invalid type: boolean `true`, expected struct Expect", "the word true stands where a table is needed"),
            ("missing field `profile`", "the key `profile` is missing"),
            ("something of another form", "something of another form"),
        ] {
            assert_eq!(plain(rust), ours);
        }
    }
}
