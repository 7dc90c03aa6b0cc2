//! What a bundle says of itself.

use super::minimal::Minimal;
use rig_judge::Verdict;
use std::fmt::Write;

/// The text of its README.txt.
pub(super) fn text(verdict: &Verdict, minimal: &Minimal, has_config: bool) -> String {
    let facts = &verdict.facts;
    let mut text = format!("A run of seamrig: scenario {}, {}.\n", facts.scenario, verdict.verdict.name());
    if let Some(reason) = &verdict.reason {
        let _ = writeln!(text, "{reason}");
    }
    let _ = writeln!(
        text,
        "\nMade by rig {}, with Linux {}.",
        facts.rig.summary(),
        facts.kernel.as_deref().unwrap_or("(not known)")
    );
    if let Some(image) = &facts.kernel_image {
        let hash = image.sha256.as_deref().unwrap_or("(not known)");
        let config = if has_config { "; its configuration is kernel.config" } else { "" };
        let _ = writeln!(text, "The kernel's image has the SHA-256 {hash}{config}.");
    }
    text.push_str("\nreport.html is a page with the timeline, for any browser. In a checkout of seamrig:\n\n");
    let kernel = if minimal.needs_kernel { " --kernel YOUR-BUILD-TREE" } else { "" };
    let commands = [
        ("cargo rig show FOLDER".to_owned(), "the verdict"),
        ("cargo rig check FOLDER".to_owned(), "judges the recording again; needs no kernel"),
        (format!("cargo rig run FOLDER/scenario.toml{kernel}"), "runs it again"),
    ];
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (command, what) in commands {
        let _ = writeln!(text, "  {command:width$}   {what}");
    }
    if !minimal.files.is_empty() {
        let _ = writeln!(text, "\nThe scenario takes files that are not in here: {}.", minimal.files.join(", "));
    }
    text
}
