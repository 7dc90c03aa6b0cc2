//! Everything that must be clear before the machine is changed.

use super::Request;
use crate::check::{Standing, conditions};
use crate::choose::{Candidate, Platform, by_file, by_mapping, newest, refusals};
use crate::facts::{Facts, Module, Tds};
use crate::journal;
use crate::load;
use crate::mapping::Mapping;
use crate::trouble::Trouble;
use crate::version::Version;
use rig_wire::agent::Load;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// What is uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its file.
    pub path: PathBuf,
    /// Its version, where it is known.
    pub version: Option<Version>,
    /// Its bytes, which were read once, with the candidate that was checked, and are uploaded.
    pub bytes: Vec<u8>,
    /// SHA-256 of them, hexadecimal.
    pub sha256: String,
}

/// What will be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The running module.
    pub from: Option<Version>,
    /// The module that must run when the next update begins: at first `from`, then what the update before left.
    pub running: Option<Version>,
    /// The image.
    pub image: Image,
    /// Updates, at most.
    pub updates: u32,
    /// Loads beside them.
    pub loads: Vec<Load>,
    /// CPUs that may be offline in an update: none, unless it was forced although these were.
    pub offline: Vec<u16>,
    /// Although trust domains run.
    pub with_tds: bool,
    /// The last remaining update may be used up.
    pub last: bool,
    /// How many updates remain does not matter.
    pub force: bool,
    /// What was against it and is overridden, or is worth knowing.
    pub warnings: Vec<String>,
}

/// Makes a plan, or says what stands in the way.
pub fn plan(request: &Request, facts: &Facts, unfinished: Option<&journal::Entry>) -> Result<Plan, Trouble> {
    let mut warnings = Vec::new();
    if let Some(entry) = unfinished {
        warnings.push(format!("a command before this one ended while it was at: {} ({})", entry.step, entry.time));
    }
    host(request, facts, &mut warnings)?;
    trust_domains(request, facts, &mut warnings)?;
    let updates = count(request, facts, &mut warnings)?;
    let Candidate { path, version, bytes, .. } = image(request, facts, &mut warnings)?;
    let sha256 = hex::encode(Sha256::digest(&bytes));
    let loads = request.loads.iter().map(|name| load::profile(name, facts)).collect::<Result<_, _>>()?;
    Ok(Plan {
        from: facts.version(),
        running: facts.version(),
        image: Image { path, version, bytes, sha256 },
        updates,
        loads,
        // Without --force nothing is planned with a CPU offline.
        offline: facts.offline(),
        with_tds: request.with_tds,
        last: request.last,
        force: request.force,
        warnings,
    })
}

/// The first condition that is missing; the rest are warnings.
fn host(request: &Request, facts: &Facts, warnings: &mut Vec<String>) -> Result<(), Trouble> {
    for condition in conditions(facts).iter().filter(|c| c.standing == Standing::Missing) {
        let cause = format!("{}: {}", condition.name, condition.seen);
        // Without a running module or an idle interface there is nothing to force.
        let forceable = facts.version().is_some() && facts.upload.as_deref() == Some("idle");
        if !request.force || !forceable {
            return Err(Trouble::host(cause, &condition.remedy));
        }
        warnings.push(format!("forced although {cause}"));
    }
    Ok(())
}

fn trust_domains(request: &Request, facts: &Facts, warnings: &mut Vec<String>) -> Result<(), Trouble> {
    if facts.tds == Tds::None {
        return Ok(());
    }
    if !request.with_tds {
        let cause = format!("trust domains run on this host ({})", facts.tds);
        return Err(Trouble::refused(cause, "move them away, or say --with-tds: a failed update loses them all"));
    }
    warnings.push(format!("trust domains run ({}), and are lost if the update fails", facts.tds));
    // README of the release repository, "Important Notes".
    warnings.push(
        "build no trust domain meanwhile: its measurement may be corrupted (modules before 1.5.24 and 2.0.14)".into(),
    );
    Ok(())
}

/// How many updates can be made without using up the last one.
fn count(request: &Request, facts: &Facts, warnings: &mut Vec<String>) -> Result<u32, Trouble> {
    let remaining = facts.remaining.unwrap_or(0);
    let spare = if request.last || request.force { remaining } else { remaining.saturating_sub(1) };
    if spare == 0 && !request.force {
        let help = "say --last to use it up: then no update is possible until the next boot";
        return Err(Trouble::refused(format!("{remaining} update(s) are left until the next boot"), help));
    }
    if request.updates > spare && !request.force {
        warnings
            .push(format!("{spare} of {} updates can be made, then the last one would be used up", request.updates));
    }
    Ok(if request.force { request.updates } else { request.updates.min(spare) })
}

/// The image that the request names, or the newest that fits.
fn image(request: &Request, facts: &Facts, warnings: &mut Vec<String>) -> Result<Candidate, Trouble> {
    let here = platform(facts)?;
    let (mapping, to) = (request.mapping.as_deref(), request.to);
    let candidate = match (&request.image, mapping) {
        (Some(file), mapping) => {
            let mapping = mapping.map(Mapping::load).transpose()?;
            if mapping.is_none() {
                warnings.push("no mapping file: minimum versions of module and P-SEAMLDR are not checked".into());
            }
            by_file(file, to, mapping.as_ref())?
        }
        (None, Some(mapping)) => {
            let all = by_mapping(mapping)?;
            match to {
                Some(to) => all.into_iter().find(|c| c.version == Some(to)).ok_or_else(|| absent(to))?,
                None => return newest(&all, &here).cloned().map_err(|why| nothing_fits(&here, &why)),
            }
        }
        (None, None) => {
            let help = "say --image FILE, or --mapping mapping_file.json with the released images beside it";
            return Err(Trouble::usage("no image is named, and none can be chosen", help));
        }
    };
    let against: Vec<String> = refusals(&candidate, &here).iter().map(ToString::to_string).collect();
    match against.first() {
        None => {}
        Some(_) if request.force => warnings.extend(against.iter().map(|why| format!("forced although {why}"))),
        Some(first) => {
            let cause = format!("{} must not be installed here: {first}", candidate.path.display());
            return Err(Trouble::refused(cause, "take an image that fits; without --to the newest one is chosen"));
        }
    }
    Ok(candidate)
}

fn platform(facts: &Facts) -> Result<Platform, Trouble> {
    let help = "see `rig-hw check`";
    let module = facts.version().ok_or_else(|| match facts.module {
        Module::Lost => Trouble::host("the TDX module is lost", "reboot this machine"),
        _ => Trouble::host("no TDX module runs", help),
    })?;
    let seamldr = facts.seamldr.ok_or_else(|| Trouble::host("P-SEAMLDR's version is not known", help))?;
    Ok(Platform { module, seamldr, cpuid_1_eax: facts.cpu.as_ref().map(|cpu| cpu.eax) })
}

fn absent(to: Version) -> Trouble {
    let help = "put tdx_module_X.Y.ZZ.blob beside the mapping file or under joined_files/X.Y, as the release repository has it";
    Trouble::usage(format!("there is no image of version {to} beside the mapping file"), help)
}

/// The newest image says best why.
fn nothing_fits(here: &Platform, why: &[(&Candidate, Vec<crate::choose::ImageRefusal>)]) -> Trouble {
    let of = |(candidate, refusals): &(&Candidate, Vec<crate::choose::ImageRefusal>)| {
        let version = candidate.version.map_or_else(|| "?".into(), |v| v.to_string());
        let reason = refusals.first().map_or_else(|| "not newer than what runs".into(), ToString::to_string);
        format!("{version}: {reason}")
    };
    let all: Vec<String> = why.iter().map(of).collect();
    let cause = format!("no image fits module {} with P-SEAMLDR {}", here.module, here.seamldr);
    let all = if all.is_empty() { "there are none beside the mapping file".into() } else { all.join("; ") };
    Trouble::refused(cause, format!("what is against each: {all}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use seam_emu::image::{ImageSpec, build, mapping_file};
    use std::fs;

    /// A folder with images of 1.5.05 to 1.5.08 for the fake host's processor.
    fn releases() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let spec = |update| ImageSpec { major: 1, minor: 5, update, cpuids: vec![0x0008_06f0], ..ImageSpec::default() };
        let specs: Vec<ImageSpec> = (5..=8).map(spec).collect();
        for spec in &specs {
            fs::write(folder.path().join(format!("tdx_module_{}.blob", spec.version_string())), build(spec)).unwrap();
        }
        fs::write(folder.path().join("mapping_file.json"), mapping_file(&specs)).unwrap();
        folder
    }

    fn request(releases: &tempfile::TempDir) -> Request {
        Request {
            what: "update",
            mapping: Some(releases.path().join("mapping_file.json")),
            updates: 1,
            ..Request::default()
        }
    }

    fn planned(fake: &Fake, request: &Request) -> Result<Plan, Trouble> {
        plan(request, &Facts::of(&fake.host()), None)
    }

    fn set(fake: &Fake, attribute: &str, text: &str) {
        fake.put(&format!("/sys/devices/faux/tdx_host/{attribute}"), text);
    }

    #[test]
    fn the_newest_image_is_planned_or_the_one_that_is_named() {
        let (fake, releases) = (Fake::new(), releases());
        let plan = planned(&fake, &request(&releases)).unwrap();
        assert_eq!(plan.image.version, Some("1.5.08".parse().unwrap()));
        assert!(plan.warnings.is_empty() && plan.updates == 1, "{:?}", plan.warnings);
        let to = Some("1.5.06".parse().unwrap());
        assert_eq!(planned(&fake, &Request { to, ..request(&releases) }).unwrap().image.version, to);
        let image = Some(releases.path().join("tdx_module_1.5.07.blob"));
        let by_file = planned(&fake, &Request { image, mapping: None, ..request(&releases) }).unwrap();
        assert!(by_file.warnings[0].contains("no mapping file"));
    }

    #[test]
    fn a_rule_against_the_image_is_reported_and_can_be_overridden() {
        let (fake, releases) = (Fake::new(), releases());
        set(&fake, "version", "1.5.07");
        let down = Request { to: Some("1.5.06".parse().unwrap()), ..request(&releases) };
        let refused = planned(&fake, &down).unwrap_err();
        assert!(refused.cause.contains("older than the running 1.5.07"), "{refused}");
        let forced = planned(&fake, &Request { force: true, ..down }).unwrap();
        assert!(forced.warnings[0].contains("older"), "{:?}", forced.warnings);
        set(&fake, "version", "1.5.08");
        let nothing = planned(&fake, &request(&releases)).unwrap_err();
        assert!(nothing.cause.contains("no image fits") && nothing.help.contains("not newer"), "{nothing}");
        let absent =
            planned(&fake, &Request { to: Some("1.5.30".parse().unwrap()), ..request(&releases) }).unwrap_err();
        assert!(absent.cause.contains("no image of version 1.5.30"), "{absent}");
        assert!(planned(&fake, &Request { mapping: None, ..request(&releases) }).unwrap_err().help.contains("--image"));
    }

    #[test]
    fn the_last_update_is_kept_unless_asked_for() {
        let (fake, releases) = (Fake::new(), releases());
        set(&fake, "num_remaining_updates", "3");
        let many = Request { updates: 5, ..request(&releases) };
        let plan = planned(&fake, &many).unwrap();
        assert!(plan.updates == 2 && plan.warnings[0].contains("2 of 5"), "{plan:?}");
        assert_eq!(planned(&fake, &Request { last: true, ..many }).unwrap().updates, 3);
        set(&fake, "num_remaining_updates", "1");
        assert!(planned(&fake, &request(&releases)).unwrap_err().help.contains("--last"));
        assert_eq!(planned(&fake, &Request { last: true, ..request(&releases) }).unwrap().updates, 1);
    }

    #[test]
    fn trust_domains_are_spared_unless_asked_for() {
        let (fake, releases) = (Fake::new(), releases());
        fake.put("/sys/module/kvm_intel/parameters/tdx", "Y");
        fake.put("/sys/fs/cgroup/misc.current", "tdx 2");
        assert!(planned(&fake, &request(&releases)).unwrap_err().help.contains("--with-tds"));
        let plan = planned(&fake, &Request { with_tds: true, ..request(&releases) }).unwrap();
        assert!(plan.warnings[0].contains("lost if the update fails"), "{:?}", plan.warnings);
    }

    #[test]
    fn a_host_that_is_not_ready_is_refused_and_can_be_forced() {
        let (fake, releases) = (Fake::new(), releases());
        fake.put("/sys/devices/system/cpu/online", "0-2");
        assert!(planned(&fake, &request(&releases)).unwrap_err().cause.contains("3 offline"));
        let forced = planned(&fake, &Request { force: true, ..request(&releases) }).unwrap();
        assert!(forced.warnings[0].contains("3 offline") && forced.offline == [3], "{:?}", forced.warnings);
        fake.put("/sys/class/firmware/tdx_module/status", "transferring");
        let busy = planned(&fake, &Request { force: true, ..request(&releases) }).unwrap_err();
        assert!(busy.cause.contains("busy"), "{busy}");
        fake.lose_module();
        let lost = planned(&fake, &Request { force: true, ..request(&releases) }).unwrap_err();
        assert!(lost.help.contains("reboot"), "{lost}");
    }

    /// The file is read once: whatever becomes of it later, what was checked is what is planned.
    #[test]
    fn the_bytes_that_were_checked_are_planned() {
        let (fake, releases) = (Fake::new(), releases());
        let file = releases.path().join("tdx_module_1.5.08.blob");
        let checked = fs::read(&file).unwrap();
        let candidates = by_mapping(&releases.path().join("mapping_file.json")).unwrap();
        let plan = planned(&fake, &request(&releases)).unwrap();
        fs::write(&file, "something else").unwrap();
        assert_eq!(plan.image.bytes, checked);
        assert_eq!(candidates.iter().find(|c| c.path == file).unwrap().bytes, checked);
        assert_eq!(plan.image.sha256, hex::encode(Sha256::digest(&checked)));
    }

    #[test]
    fn a_command_that_was_cut_short_is_reported() {
        let (fake, releases) = (Fake::new(), releases());
        let entry = journal::Entry { time: "t".into(), pid: 1, step: "upload".into(), detail: serde_json::Value::Null };
        let plan = plan(&request(&releases), &Facts::of(&fake.host()), Some(&entry)).unwrap();
        assert!(plan.warnings[0].contains("upload"), "{:?}", plan.warnings);
    }
}
