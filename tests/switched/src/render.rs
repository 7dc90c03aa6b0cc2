//! A file with all its mutants in it.

use crate::places::ConstFn;
use crate::sites::{Form, NONE, Site};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;

/// The environment variable that says which switch is on.
pub const VARIABLE: &str = "SWITCHED_MUTANT";

/// What stands there if no switch is on and each site that is reached is written down.
pub const RECORD: u32 = u32::MAX;

/// The environment variable with the file in which they are.
pub const REACHED: &str = "SWITCHED_REACHED";

/// Part of a rewritten file, with the switches that an error of the compiler in it can be due to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where it is in the rewritten file.
    pub extent: Range<usize>,
    /// One for a mutant's own text, several for what surrounds it.
    pub switches: Vec<u32>,
    /// Whether it is a mutant's own text.
    pub is_own: bool,
}

/// A rewritten file.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// Its text.
    pub text: String,
    /// Which of it is whose.
    pub marks: Vec<Mark>,
}

/// What is left out of a rewritten program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LeftOut {
    /// Switches whose mutants do not compile in this form.
    pub switches: BTreeSet<u32>,
    /// Names of functions that must stay `const`, so that none of their mutants has a switch.
    pub const_fns: BTreeSet<String>,
}

/// The module that each root of the crate gets: `which` is the switch that is on if it is one of a site's. Switches are less than
/// `end`.
pub fn module(end: u32) -> String {
    format!(
        r#"
#[allow(warnings, clippy::all, clippy::pedantic)]
mod __switched {{
    use ::std::sync::atomic::{{AtomicBool, Ordering}};
    static ON: ::std::sync::OnceLock<u32> = ::std::sync::OnceLock::new();
    static REACHED: [AtomicBool; {end}] = [const {{ AtomicBool::new(false) }}; {end}];
    fn read() -> u32 {{
        ::std::env::var("{VARIABLE}").map_or({NONE}, |text| text.parse().expect("the number of a mutant"))
    }}
    #[cold]
    fn reached(first: u32) {{
        use ::std::io::Write as _;
        if !REACHED[first as usize].swap(true, Ordering::Relaxed) {{
            let path = ::std::env::var("{REACHED}").expect("a file");
            let mut file = ::std::fs::OpenOptions::new().append(true).open(path).expect("the file is there");
            file.write_all(::std::format!("{{first}}\n").as_bytes()).expect("the file takes a line");
        }}
    }}
    #[inline]
    pub(crate) fn which(first: u32, last: u32) -> u32 {{
        let on = *ON.get_or_init(read);
        if first <= on && on <= last {{
            return on;
        }}
        if on == {RECORD} {{
            reached(first);
        }}
        {NONE}
    }}
}}
"#
    )
}

enum Node<'s> {
    /// No change: its extent alone is of interest.
    Function,
    /// The keyword `const`.
    Erased,
    Site(&'s Site, Vec<usize>),
}

/// The file `text` with the switches of `sites` in it, but for what is left out.
pub fn render(
    text: &str,
    sites: &[Site],
    const_fns: &[ConstFn],
    functions: &[Range<usize>],
    left_out: &LeftOut,
) -> Rendered {
    let kept = |site: &Site| {
        const_fns.iter().any(|one| within(&site.extent, &one.body) && left_out.const_fns.contains(&one.name))
    };
    let mut nodes: Vec<(Range<usize>, Node<'_>)> = functions.iter().map(|one| (one.clone(), Node::Function)).collect();
    for site in sites.iter().filter(|site| !kept(site)) {
        let is_in = |index: &usize| !left_out.switches.contains(&site.alternatives[*index].switch);
        let used: Vec<usize> = (0..site.alternatives.len()).filter(is_in).collect();
        if !used.is_empty() {
            nodes.push((site.extent.clone(), Node::Site(site, used)));
        }
    }
    for function in const_fns {
        let has_switch = |(extent, node): &(Range<usize>, Node<'_>)| {
            matches!(node, Node::Site(..)) && within(extent, &function.body)
        };
        if nodes.iter().any(has_switch) {
            nodes.push((function.keyword.clone(), Node::Erased));
        }
    }
    nodes.sort_by_key(|(extent, node)| {
        let inner = match node {
            Node::Function => 0,
            Node::Erased => 1,
            Node::Site(site, _) => 2 + site.form as u8,
        };
        (extent.start, std::cmp::Reverse(extent.end), inner)
    });
    let mut writer = Writer { text, nodes: &nodes, next: 0, out: Rendered::default() };
    writer.region(0..text.len());
    writer.out
}

fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

struct Writer<'t> {
    text: &'t str,
    nodes: &'t [(Range<usize>, Node<'t>)],
    next: usize,
    out: Rendered,
}

impl Writer<'_> {
    /// Writes a region, and returns the switches in it.
    fn region(&mut self, region: Range<usize>) -> Vec<u32> {
        let mut switches = Vec::new();
        let mut at = region.start;
        while let Some((extent, node)) = self.nodes.get(self.next).filter(|(extent, _)| within(extent, &region)) {
            self.next += 1;
            self.out.text.push_str(&self.text[at..extent.start]);
            let start = self.out.text.len();
            match node {
                Node::Function => {
                    let inner = self.region(extent.clone());
                    self.mark(start, inner.clone(), false);
                    switches.extend(inner);
                }
                Node::Erased => {}
                Node::Site(site, used) => {
                    let own: Vec<u32> = used.iter().map(|index| site.alternatives[*index].switch).collect();
                    switches.extend(self.site(site, used));
                    switches.extend(&own);
                    self.mark(start, own, false);
                }
            }
            at = extent.end;
        }
        self.out.text.push_str(&self.text[at..region.end]);
        switches
    }

    /// Writes a site, and returns the switches inside it that are not its own.
    fn site(&mut self, site: &Site, used: &[usize]) -> Vec<u32> {
        let number = |index: usize| site.alternatives[index].switch;
        let (first, last) = (number(used[0]), number(used[used.len() - 1]));
        let which = format!("crate::__switched::which({first}, {last})");
        if site.form == Form::Arm {
            let _ = write!(self.out.text, " if {which} == {NONE}");
            return Vec::new();
        }
        let is_body = site.form == Form::Body;
        let (open, close) = if is_body { ("match ", "}\n") } else { ("(match ", "})") };
        let _ = write!(self.out.text, "{open}{which} {{ {NONE} => ");
        self.out.text.push_str(if is_body { "{\n" } else { "" });
        let inner = self.region(site.extent.clone());
        self.out.text.push_str(if is_body { "\n}\n" } else { ",\n" });
        for index in used {
            let switch = number(*index);
            let pattern = if switch == last { "_".to_owned() } else { switch.to_string() };
            let _ = write!(self.out.text, "{pattern} => ");
            let start = self.out.text.len();
            let text = &site.alternatives[*index].text;
            let (before, after) = if is_body { ("{ ", " }\n") } else { ("", ",\n") };
            let _ = write!(self.out.text, "{before}{text}{after}");
            self.mark(start, vec![switch], true);
        }
        self.out.text.push_str(close);
        inner
    }

    fn mark(&mut self, start: usize, switches: Vec<u32>, is_own: bool) {
        if !switches.is_empty() {
            self.out.marks.push(Mark { extent: start..self.out.text.len(), switches, is_own });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sites::Alternative;

    fn site(extent: Range<usize>, form: Form, alternatives: &[(u32, &str)]) -> Site {
        let alternatives =
            alternatives.iter().map(|(switch, text)| Alternative { switch: *switch, text: (*text).into() });
        Site { extent, form, alternatives: alternatives.collect() }
    }

    fn squeezed(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn mutants_are_arms_behind_the_original() {
        let text = "const fn f() { a + b }";
        let sites =
            [site(15..20, Form::Body, &[(1, "0")]), site(15..20, Form::Expression, &[(2, "a - b"), (3, "a * b")])];
        let const_fns = [ConstFn { name: "f".into(), keyword: 0..5, body: 13..22 }];
        let render = |left_out: &LeftOut| render(text, &sites, &const_fns, std::slice::from_ref(&(6..22)), left_out);
        let all = render(&LeftOut::default());
        assert_eq!(
            squeezed(&all.text),
            "fn f() { match crate::__switched::which(1, 1) { 0 => { (match crate::__switched::which(2, 3) \
             { 0 => a + b, 2 => a - b, _ => a * b, }) } _ => { 0 } } }"
        );
        let own = |switch: u32| {
            let mark = all.marks.iter().find(|mark| mark.is_own && mark.switches == [switch]).unwrap();
            all.text[mark.extent.clone()].trim().to_owned()
        };
        assert_eq!([1, 2, 3].map(own), ["{ 0 }", "a - b,", "a * b,"]);
        let some = render(&LeftOut { switches: [1, 2].into(), ..LeftOut::default() });
        assert_eq!(
            squeezed(&some.text),
            "fn f() { (match crate::__switched::which(3, 3) { 0 => a + b, _ => a * b, }) }"
        );
        assert_eq!(render(&LeftOut { switches: [1, 2, 3].into(), ..LeftOut::default() }).text, text);
        assert_eq!(render(&LeftOut { const_fns: ["f".to_owned()].into(), ..LeftOut::default() }).text, text);
    }

    #[test]
    fn an_arm_gets_a_condition() {
        let text = "match x { 1 => a, _ => b }";
        let rendered = render(text, &[site(11..11, Form::Arm, &[(7, "")])], &[], &[], &LeftOut::default());
        assert_eq!(rendered.text, "match x { 1 if crate::__switched::which(7, 7) == 0 => a, _ => b }");
        assert_eq!(rendered.marks.len(), 1);
    }
}
