//! Sweeps of the lead through the words of a family ([`super::families`]).

use super::explorer::Explorer;
use super::state::State;
use crate::firmware::Firmware;
use crate::image::Source;
use crate::local::Stop;

impl<S: Source, F: Firmware> Explorer<'_, S, F> {
    /// Follows sweeps, before `cpu` touches a word.
    pub(super) fn follow_sweep(
        &self,
        cpu: usize,
        address: u64,
        writes: bool,
        state: &mut State<F::State>,
    ) -> Result<(), Stop> {
        if self.families.is_empty() {
            return Ok(());
        }
        let slot = self.slot(address);
        let Some((number, member)) = self.families.iter().enumerate().find_map(|(number, family)| {
            family.iter().position(|member| *member == slot).map(|member| (number, member))
        }) else {
            return Ok(());
        };
        let shift = number * 8;
        let under_way = state.sweeps >> shift & 0xff != 0;
        if cpu != 0 && (under_way || cpu != member) || cpu == 0 && !writes {
            return Err(self.not_alike(address));
        }
        if cpu == 0 {
            state.sweeps |= 1 << (shift + member);
        }
        Ok(())
    }

    /// Ends the sweeps that are complete.
    pub(super) fn end_sweeps(&self, state: &mut State<F::State>) -> Result<(), Stop> {
        let all = (1_u32 << self.cpus()) - 2;
        for (number, family) in self.families.iter().enumerate() {
            if state.sweeps >> (number * 8) & 0xff == all {
                if family[1..].iter().any(|slot| state.words[*slot] != state.words[family[1]]) {
                    return Err(self.not_alike(self.words[family[1]]));
                }
                state.sweeps &= !(0xff << (number * 8));
            }
        }
        Ok(())
    }

    fn not_alike(&self, address: u64) -> Stop {
        self.access_error("a word of a CPU is not used as by CPUs that are alike", address)
    }
}
