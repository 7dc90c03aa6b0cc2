//! What programs of the guest said and left, as files of the run folder.

use crate::run::folder::RunFolder;
use crate::run::record::hw::OrderEnd;
use crate::run::record::program::ProgramEnd;
use crate::trouble::Trouble;

/// What each order said and left, as files of the run folder.
pub(super) fn keep_orders(folder: &RunFolder, ends: &[OrderEnd]) -> Result<(), Trouble> {
    for (number, order_end) in (1..).zip(ends) {
        keep_words(&order_end.program, folder, &format!("hw-{number}"))?;
        for (name, bytes) in &order_end.files {
            folder.write(&format!("hw-{number}-{name}"), bytes)?;
        }
    }
    Ok(())
}

/// What each client said, as files of the run folder.
pub(super) fn keep_clients(folder: &RunFolder, ends: &[ProgramEnd]) -> Result<(), Trouble> {
    (1..).zip(ends).try_for_each(|(number, end)| keep_words(end, folder, &format!("client-{number}")))
}

/// What a program said, as files of the run folder that begin so.
fn keep_words(end: &ProgramEnd, folder: &RunFolder, name: &str) -> Result<(), Trouble> {
    folder.write(&format!("{name}.out"), &end.executed.stdout)?;
    folder.write(&format!("{name}.err"), &end.executed.stderr)
}
