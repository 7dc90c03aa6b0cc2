//! `rig claim`

use super::claim_orders::every_order;
use super::claim_seeds::explore_seeds;
use super::output;
use super::replay::fresh;
use crate::claim::{Answer, ClaimEvidence, text};
use crate::run::Interrupts;
use crate::scenario::{Claim, Scenario, from_file};
use crate::suite::{self, Ran};
use crate::trouble::Trouble;
use crate::whole_file;
use rig_images::{Images, Kernel, KernelRequest, Progress, SourceEdit};
use rig_judge::{Invariant, Standing, Verdict};
use std::path::{Path, PathBuf};

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig claim docs/claims/version-reader.toml           a race that a lock closed at the merge
  cargo rig claim docs/claims/version-reader-unlocked.toml  the same without the lock
  cargo rig claim my-claim.toml --kernel ~/linux            of a kernel of your own

A claim is a scenario with a table [claim] (docs/how-to/claims.md).

Exit codes: 0 refuted: every order was explored and none shows it; 1 reproduced; 6 not reproduced within
the bound that is told, which is no proof; 2 usage; 5 nothing was judged: the rig or this machine failed.";

/// The answer and the evidence, in the claim's folder.
const ANSWER: &str = "claim.json";

#[derive(Debug, clap::Args)]
pub(super) struct ClaimArguments {
    /// A scenario file with a table [claim]
    file: PathBuf,
    /// Runs of the scenario, in place of those that the claim asks for
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// A kernel of your own, as for `rig run`; the changes that the claim makes to the rig's kernel are left out
    #[arg(long, value_name = "PATH")]
    kernel: Option<PathBuf>,
    /// Folder of the evidence; must not exist or be empty [default: runs/claim-TIME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// The kernel of which the claim speaks.
struct ClaimKernel {
    /// In words.
    name: String,
    /// For scenarios; none: the rig's as it is.
    path: Option<PathBuf>,
    /// Its files, where they are known before anything runs.
    kernel: Option<Kernel>,
}

pub(super) fn run(arguments: &ClaimArguments) -> Result<u8, Trouble> {
    let (claim, scenario) = read(arguments)?;
    let progress = Progress::stderr();
    let folder = fresh(arguments.out.as_deref(), "claim")?;
    let kernel = kernel(&claim, &scenario, arguments, &progress)?;
    let scenario = Scenario { kernel: kernel.path.clone(), ..scenario };
    let runs = runs(&claim, &scenario, &folder, &progress)?;
    let unseen = runs.iter().filter(|ran| !could_show(ran, &claim)).count();
    let mut evidence = ClaimEvidence { runs, unseen, ..ClaimEvidence::default() };
    if Answer::of(&claim, &evidence) != Answer::Reproduced {
        evidence.proof = claim
            .prove_cpus
            .map(|cpus| every_order(cpus, claim.prove_failures, kernel.kernel.as_ref(), &progress))
            .transpose()?;
    }
    if claim.seeds > 0 && Answer::of(&claim, &evidence) == Answer::NotReproduced {
        evidence.seeds = Some(explore_seeds(&claim, scenario.clone(), &folder, &progress)?);
    }
    let answer = Answer::of(&claim, &evidence);
    let exit = answer.exit() as u8;
    let whole = serde_json::json!({
        "answer": answer, "exit_code": exit, "claim": claim, "kernel": kernel.name, "kernel_path": kernel.path,
        "holds": scenario.holds, "evidence": evidence, "folder": folder,
    });
    let pretty = serde_json::to_string_pretty(&whole).expect("an answer is plain data");
    whole_file::replace(&folder.join(ANSWER), (pretty + "\n").as_bytes())?;
    if arguments.json {
        output::json(&whole);
    } else {
        output::text_line(&text(&claim, &scenario, &kernel.name, &evidence));
        if let Some(tree) = kernel.path.filter(|path| answer == Answer::Reproduced && path.is_dir()) {
            let file = arguments.file.display();
            output::text_line(&format!("again: cargo rig run {file} --kernel {}", tree.display()));
        }
        output::text_line(&format!("evidence: {}", folder.display()));
    }
    Ok(exit)
}

/// The claim of the file, and its scenario with the flags over it.
fn read(arguments: &ClaimArguments) -> Result<(Claim, Scenario), Trouble> {
    let mut scenario = from_file(&arguments.file)?;
    let Some(mut claim) = scenario.claim.take() else {
        let cause = format!("{} claims nothing: it has no table [claim]", arguments.file.display());
        return Err(Trouble::usage(cause, "docs/how-to/claims.md says how a claim is written"));
    };
    claim.runs = arguments.runs.unwrap_or(claim.runs);
    if let Some(kernel) = &arguments.kernel {
        // What the claim changes is the other kernel's own business.
        claim.edits.clear();
        scenario.kernel = Some(kernel.canonicalize().unwrap_or_else(|_| kernel.clone()));
        scenario.check().map_err(|cause| Trouble::usage(cause, "change the flag, or the file"))?;
    }
    Ok((claim, scenario))
}

/// Builds what the claim changes of the rig's kernel.
fn kernel(
    claim: &Claim,
    scenario: &Scenario,
    arguments: &ClaimArguments,
    progress: &Progress,
) -> Result<ClaimKernel, Trouble> {
    if let Some(path) = &scenario.kernel {
        let kernel = scenario.kernel_path().map(Kernel::from_path).transpose()?;
        return Ok(ClaimKernel { name: path.display().to_string(), path: Some(path.clone()), kernel });
    }
    let images = Images::open(progress.clone())?;
    let edits = claim.edits.iter().map(|edit| SourceEdit::literal(&edit.file, &edit.from, &edit.to)).collect();
    let built = images.kernel(&KernelRequest::edited(edits)).map_err(|error| {
        let trouble = Trouble::from(error);
        if claim.edits.is_empty() { trouble } else { in_claim(&trouble, &arguments.file) }
    })?;
    let release = format!("Linux {}", built.release);
    let (name, path) = match claim.edits.len() {
        0 => (format!("{release}, as the rig builds it"), None),
        1 => (format!("{release}, with the change of the claim"), built.tree.clone()),
        n => (format!("{release}, with the {n} changes of the claim"), built.tree.clone()),
    };
    Ok(ClaimKernel { name, path, kernel: Some(built) })
}

/// A change that does not fit, or does not build, is the claim's mistake.
fn in_claim(trouble: &Trouble, file: &Path) -> Trouble {
    let help = "compare each `claim.edit` with the kernel's source";
    Trouble::usage(format!("{}: the kernel that it speaks of cannot be built: {}", file.display(), trouble.cause), help)
}

/// Whether the verdict of a run has the invariant that would show the claim as held or broken. A check is looked at in any case.
fn could_show(ran: &Ran, claim: &Claim) -> bool {
    let Some(invariant) = Invariant::ALL.into_iter().find(|invariant| invariant.name() == claim.shown_by) else {
        return true;
    };
    let file = ran.run_dir.as_ref().map(|folder| folder.join("verdict.json"));
    let verdict = file.and_then(|file| serde_json::from_slice::<Verdict>(&std::fs::read(file).ok()?).ok());
    // A run without a verdict was not judged, and is not counted for that reason.
    verdict.is_none_or(|verdict| verdict.invariants.get(&invariant) != Some(&Standing::NotApplicable))
}

/// Runs the scenario as it is, until it shows the claim.
fn runs(claim: &Claim, scenario: &Scenario, folder: &Path, progress: &Progress) -> Result<Vec<Ran>, Trouble> {
    let interrupts = Interrupts::listen().map_err(|e| {
        Trouble::environment(format!("cannot listen to signals: {e}"), "report this with the message above")
    })?;
    let mut runs: Vec<Ran> = Vec::new();
    for number in 1..=claim.runs {
        if interrupts.happened() {
            break;
        }
        progress.say(&format!("run {number} of {}", claim.runs));
        let ran = suite::run_one(scenario.clone(), &folder.join(format!("run-{number}")), &Progress::silent());
        let is_shown = ran.unmet.iter().any(|unmet| claim.is_shown_by(unmet));
        runs.push(ran);
        if is_shown {
            break;
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        claim: ClaimArguments,
    }

    fn parse(text: &str, flags: &[&str]) -> Result<(Claim, Scenario), Trouble> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("claim.toml");
        std::fs::write(&file, text).unwrap();
        read(&Line::parse_from(["claim", file.to_str().unwrap()].iter().chain(flags)).claim)
    }

    const TEXT: &str = "name = \"x\"\n[claim]\nsays = \"It races.\"\nshown_by = \"lockstep\"\n\
        [[claim.edit]]\nfile = \"a.c\"\nfrom = \"lock();\"\nto = \"\"\n";

    #[test]
    fn a_claim_is_a_scenario_that_says_what_is_claimed() {
        let (claim, scenario) = parse(TEXT, &["--runs", "3"]).unwrap();
        assert_eq!((claim.runs, claim.edits.len(), scenario.claim), (3, 1, None));
        let refused = parse("name = \"x\"\n", &[]).unwrap_err();
        assert!(refused.cause.contains("claims nothing"), "{refused}");
        let refused = parse("name = \"x\"\n[claim]\nsays = \"\"\nshown_by = \"y\"\n", &[]).unwrap_err();
        assert!(refused.cause.contains("`claim.says`"), "{refused}");
    }

    #[test]
    fn a_kernel_of_ones_own_is_not_changed() {
        let (claim, scenario) = parse(TEXT, &["--kernel", "/nonexistent"]).unwrap();
        assert_eq!((claim.edits.len(), scenario.kernel), (0, Some("/nonexistent".into())));
    }

    /// What is worked out in the documents can be read, and its changes fit the claim's own words.
    #[test]
    fn the_claims_of_the_documents_are_claims() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/claims");
        let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= 4, "{files:?}");
        for file in files {
            let line = ["claim", file.to_str().unwrap()];
            let (claim, _) = read(&Line::parse_from(line).claim).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            assert!(!claim.source.is_empty(), "{}", file.display());
        }
    }
}
