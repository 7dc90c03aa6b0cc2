//! The verdict as a person at a terminal reads it.

use super::ended_at_breach::ENDED_AT_BREACH;
use super::rows::rows;
use crate::finding::Standing;
use crate::verdict::{Diagnosis, Facts, Outcome, Verdict};
use crate::{Breach, Invariant};
use anstyle::{AnsiColor, Style};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::IsTerminal;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Colours, and signs beyond ASCII.
    pub rich: bool,
    /// Show how the run was made, too: the backend and why it was chosen.
    pub verbose: bool,
}

impl Look {
    /// Plain text, for files and pipes.
    pub const PLAIN: Self = Self { rich: false, verbose: false };
    /// Colours.
    pub const RICH: Self = Self { rich: true, verbose: false };

    /// Rich on a terminal, unless `NO_COLOR` is set (to anything but nothing) or the terminal is dumb.
    pub fn of(stream: &impl IsTerminal) -> Self {
        Self::on(stream.is_terminal(), |name| std::env::var_os(name))
    }

    /// The same, from what `variable` says of the environment.
    fn on(is_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let forbids = variable("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = variable("TERM").is_some_and(|t| t == "dumb");
        Self { rich: is_terminal && !forbids && !dumb, verbose: false }
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.rich { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    /// `is_expected`: it broke, and the scenario expects that.
    fn sign(self, standing: Standing, is_expected: bool) -> String {
        let (rich, plain, colour) = match standing {
            Standing::Held => ("✓", "ok  ", AnsiColor::Green),
            Standing::Broken if is_expected => ("✗", "x   ", AnsiColor::Yellow),
            Standing::Broken => ("✗", "FAIL", AnsiColor::Red),
            Standing::NotApplicable => ("–", "-   ", AnsiColor::BrightBlack),
        };
        self.paint(colour.on_default(), if self.rich { rich } else { plain })
    }

    fn arrow(self) -> &'static str {
        if self.rich { "→" } else { "->" }
    }
}

/// The verdict as text: its first line is the verdict itself.
pub fn terminal(verdict: &Verdict, look: Look) -> String {
    let mut text = headline(verdict, look);
    text += &facts(&verdict.facts, look);
    if verdict.events > 0 || !verdict.breaches.is_empty() {
        text += &table(verdict, look);
    }
    verdict.breaches.iter().for_each(|breach| text += &details(breach, look));
    text += &unmet(&verdict.facts);
    if let Some(diagnosis) = &verdict.facts.diagnosis {
        text += &diagnosed(diagnosis);
    }
    text + &footer(verdict)
}

fn headline(verdict: &Verdict, look: Look) -> String {
    let colour = match verdict.verdict {
        Outcome::Passed => AnsiColor::Green,
        Outcome::Skipped | Outcome::Unjudged | Outcome::Xfail => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    let headline = verdict.headline();
    let name = &verdict.facts.scenario;
    let scenario = if name.is_empty() { String::new() } else { format!("{name}: ") };
    let word = look.paint(colour.on_default().bold(), &headline.word);
    let mut text = format!("{word}  {scenario}{}\n", headline.what);
    if let Some(remedy) = &verdict.remedy {
        let _ = writeln!(text, "  remedy: {remedy}");
    }
    text + "\n"
}

fn facts(facts: &Facts, look: Look) -> String {
    let rows = rows(facts, look.arrow(), look.verbose);
    rows.into_iter().fold(String::new(), |mut text, (mut name, lines)| {
        for line in lines {
            let _ = writeln!(text, "  {name:<9}{line}");
            name = "";
        }
        text
    })
}

fn table(verdict: &Verdict, look: Look) -> String {
    let faint = AnsiColor::BrightBlack.on_default();
    let text = Invariant::ALL.iter().fold("\n".to_string(), |mut text, invariant| {
        let (standing, is_expected) = (verdict.standing(*invariant), verdict.is_expected_breach(*invariant));
        let name = format!("{:<16}", invariant.name());
        let name = if standing == Standing::Broken { look.paint(Style::new().bold(), &name) } else { name };
        let (sign, note) = (look.sign(standing, is_expected), verdict.note(*invariant));
        let _ = writeln!(text, "  {sign} {name} {}", look.paint(faint, &note));
        text
    });
    if verdict.ended_at_breach { format!("{text}\n  {ENDED_AT_BREACH}\n") } else { text }
}

fn details(breach: &Breach, look: Look) -> String {
    let red = AnsiColor::Red.on_default().bold();
    let mut text = format!("\n  {}\n    expected: {}\n", look.paint(red, &breach.summary()), breach.expected);
    for event in &breach.events {
        let _ = writeln!(text, "    {event}");
    }
    text
}

/// What the scenario expected and did not get.
fn unmet(facts: &Facts) -> String {
    let unmet = facts.checks.iter().filter(|check| !check.met);
    let lines: String = unmet.fold(String::new(), |mut lines, check| {
        let _ = writeln!(lines, "    {}: expected {}, seen {}", check.name, check.expected, check.seen);
        lines
    });
    if lines.is_empty() { lines } else { format!("\n  not as the scenario expects:\n{lines}") }
}

fn diagnosed(diagnosis: &Diagnosis) -> String {
    let mut text = format!("\n  where it hangs: {}\n", diagnosis.summary);
    for cpu in &diagnosis.cpus {
        let _ = writeln!(text, "    CPU {:<4} {}", cpu.lp, cpu.position);
        cpu.stack.iter().take(6).for_each(|frame| {
            let _ = writeln!(text, "             {frame}");
        });
    }
    for task in &diagnosis.tasks {
        let _ = writeln!(text, "    task {:<4}{} is blocked", task.id, task.name);
        task.stack.iter().take(8).for_each(|frame| {
            let _ = writeln!(text, "             {frame}");
        });
    }
    if !diagnosis.firmware.trim().is_empty() {
        let _ = writeln!(text, "    firmware: {}", diagnosis.firmware.trim_end().replace('\n', "\n              "));
    }
    text
}

fn footer(verdict: &Verdict) -> String {
    let (facts, mut text) = (&verdict.facts, "\n".to_string());
    for leaf in &verdict.unmodelled {
        let _ = writeln!(text, "  not modelled: {} was called {} times", leaf.name, leaf.calls);
    }
    let times = facts.timing_ms;
    if times.total > 0 {
        let _ = writeln!(
            text,
            "  {} {}, update {}, total {}",
            if facts.start.is_restore() { "restore" } else { "boot" },
            seconds(times.boot),
            seconds(times.update),
            seconds(times.total)
        );
    }
    if let Some(dir) = &facts.run_dir {
        let _ = writeln!(text, "  {}", dir.display());
    }
    text
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_show_them_and_people_who_want_them() {
        let table = [
            (true, None, Some("xterm"), true),
            (true, Some(""), None, true),
            (true, Some("1"), Some("xterm"), false),
            (true, None, Some("dumb"), false),
            (false, None, Some("xterm"), false),
        ];
        for (is_terminal, no_color, term, rich) in table {
            let value = |name: &str| if name == "TERM" { term } else { no_color };
            let look = Look::on(is_terminal, |name| value(name).map(OsString::from));
            assert_eq!(look, Look { rich, verbose: false }, "{is_terminal} {no_color:?} {term:?}");
        }
    }

    #[test]
    fn signs_and_colours_tell_how_an_invariant_stands() {
        let table = [
            (Standing::Held, false, "ok  ", "\u{1b}[32m✓\u{1b}[0m"),
            (Standing::Broken, true, "x   ", "\u{1b}[33m✗\u{1b}[0m"),
            (Standing::Broken, false, "FAIL", "\u{1b}[31m✗\u{1b}[0m"),
            (Standing::NotApplicable, false, "-   ", "\u{1b}[90m–\u{1b}[0m"),
        ];
        for (standing, is_expected, plain, rich) in table {
            assert_eq!(Look::PLAIN.sign(standing, is_expected), plain);
            assert_eq!(Look::RICH.sign(standing, is_expected), rich);
        }
    }
}
