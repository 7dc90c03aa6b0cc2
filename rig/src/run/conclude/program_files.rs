//! What programs of the guest said and left, as files of the run folder.

use crate::run::folder::RunFolder;
use crate::run::record::hw::Ordered;
use crate::run::record::program::Ended;
use crate::trouble::Trouble;

/// What each order said and left, as files of the run folder.
pub(super) fn keep_orders(folder: &RunFolder, told: &[Ordered]) -> Result<(), Trouble> {
    for (number, ordered) in (1..).zip(told) {
        keep_words(&ordered.ended, folder, &format!("hw-{number}"))?;
        for (name, bytes) in &ordered.files {
            folder.write(&format!("hw-{number}-{name}"), bytes)?;
        }
    }
    Ok(())
}

/// What each client said, as files of the run folder.
pub(super) fn keep_clients(folder: &RunFolder, told: &[Ended]) -> Result<(), Trouble> {
    (1..).zip(told).try_for_each(|(number, ended)| keep_words(ended, folder, &format!("client-{number}")))
}

/// What a program said, as files of the run folder that begin so.
fn keep_words(ended: &Ended, folder: &RunFolder, name: &str) -> Result<(), Trouble> {
    folder.write(&format!("{name}.out"), &ended.executed.stdout)?;
    folder.write(&format!("{name}.err"), &ended.executed.stderr)
}
