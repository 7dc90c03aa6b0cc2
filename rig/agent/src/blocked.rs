//! Which tasks sleep uninterruptibly, and where: what `sysrq-w` prints, read from files that need no sysrq.

use crate::failure;
use rig_wire::agent::Failure;
use rig_wire::task::BlockedTask;
use std::fs;
use std::path::{Path, PathBuf};

/// The most tasks that are listed: a hang involves few, and a frame of the protocol is bounded.
const MOST: usize = 64;

/// All such tasks of this machine.
pub(crate) fn tasks() -> Result<Vec<BlockedTask>, Failure> {
    tasks_of(Path::new("/proc"))
}

fn tasks_of(proc: &Path) -> Result<Vec<BlockedTask>, Failure> {
    let processes = fs::read_dir(proc).map_err(|e| failure::from_io(format_args!("list {}", proc.display()), &e))?;
    let numbered = |path: &PathBuf| number(path).is_some();
    let processes = processes.flatten().map(|entry| entry.path()).filter(numbered);
    // A process that has ended meanwhile has no tasks.
    let threads = processes.filter_map(|process| fs::read_dir(process.join("task")).ok()).flat_map(Iterator::flatten);
    let mut tasks: Vec<BlockedTask> = threads.filter_map(|entry| blocked(&entry.path())).take(MOST).collect();
    tasks.sort_by_key(|task| task.id);
    Ok(tasks)
}

/// The task of this folder, if it sleeps uninterruptibly.
fn blocked(folder: &Path) -> Option<BlockedTask> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let is_blocked = rest.split_ascii_whitespace().next() == Some("D");
    let id = number(folder).filter(|_| is_blocked)?;
    Some(BlockedTask { id, name: name.to_owned(), stack: stack(folder) })
}

fn stack(folder: &Path) -> Vec<String> {
    match fs::read_to_string(folder.join("stack")) {
        Ok(stack) if !stack.trim().is_empty() => stack.lines().map(frame).collect(),
        _ => fs::read_to_string(folder.join("wchan")).into_iter().filter(|name| name != "0").collect(),
    }
}

/// A line of `/proc/PID/stack` without its address, which is hidden anyway.
fn frame(line: &str) -> String {
    line.split_once("] ").map_or(line, |(_, name)| name).trim().to_owned()
}

fn number(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(proc: &Path, (process, thread): (u32, u32), stat: &str, files: &[(&str, &str)]) {
        let folder = proc.join(format!("{process}/task/{thread}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("stat"), stat).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn sleepers_that_cannot_be_woken_are_listed_with_their_stacks() {
        let proc = tempfile::tempdir().unwrap();
        let stack = "[<0>] __wait_for_common+0xa1/0x160\n[<0>] stop_machine_cpuslocked+0x100/0x140\n";
        task(proc.path(), (30, 30), "30 (kworker/u8:1) D 2 0", &[("stack", stack)]);
        task(proc.path(), (1, 7), "7 (a) b) D 1 1", &[("wchan", "mutex_lock")]);
        task(proc.path(), (1, 1), "1 (agent) S 0 1", &[("stack", stack)]);
        fs::create_dir(proc.path().join("sys")).unwrap();
        let tasks = tasks_of(proc.path()).unwrap();
        let blocked = |id, name: &str, stack: &[&str]| BlockedTask {
            id,
            name: name.into(),
            stack: stack.iter().map(|s| (*s).to_owned()).collect(),
        };
        let frames = ["__wait_for_common+0xa1/0x160", "stop_machine_cpuslocked+0x100/0x140"];
        assert_eq!(tasks, [blocked(7, "a) b", &["mutex_lock"]), blocked(30, "kworker/u8:1", &frames)]);
    }

    #[test]
    fn cannot_list_what_is_not_there() {
        assert_eq!(tasks_of(Path::new("/no/such")).unwrap_err().errno, Some(libc::ENOENT));
    }
}
