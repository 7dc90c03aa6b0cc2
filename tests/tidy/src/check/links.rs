//! Each link in a document leads somewhere.

use crate::paths::{folder, has_extension, joined};
use crate::violation::Violation;
use crate::workspace::Workspace;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use std::collections::{BTreeMap, BTreeSet};

/// Complains of relative links to files, folders and headings that are not there.
pub fn links(workspace: &Workspace) -> Vec<Violation> {
    let documents = workspace.files.iter().filter(|(path, _)| has_extension(path, "md"));
    documents.flat_map(|(path, text)| of_document(workspace, path, text)).collect()
}

fn of_document(workspace: &Workspace, path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (event, range) in Parser::new_ext(text, Options::all()).into_offset_iter() {
        let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event else {
            continue;
        };
        if let Err(cause) = lead(workspace, path, &dest_url) {
            let line = text[..range.start].lines().count().max(1);
            violations.push(Violation::on(path, line, format!("the link {dest_url} leads nowhere: {cause}")));
        }
    }
    violations
}

/// Follows a link that stands in the document `path`.
fn lead(workspace: &Workspace, path: &str, link: &str) -> Result<(), String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(());
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = if file.is_empty() { path.to_owned() } else { joined(folder(path), file) };
    let below = format!("{target}/");
    let is_folder = target.is_empty() || workspace.files.keys().any(|one| one.starts_with(&below));
    match (workspace.files.get(&target), anchor) {
        (None, _) if !is_folder => Err(format!("there is no {target}")),
        (Some(text), Some(anchor)) if has_extension(&target, "md") && !anchors(text).contains(anchor) => {
            Err(format!("{target} has no heading for #{anchor}"))
        }
        _ => Ok(()),
    }
}

/// The anchors that GitHub gives to a document's headings: lower case, punctuation dropped, blanks as dashes, a number behind
/// one that occurs again.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let slug = slug(&heading.take().unwrap_or_default());
                let before = times.entry(slug.clone()).or_default();
                anchors.insert(if *before == 0 { slug } else { format!("{slug}-{before}") });
                *before += 1;
            }
            _ => {}
        }
    }
    anchors
}

fn slug(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
