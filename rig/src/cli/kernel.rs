//! `rig kernel`

use super::doctor::line;
use super::output;
use crate::fit;
use crate::trouble::Trouble;
use rig_images::{KernelRequest, MergedConfig, merge_config};
use serde_json::json;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig kernel check ~/build            what this kernel lacks; nothing is run
  cargo rig kernel config ~/build           adds what its .config lacks, by the kernel's own merge_config.sh
  cargo rig kernel config ~/build --whole   makes it the rig's own configuration, on top of tinyconfig";

#[derive(Debug, clap::Args)]
pub(super) struct KernelArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Say what a kernel lacks for the rig, and what works without it: 0 it works, 1 something is missing
    Check {
        /// Build tree, or a bzImage
        tree: PathBuf,
        /// Write one JSON object to stdout, and nothing else
        #[arg(long)]
        json: bool,
    },
    /// Add what a build folder's .config lacks, and say what changed: 0 all was taken, 1 Kconfig refused a line
    Config {
        /// Folder with the .config
        tree: PathBuf,
        /// All lines of the rig's own kernel, also those that only make it small and quick to build
        #[arg(long)]
        whole: bool,
        /// Write one JSON object to stdout, and nothing else
        #[arg(long)]
        json: bool,
    },
}

impl KernelArguments {
    /// Whether stdout is for one JSON object.
    pub(super) fn json(&self) -> bool {
        matches!(self.action, Action::Check { json: true, .. } | Action::Config { json: true, .. })
    }
}

pub(super) fn run(arguments: &KernelArguments) -> Result<u8, Trouble> {
    match &arguments.action {
        Action::Check { tree, json } => {
            let report = fit::examine(tree)?;
            let code = report.exit() as u8;
            if *json {
                output::json(&json!({ "items": report.items, "exit_code": code }));
            } else {
                output::text_line(&report.items.iter().map(line).collect::<Vec<_>>().join("\n"));
            }
            Ok(code)
        }
        Action::Config { tree, whole, json } => {
            let merged = merge_config(tree, &KernelRequest::default().profile, *whole)?;
            let code = u8::from(!merged.refused.is_empty());
            if *json {
                let MergedConfig { changes, refused } = &merged;
                output::json(&json!({ "changes": changes, "refused": refused, "exit_code": code }));
            } else {
                output::text_line(&text(&merged));
            }
            Ok(code)
        }
    }
}

fn text(merged: &MergedConfig) -> String {
    let refused = |line: &String| format!("FAIL     {line}: Kconfig did not take it, so what it depends on is not set");
    let mut lines: Vec<String> = merged.changes.iter().map(|line| format!("changed  {line}")).collect();
    lines.extend(merged.refused.iter().map(refused));
    lines.push(match merged.changes.len() {
        0 => "nothing was changed".to_owned(),
        n => format!("options changed: {n}; what was there before is .config.old"),
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_and_what_was_refused_are_told_apart() {
        let merged =
            MergedConfig { changes: vec!["CONFIG_A: not set -> y".into()], refused: vec!["CONFIG_B=y".into()] };
        let text = text(&merged);
        assert!(text.contains("changed  CONFIG_A: not set -> y\nFAIL     CONFIG_B=y: "), "{text}");
        assert!(text.ends_with("options changed: 1; what was there before is .config.old"), "{text}");
    }
}
