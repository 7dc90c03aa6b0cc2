//! Checks of the programs that the guest ran.

use crate::run::record::program::ProgramEnd;
use rig_judge::verdict::Check;
use rig_wire::agent::Executed;

/// What a program has to return, print and leave behind.
#[derive(Debug)]
pub(super) struct Demand<'a> {
    /// The program in words.
    pub(super) name: String,
    /// Its exit code.
    pub(super) code: i32,
    /// What it must say, on either stream.
    pub(super) says: &'a [String],
    /// What `version` must read afterwards, or `lost`; none: not looked at.
    pub(super) version: Option<&'a str>,
}

impl Demand<'_> {
    /// A check for each thing that is demanded; one alone if the program was not begun.
    pub(super) fn checks(&self, end: Option<&ProgramEnd>) -> Vec<Check> {
        let check = |name: &str, expected: &str, seen: &str| Check {
            met: expected == seen,
            name: name.into(),
            expected: expected.into(),
            seen: seen.into(),
        };
        let Some(ProgramEnd { executed: Executed { code, stdout, stderr }, version }) = end else {
            return vec![check(&self.name, "done", "not begun")];
        };
        let exit = |code: i32| format!("exit code {code}");
        let mut checks = vec![check(&self.name, &exit(self.code), &exit(*code))];
        let said = [stdout, stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
        for words in self.says {
            let seen = if said.contains(words.as_str()) { words.as_str() } else { "it does not say so" };
            checks.push(check(&self.name, words, seen));
        }
        let name = format!("version after {}", self.name);
        checks.extend(self.version.map(|wanted| check(&name, wanted, version.as_deref().unwrap_or("lost"))));
        checks
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn end_of(code: i32, said: &str, version: Option<&str>) -> ProgramEnd {
        let executed = Executed { code, stdout: said.into(), stderr: b"error: x".into() };
        ProgramEnd { executed, version: version.map(Into::into) }
    }

    #[test]
    fn each_demand_on_a_program_is_checked() {
        let says = ["error: x".to_owned(), "not".to_owned()];
        let demand = Demand { name: "p".into(), code: 5, says: &says, version: Some("lost") };
        let met = |end: Option<&ProgramEnd>| demand.checks(end).iter().map(|c| c.met).collect::<Vec<_>>();
        assert_eq!(met(Some(&end_of(5, "it is not so", None))), [true, true, true, true]);
        assert_eq!(met(Some(&end_of(0, "", Some("1.5.06")))), [false, true, false, false]);
        assert_eq!(met(None), [false]);
    }
}
