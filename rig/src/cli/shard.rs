//! `--shard` of several commands.

use crate::explore::shard::Shard;
use crate::trouble::Trouble;

/// The part that was asked for, else the one of the cluster's variables, else all.
pub(super) fn shard(given: Option<Shard>) -> Result<Shard, Trouble> {
    if let Some(shard) = given {
        return Ok(shard);
    }
    let shard = Shard::from_environment(|name| std::env::var(name).ok());
    let help = "set the variables as the help shows, or name the part with --shard";
    Ok(shard.map_err(|cause| Trouble::usage(cause, help))?.unwrap_or(Shard::WHOLE))
}
