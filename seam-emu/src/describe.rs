//! The firmware in words, for diagnosis.

use crate::Firmware;
use crate::abi::Leaf;
use crate::inflight::Phase;
use std::fmt::Write as _;

impl Firmware {
    /// States, lock holders, calls in flight and the session bitmap, in words.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        self.write_description(&mut text).expect("a string takes everything");
        text
    }

    fn write_description(&self, out: &mut String) -> std::fmt::Result {
        let world = &self.state.world;
        match &world.module {
            Some(module) => {
                let built = &module.identity.descriptor;
                let source = if module.identity.described { "" } else { " (assumed: the image does not say)" };
                writeln!(
                    out,
                    "TDX module {}.{}.{:02}{source}: {:?}, {}, {} of {} LPs initialised",
                    built.major,
                    built.minor,
                    built.update,
                    module.state,
                    if world.seamextend.seam_ready == 0 { "closed by P-SEAMLDR" } else { "open" },
                    module.lp_initialized.iter().filter(|done| **done).count(),
                    module.lp_initialized.len(),
                )?;
            }
            None => writeln!(out, "no TDX module")?,
        }
        writeln!(out, "P-SEAMLDR: {:?}, {} updates remain", world.loader.flow, world.loader.remaining_updates)?;
        let missing: Vec<usize> =
            (0..world.loader.install_lps.len()).filter(|&lp| !world.loader.install_lps[lp]).collect();
        if missing.len() < world.loader.install_lps.len() {
            writeln!(out, "SEAMLDR.INSTALL session: waiting for LPs {missing:?}")?;
        }
        for held in self.state.locks.held() {
            writeln!(out, "LP {} holds {:?} {:?}", held.lp, held.id, held.mode)?;
        }
        for (lp, calls) in self.state.calls.iter().enumerate() {
            let Some(call) = calls.inside() else { continue };
            let name = call.leaf.map_or("an unknown leaf", Leaf::name);
            match call.phase {
                Phase::Never => writeln!(out, "LP {lp} never returns from {name}")?,
                _ => writeln!(out, "LP {lp} is in {name} until {} ns", call.until_ns)?,
            }
        }
        Ok(())
    }
}
