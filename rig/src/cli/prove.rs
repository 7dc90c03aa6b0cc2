//! `rig prove`

use super::output;
use crate::trouble::{Exit, Trouble};
use rig_images::{Images, ImagesError, Kernel, KernelRequest, Progress};
use rig_interleave::image::ElfImage;
use rig_interleave::kernel::Entry;
use rig_interleave::report::{Report, Verdict};
use rig_interleave::{Request, Unprovable};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig prove --cpus 3                   the rig's own kernel, no failure
  cargo rig prove --cpus 2 --failures 1      and one SEAMCALL may fail, whichever
  cargo rig prove --kernel ~/linux           a kernel's build tree, or its vmlinux
  cargo rig prove --from stop-machine        from multi_cpu_stop(), where CPUs still gather

Exit codes: 0 every order was explored and no rule breaks, 1 an order breaks a rule, 2 usage,
5 there is no verdict: something that the proof does not know, or too little memory.";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// CPUs, 1 to 8; from 5 on more memory is needed than most machines have
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    cpus: u8,
    /// A kernel of your own: a vmlinux, or a build tree that has one
    #[arg(long, value_name = "FILE|TREE")]
    kernel: Option<PathBuf>,
    /// How many SEAMCALLs may fail, each in three ways, on any CPU
    #[arg(long, default_value_t = 0, value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1))]
    failures: u8,
    /// Where the CPUs begin
    #[arg(long, value_enum, default_value = "section")]
    from: From,
    /// Memory that the search may use, MiB
    #[arg(long, default_value_t = 4096, value_name = "MIB")]
    memory_mib: usize,
    /// Debugging: keep dead registers, stack and queue nodes in the state; more states, and the same verdict
    #[arg(long)]
    keep_dead: bool,
    /// Write the certificate or counterexample to this file, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// See [`Entry`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum From {
    /// The function that the uploader gives to `stop_machine`, with interrupts disabled
    Section,
    /// `multi_cpu_stop()`, where the CPUs gather and disable interrupts
    StopMachine,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let (name, file) = vmlinux(arguments)?;
    let bytes = std::fs::read(&file).map_err(|error| Trouble::file("read", &file, &error))?;
    let image = ElfImage::parse(&bytes).map_err(|error| Trouble::usage(error.to_string(), error.remedy()))?;
    drop(bytes);
    let request = Request {
        cpus: arguments.cpus.into(),
        failures: arguments.failures > 0,
        entry: match arguments.from {
            From::Section => Entry::Section,
            From::StopMachine => Entry::StopMachine,
        },
        keeps_dead: arguments.keep_dead,
        memory_mib: arguments.memory_mib,
        ..Request::default()
    };
    let begun = Instant::now();
    eprintln!("prove: exploring {} CPUs of {name}", arguments.cpus);
    let report =
        rig_interleave::prove(image, request, &mut progress_printer(begun)).map_err(|error| refused(&error))?;
    let seconds = begun.elapsed().as_secs_f64();
    if let Some(path) = &arguments.out {
        let text = serde_json::to_string_pretty(&report).expect("a report is plain data") + "\n";
        std::fs::write(path, text).map_err(|error| Trouble::file("write", path, &error))?;
    }
    let exit = if report.verdict == Verdict::Holds { Exit::Passed } else { Exit::Failed } as u8;
    if arguments.json {
        let kernel = serde_json::json!({ "name": name, "vmlinux": file });
        output::json(&serde_json::json!({ "exit_code": exit, "kernel": kernel, "seconds": seconds, "report": report }));
    } else {
        output::text_line(&text(&report, &name, seconds));
    }
    Ok(exit)
}

/// The kernel's name for reports, and its ELF file with symbols.
fn vmlinux(arguments: &Arguments) -> Result<(String, PathBuf), Trouble> {
    let kernel = match &arguments.kernel {
        Some(path) if path.is_file() => return Ok((path.display().to_string(), path.clone())),
        Some(path) if !path.exists() => return Err(Trouble::from(ImagesError::NoKernelImage(path.clone()))),
        Some(path) => Kernel::from_path(path)?,
        None => {
            let progress = if arguments.json { Progress::silent() } else { Progress::stderr() };
            Images::open(progress)?.kernel(&KernelRequest::default())?
        }
    };
    let release = format!("Linux {}", kernel.release);
    let none =
        || Trouble::usage("the kernel has no vmlinux", "give a vmlinux with --kernel, or a build tree that has one");
    kernel.vmlinux.map(|file| (release, file)).ok_or_else(none)
}

/// There is no verdict: that is neither a pass nor a failure of the kernel.
fn refused(error: &Unprovable) -> Trouble {
    Trouble::environment(format!("there is no verdict: {error}"), error.remedy())
}

/// Writes to stderr how far the search is: after a second, and then every two.
fn progress_printer(begun: Instant) -> impl FnMut(rig_interleave::search::Progress) {
    let mut due = Duration::from_secs(1);
    move |at| {
        let elapsed = begun.elapsed();
        if elapsed >= due {
            due = elapsed + Duration::from_secs(2);
            let (states, depth, seconds) = (at.states, at.depth, elapsed.as_secs_f64());
            eprintln!("prove: {states} states, {} transitions, depth {depth}, {seconds:.0} s", at.transitions);
        }
    }
}

fn text(report: &Report, name: &str, seconds: f64) -> String {
    let mut text = String::new();
    let failing = if report.failures.is_empty() { "no SEAMCALL fails" } else { "one SEAMCALL may fail" };
    let heading = match report.verdict {
        Verdict::Holds => "HOLDS",
        Verdict::Refuted => "REFUTED",
    };
    let _ = writeln!(text, "{heading}  {name}, {} CPUs, {failing}, {} memory", report.cpus, report.memory_model);
    let _ = writeln!(
        text,
        "  {} states, {} transitions, {} ends, {seconds:.1} s, {} MiB of tables",
        report.states,
        report.transitions,
        report.ends,
        report.table_bytes.div_ceil(1 << 20),
    );
    if let Some(finding) = &report.finding {
        let _ = writeln!(text, "\nbroken: {} ({})", finding.rule, finding.meaning);
        for step in &finding.steps {
            let _ = writeln!(text, "  {step}");
        }
        if let Some(note) = &finding.note {
            let _ = writeln!(text, "  {note}");
        }
    }
    list(&mut text, "rules", report.rules.iter().map(|rule| format!("{}: {}", rule.name, rule.meaning)));
    let coverage = report.coverage.iter();
    let rows = coverage.map(|row| format!("{} {} of {}", row.function, row.executed, row.instructions));
    list(&mut text, "instructions executed", rows);
    let replaced = report.contracts.iter().map(|row| format!("{} {}: {}", row.function, row.effect, row.reason));
    list(&mut text, "functions that are replaced, not executed", replaced);
    list(&mut text, "reductions", report.reductions.iter().map(|row| format!("{}: {}", row.name, row.argument)));
    list(&mut text, "assumptions", report.assumptions.iter().cloned());
    text.trim_end().to_owned()
}

fn list(text: &mut String, heading: &str, rows: impl Iterator<Item = String>) {
    let rows: Vec<String> = rows.collect();
    let _ = writeln!(text, "\n{heading}:{}", if rows.is_empty() { " none" } else { "" });
    for row in rows {
        let _ = writeln!(text, "  {row}");
    }
}
