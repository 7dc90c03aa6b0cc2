//! Reading a scenario file, with errors that name the key, the line and the nearest key that exists.

use super::Scenario;
use crate::trouble::Trouble;
use rig_wire::agent::Load;
use std::path::Path;

/// Reads and checks a scenario file.
pub fn from_file(path: &Path) -> Result<Scenario, Trouble> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        let help = "give the path of a scenario file (TOML), or none for the default scenario";
        Trouble::usage(format!("cannot read the scenario {}: {e}", path.display()), help)
    })?;
    from_text(&text, &path.display().to_string())
}

/// Reads and checks a scenario; `origin` names it in errors.
pub fn from_text(text: &str, origin: &str) -> Result<Scenario, Trouble> {
    let scenario: Scenario = toml::from_str(text).map_err(|e| explain(text, origin, &e))?;
    let out_of_range = |cause| Trouble::usage(format!("{origin}: {cause}"), "change the value");
    scenario.check().map_err(out_of_range)?;
    Ok(scenario)
}

/// Where the format is described.
const SEE: &str = "docs/reference/scenario.md has every key, its type and its default; `rig scenario --schema`, too";

fn explain(text: &str, origin: &str, error: &toml::de::Error) -> Trouble {
    let place = match error.span() {
        Some(span) => format!("{origin}:{}", line_of(text, span.start)),
        None => origin.to_owned(),
    };
    let message = error.message();
    if message == "missing field `profile`" {
        let cause = format!("{place}: the key `profile` is missing, which names the load");
        return Trouble::usage(cause, format!("known here: {}", profiles().join(", ")));
    }
    let unknown = ["unknown field ", "unknown variant "].into_iter().find(|p| message.starts_with(p));
    let Some(prefix) = unknown else {
        return Trouble::usage(format!("{place}: {}", super::wording::plain(message)), SEE);
    };
    let mut quoted = message.split('`').skip(1).step_by(2);
    let given = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    // A word that is followed by a value is a key, also where the reader of TOML takes it for one of several forms.
    let is_key =
        error.span().and_then(|span| text.get(span.end..)).is_some_and(|rest| rest.trim_start().starts_with('='));
    let what = if prefix.contains("field") || is_key { "key" } else { "value" };
    let help = match nearest(given, &known) {
        Some(near) => format!("did you mean `{near}`? known here: {}", known.join(", ")),
        None => format!("known here: {}", known.join(", ")),
    };
    Trouble::usage(format!("{place}: unknown {what} `{given}`"), help)
}

/// The names of loads, as the reader of TOML lists them.
fn profiles() -> Vec<String> {
    let unknown = toml::from_str::<Load>("profile = \"\"").expect_err("no load has an empty name");
    unknown.message().split('`').skip(1).step_by(2).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The candidate most like `given`, if any is like it at all.
fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |k: &str| strsim::jaro_winkler(given, k);
    let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.7).then_some(best)
}

/// Line number, from 1, of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

/// The load that these lines of a `[[load]]` table describe.
#[cfg(test)]
pub(crate) fn load(lines: &str) -> Load {
    from_text(&format!("name = \"x\"\n[[load]]\n{lines}"), "x.toml").unwrap().load.remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seam_emu::Generation;
    use seam_emu::image::ImageSpec;

    fn trouble(text: &str) -> Trouble {
        from_text(text, "x.toml").unwrap_err()
    }

    #[test]
    fn can_read_a_full_scenario() {
        let text = r#"
name = "readers"
why = "Attributes are read while the module changes."
cpus = 16
updates = 3
[[load]]
profile = "reader"
paths = ["/sys/devices/faux/tdx_host/version"]
threads = 2
[expect]
verdict = "failed"
broken = ["update-only"]
"#;
        let scenario = from_text(text, "x.toml").unwrap();
        assert_eq!((scenario.cpus, scenario.updates, scenario.load.len()), (16, 3, 1));
        assert_eq!(scenario.expect.broken, [rig_judge::Invariant::UpdateOnly]);
    }

    #[test]
    fn what_a_run_folder_keeps_can_be_run_again() {
        let mut scenario = Scenario::default();
        scenario.image.mutation = Some(seam_emu::image::Mutation::Hash);
        let text = toml::to_string_pretty(&scenario).unwrap();
        assert_eq!(from_text(&text, "x.toml").unwrap(), scenario);
    }

    #[test]
    fn modules_are_named_by_their_generation() {
        let text = "name = \"x\"\nmodule = \"1.5.05\"\n[image]\nmodules = [\"1.5.25\"]\n";
        let scenario = from_text(text, "x.toml").unwrap();
        assert_eq!(scenario.module, ImageSpec::of(Generation::V1_5_05));
        assert_eq!(scenario.image.modules, [ImageSpec::of(Generation::V1_5_25)]);
        let again = toml::to_string_pretty(&scenario).unwrap();
        assert_eq!(from_text(&again, "x.toml").unwrap(), scenario, "{again}");
        let table = "name = \"x\"\n[image.spec]\ngeneration = \"1.5.16\"\nminor_svn = 14\n";
        let spec = ImageSpec { minor_svn: 14, ..ImageSpec::of(Generation::V1_5_16) };
        assert_eq!(from_text(table, "x.toml").unwrap().image.spec, Some(spec));
        for text in ["module = \"1.5.17\"", "[image]\nmodules = [\"1.5.17\"]", "[module]\ngeneration = \"1.5.17\""] {
            let trouble = trouble(&format!("name = \"x\"\n{text}\n"));
            assert!(trouble.cause.ends_with("unknown value `1.5.17`"), "{text}: {}", trouble.cause);
            assert!(trouble.help.ends_with("configurable, 1.5.01, 1.5.05, 1.5.16, 1.5.25"), "{text}: {}", trouble.help);
        }
    }

    #[test]
    fn a_name_is_enough() {
        let scenario = from_text("name = \"x\"", "x.toml").unwrap();
        assert_eq!((scenario.cpus, scenario.updates), (4, 1));
    }

    #[test]
    fn cannot_have_an_unknown_key() {
        let t = trouble("name = \"x\"\n\ncpu = 4\n");
        assert_eq!(t.cause, "x.toml:3: unknown key `cpu`");
        assert!(t.help.starts_with("did you mean `cpus`?"), "{}", t.help);
    }

    #[test]
    fn cannot_have_an_unknown_key_in_a_table() {
        let t = trouble("name = \"x\"\n[expect]\nverdikt = \"passed\"\n");
        assert_eq!(t.cause, "x.toml:3: unknown key `verdikt`");
        assert!(t.help.starts_with("did you mean `verdict`?"), "{}", t.help);
    }

    #[test]
    fn no_table_takes_a_key_that_it_does_not_know() {
        for table in [
            "[[switch]]\ncpu = 1\nto = \"online\"\nwhen = \"after\"",
            "[[during]]\nact = \"upload\"\nerrno = 16",
            "[[load]]\nprofile = \"timer\"\nperiod_us = 5",
            "[[load]]\nprofile = \"seamcall\"",
            "[[load]]\nprofile = \"cpu-arrival\"",
            "[tds]",
            "[module]",
            "[[module.extra_cpuid_config]]\nleaf = 1\nsubleaf = 0\neax = 0\nebx = 0\necx = 0\nedx = 0",
            "[image]",
            "[image.spec]",
            "[[faults]]\nleaf = \"TDH.SYS.RD\"\naction = \"vm-fail-invalid\"",
            "[platform]",
            "[platform.durations]",
            "[[hw]]\narguments = [\"check\"]",
            "[userspace]",
            "[[client]]\nprogram = \"/x\"",
            "[expect]",
            "[expect.repaired]",
            "[expect.leaked]",
            "[expect.td_refused]\nerrno = 5",
            "[budget]",
            "[nested]\nkernel = \"debian:7.3\"\nscenarios = []",
        ] {
            let trouble = trouble(&format!("name = \"x\"\n{table}\nbogus = 1\n"));
            assert!(trouble.cause.ends_with("unknown key `bogus`"), "{table}: {}", trouble.cause);
        }
    }

    #[test]
    fn words_of_a_closed_set_are_checked() {
        let bad = |line: &str| trouble(&format!("name = \"x\"\n[expect]\n{line}\n")).cause;
        assert!(bad("update_error = \"firmware-bad\"").contains("firmware-bad"));
        assert!(bad("update = [\"unchanged\", \"updatd\"]").contains("unknown value `updatd`"));
        assert!(bad("broken = [\"lockstp\"]").contains("unknown value `lockstp`"));
        assert!(bad("held = [\"lockstp\"]").contains("unknown value `lockstp`"));
    }

    #[test]
    fn cannot_have_an_unknown_value() {
        let t = trouble("name = \"x\"\nsubject = \"in-three\"\n");
        assert_eq!(t.cause, "x.toml:2: unknown value `in-three`");
        assert!(t.help.contains("in-tree"), "{}", t.help);
    }

    #[test]
    fn a_load_without_a_profile_gets_their_names() {
        let t = trouble("name = \"x\"\n[[load]]\nthreads = 3\n");
        assert!(t.cause.ends_with("the key `profile` is missing, which names the load"), "{}", t.cause);
        for name in ["cpu-hog", "seamcall", "trust-domain"] {
            assert!(t.help.starts_with("known here: ") && t.help.contains(name), "{}", t.help);
        }
    }

    #[test]
    fn a_key_in_the_place_of_one_of_several_forms_is_called_a_key() {
        let fault = "name = \"x\"\n[[faults]]\nleaf = \"INSTALL\"\naction = ";
        let t = trouble(&format!("{fault}{{ stat = 1 }}\n"));
        assert_eq!(t.cause, "x.toml:4: unknown key `stat`");
        assert!(t.help.contains("`status`"), "{}", t.help);
        assert_eq!(trouble(&format!("{fault}\"stat\"\n")).cause, "x.toml:4: unknown value `stat`");
    }

    #[test]
    fn a_key_like_no_other_gets_the_list() {
        let t = trouble("name = \"x\"\nzzz = 1\n");
        assert!(t.help.starts_with("known here: name, why"), "{}", t.help);
    }

    #[test]
    fn cannot_be_broken_toml_or_out_of_range() {
        assert!(trouble("name = \n").cause.starts_with("x.toml:1: "));
        assert!(trouble("name = \"x\"\ncpus = 0\n").cause.contains("`cpus` is 0"));
        assert!(trouble("name = \"x\"\ncpus = -1\n").cause.starts_with("x.toml:2: "));
    }
}
