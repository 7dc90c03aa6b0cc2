//! Holds as a scenario writes them: a vCPU, a place, and until when.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use seam_emu::abi::Leaf;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

pub use rig_wire::plan::{HoldStart, Since};

/// A vCPU that is kept from going on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldSpec {
    /// Which CPU.
    pub cpu: u32,
    /// Where: it stays before what the place names takes effect.
    pub at: Place,
    /// On which of its passes in the update, from 1.
    #[serde(default = "one")]
    pub nth: u32,
    /// From when it is in force, and passes are counted for it.
    #[serde(default, skip_serializing_if = "HoldStart::is_section")]
    pub from: HoldStart,
    /// Until when.
    pub until: UntilSpec,
    /// A hold that is not satisfied within this time of the machine ends as expired, milliseconds.
    #[serde(default = "default_limit_ms")]
    pub limit_ms: u32,
    /// Whether a run in which it was not reached or did not come true fails. A schedule that `shrink` wrote does not require its
    /// holds: a repaired kernel may never come to where they are.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub required: bool,
    /// In which update, from 1; absent: in each.
    #[serde(default)]
    pub update: Option<u32>,
}

/// What ends a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum UntilSpec {
    /// Another CPU has passed a place.
    Passed {
        /// Which CPU.
        cpu: u32,
        /// Which place.
        passes: Place,
        /// How often, from 1.
        #[serde(default = "one")]
        nth: u32,
        /// Since when.
        #[serde(default)]
        since: Since,
    },
    /// Another CPU has executed this many instructions.
    Instructions {
        /// Which CPU.
        cpu: u32,
        /// How many.
        instructions: u64,
    },
    /// This much time of the machine has gone by, microseconds.
    Time {
        /// How much.
        time_us: u64,
    },
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_yes(value: &bool) -> bool {
    *value
}

const fn default_limit_ms() -> u32 {
    500
}

/// A place in a CPU's execution.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Place {
    /// `seamcall:LEAF:enter|exit`
    Seamcall {
        /// Which leaf.
        leaf: Leaf,
        /// After the firmware served it; else before.
        exit: bool,
    },
    /// `sym:NAME[+offset]`: before this instruction.
    Symbol(Location),
    /// `mem:SYMBOL[+offset]:load|store`: before the update's code accesses this word.
    Memory {
        /// Where the word lies; a field's name as in `update_ctrl.num_ack` will do.
        word: Location,
        /// Stores; else loads.
        store: bool,
    },
    /// `state:N`: when the CPU has seen the update in this state.
    State(u64),
    /// `pause:N`: before the N-th PAUSE of the update's code.
    Pause(u32),
}

/// A symbol and an offset.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// Name of the symbol.
    pub symbol: String,
    /// Bytes behind it.
    pub offset: u64,
}

const FORMS: &str = "seamcall:LEAF:enter|exit, sym:NAME[+offset], mem:SYMBOL[+offset]:load|store, state:N or pause:N";

/// What [`Place`] can be read from, as a regular expression; whether a leaf or a symbol exists it does not say.
const PATTERN: &str = r"^(seamcall:[A-Z.]+:(enter|exit)|sym:\S+|mem:\S+:(load|store)|state:\d+|pause:[1-9]\d*)$";

impl JsonSchema for Place {
    fn schema_name() -> Cow<'static, str> {
        "Place".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": format!("A place in a CPU's execution: {FORMS}."),
            "type": "string",
            "pattern": PATTERN,
        })
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: String| format!("\"{text}\" is no place: {why}");
        let (kind, rest) = text.split_once(':').ok_or_else(|| bad(format!("a place is {FORMS}")))?;
        let number = |text: &str| text.parse().map_err(|_| bad(format!("`{text}` is no number")));
        match kind {
            "seamcall" => {
                let (name, side) = rest.rsplit_once(':').ok_or_else(|| bad("it ends with :enter or :exit".into()))?;
                let leaf = super::leaf::named(name).map_err(bad)?;
                Ok(Self::Seamcall { leaf, exit: one_of(side, ["enter", "exit"]).map_err(bad)? })
            }
            "mem" => {
                let (word, access) = rest.rsplit_once(':').ok_or_else(|| bad("it ends with :load or :store".into()))?;
                let store = one_of(access, ["load", "store"]).map_err(bad)?;
                Ok(Self::Memory { word: word.parse().map_err(bad)?, store })
            }
            "sym" => Ok(Self::Symbol(rest.parse().map_err(bad)?)),
            "state" => Ok(Self::State(u64::from(number(rest)?))),
            "pause" => Ok(Self::Pause(number(rest)?)).and_then(|place| match place {
                Self::Pause(0) => Err(bad("PAUSEs are counted from 1".into())),
                place => Ok(place),
            }),
            _ => Err(bad(format!("a place is {FORMS}"))),
        }
    }
}

/// Whether it is the second of two words.
fn one_of(text: &str, words: [&str; 2]) -> Result<bool, String> {
    match words.iter().position(|word| *word == text) {
        Some(index) => Ok(index == 1),
        None => Err(format!("`{text}` is neither `{}` nor `{}`", words[0], words[1])),
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (symbol, offset) = text.split_once('+').unwrap_or((text, "0"));
        let parsed = match offset.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => offset.parse(),
        };
        let offset = parsed.map_err(|_| format!("`{offset}` is no offset"))?;
        if symbol.is_empty() || symbol.contains(char::is_whitespace) {
            return Err(format!("`{symbol}` is no symbol"));
        }
        Ok(Self { symbol: symbol.to_owned(), offset })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            0 => write!(f, "{}", self.symbol),
            offset => write!(f, "{}+{offset:#x}", self.symbol),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seamcall { leaf, exit } => {
                write!(f, "seamcall:{}:{}", leaf.name(), if *exit { "exit" } else { "enter" })
            }
            Self::Symbol(location) => write!(f, "sym:{location}"),
            Self::Memory { word, store } => write!(f, "mem:{word}:{}", if *store { "store" } else { "load" }),
            Self::State(state) => write!(f, "state:{state}"),
            Self::Pause(n) => write!(f, "pause:{n}"),
        }
    }
}

impl fmt::Display for UntilSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed { cpu, passes, nth: 1, .. } => write!(f, "CPU {cpu} has passed {passes}"),
            Self::Passed { cpu, passes, nth, .. } => write!(f, "CPU {cpu} has passed {passes} {nth} times"),
            Self::Instructions { cpu, instructions } => {
                write!(f, "CPU {cpu} has executed {instructions} instructions")
            }
            Self::Time { time_us } => write!(f, "{time_us} us have gone by"),
        }
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

impl HoldSpec {
    /// A hold on the first pass, in each update, with what a scenario leaves out.
    pub(crate) fn new(cpu: u32, at: Place, until: UntilSpec) -> Self {
        let (nth, from, limit_ms) = (one(), HoldStart::default(), default_limit_ms());
        Self { cpu, at, nth, from, until, limit_ms, required: yes(), update: None }
    }

    /// Says what cannot be, in a machine with this many CPUs that makes this many updates.
    pub(crate) fn check(&self, cpus: u32, updates: u32) -> Result<(), String> {
        let exists = |cpu: u32, key: &str| {
            let what = || format!("`hold.{key}` is {cpu}; with {cpus} CPUs it must be 0 to {}", cpus - 1);
            (cpu < cpus).then_some(()).ok_or_else(what)
        };
        exists(self.cpu, "cpu")?;
        let (partner, nth) = match &self.until {
            UntilSpec::Passed { cpu, nth, .. } => (Some(*cpu), *nth),
            UntilSpec::Instructions { cpu, .. } => (Some(*cpu), 1),
            UntilSpec::Time { .. } => (None, 1),
        };
        partner.map_or(Ok(()), |cpu| exists(cpu, "until.cpu"))?;
        if partner == Some(self.cpu) {
            return Err(format!("`hold.until.cpu` is {}, the CPU that is held: it would wait for itself", self.cpu));
        }
        if self.nth == 0 || nth == 0 {
            return Err("`nth` of a hold is 0; passes are counted from 1".into());
        }
        if self.limit_ms == 0 {
            return Err("`hold.limit_ms` is 0; it must be at least 1".into());
        }
        match self.update {
            Some(update) if !(1..=updates).contains(&update) => {
                Err(format!("`hold.update` is {update}; the scenario makes updates 1 to {updates}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written_alike() {
        for text in [
            "seamcall:SEAMLDR.INSTALL:enter",
            "seamcall:TDH.SYS.LP.INIT:exit",
            "sym:do_seamldr_install_module+0x5b",
            "sym:multi_cpu_stop",
            "mem:update_ctrl+0x4:store",
            "mem:update_ctrl.num_ack:load",
            "state:3",
            "pause:7",
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        assert_eq!("mem:a+16:load".parse::<Place>().unwrap().to_string(), "mem:a+0x10:load");
    }

    #[test]
    fn what_is_no_place_says_why() {
        for (text, why) in [
            ("somewhere", "a place is"),
            ("seamcall:SEAMLDR.INSTAL:enter", "did you mean `SEAMLDR.INSTALL`?"),
            ("seamcall:SEAMLDR.INSTALL", ":enter or :exit"),
            ("seamcall:SEAMLDR.INSTALL:in", "`in` is neither"),
            ("mem:update_ctrl:write", "neither `load` nor `store`"),
            ("sym:+4", "no symbol"),
            ("sym:x+y", "no offset"),
            ("state:", "no number"),
            ("pause:0", "from 1"),
            ("mems:x:load", "a place is"),
        ] {
            let error = text.parse::<Place>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    fn hold(until: UntilSpec) -> HoldSpec {
        HoldSpec { limit_ms: 1, ..HoldSpec::new(1, Place::State(1), until) }
    }

    #[test]
    fn a_hold_is_required_unless_it_says_otherwise() {
        let text = "cpu = 1\nat = \"state:1\"\nuntil = { time_us = 5 }\n";
        let hold: HoldSpec = toml::from_str(text).unwrap();
        assert!(hold.required && !toml::to_string(&hold).unwrap().contains("required"));
        let free: HoldSpec = toml::from_str(&format!("{text}required = false\n")).unwrap();
        assert!(!free.required && toml::to_string(&free).unwrap().contains("required = false"));
        assert!(toml::from_str::<HoldSpec>(&format!("{text}required = 0\n")).is_err());
    }

    #[test]
    fn holds_of_cpus_that_are_not_there_are_refused() {
        let passed = |cpu| UntilSpec::Passed { cpu, passes: Place::State(1), nth: 1, since: Since::Update };
        assert_eq!(hold(passed(0)).check(2, 1), Ok(()));
        assert!(hold(passed(2)).check(2, 1).unwrap_err().contains("`hold.until.cpu` is 2"));
        assert!(hold(passed(1)).check(2, 1).unwrap_err().contains("wait for itself"));
        assert!(hold(passed(0)).check(1, 1).unwrap_err().contains("`hold.cpu` is 1"));
        let late = HoldSpec { update: Some(2), ..hold(passed(0)) };
        assert!(late.check(2, 1).unwrap_err().contains("`hold.update` is 2"));
    }
}
