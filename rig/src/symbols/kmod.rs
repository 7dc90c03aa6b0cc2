//! What to watch in the update kernel module, whose addresses are known only once it is loaded.

use super::subject::{ONLINE_COUNT, REGION, preempt_count};
use super::{ModuleSymbols, Observation, SubjectError, Symbols};
use rig_judge::SubjectNames;
use rig_wire::plan::{Function, Watch};
use std::collections::{BTreeMap, HashMap};

/// The module's state machine: `struct lockstep` of `guest-kmod/update.h`, whose first words are those of the in-tree code.
const STATE: &str = "lockstep";
/// The function that every CPU runs inside `stop_machine`.
const RUN: &str = "lockstep_run";
/// Words of the state machine, 4 bytes each, at these offsets; `guest-kmod/update.h` asserts them.
const WORDS: [(&str, u64); 3] = [("lockstep.step", 0), ("lockstep.num_ack", 4), ("lockstep.num_failed", 8)];

/// What is watched of a module that is not loaded yet, and how to find it when it is.
#[derive(Clone, Debug)]
pub struct KmodPlan {
    symbols: ModuleSymbols,
    /// Sections whose addresses must be read in the guest.
    pub sections: Vec<String>,
    /// What is known before the module is loaded: names, and what lies in the kernel itself.
    pub observation: Observation,
}

impl KmodPlan {
    /// Plans to observe this module in the kernel with these symbols.
    pub fn new(kernel: &Symbols, module: ModuleSymbols) -> Result<Self, SubjectError> {
        let sections = module.sections_of(&[STATE, RUN]).ok_or(SubjectError::Module(STATE))?;
        let watch = |name: &str, address| Watch { name: name.to_owned(), address, size: 4, within: Vec::new() };
        let online = kernel.address(ONLINE_COUNT).ok_or(SubjectError::Kernel(ONLINE_COUNT))?;
        let words = WORDS.iter().map(|(name, _)| watch(name, 0));
        let in_kernel = REGION[1..].iter().map(|name| kernel.function(name).ok_or(SubjectError::Kernel(name)));
        let run = Function { name: RUN.to_owned(), range: (0, 0) };
        let observation = Observation {
            watches: words.chain([watch(ONLINE_COUNT, online)]).collect(),
            functions: std::iter::once(Ok(run)).chain(in_kernel).collect::<Result<_, _>>()?,
            preempt_count_offset: preempt_count(kernel),
            names: SubjectNames::kmod(true),
            unobservable: BTreeMap::new(),
        };
        Ok(Self { symbols: module, sections, observation })
    }

    /// The module's symbols in these sections: name, address, size in bytes.
    pub fn module_symbols(&self, begins: &HashMap<String, u64>) -> Vec<(String, u64, u64)> {
        self.symbols.all(begins)
    }

    /// What the module itself reports, in the order of `guest-kmod/ring.h`. No address is needed: the module names each word.
    pub fn reported_by_module() -> Observation {
        let watch = |name: &str| Watch { name: name.to_owned(), address: 0, size: 4, within: Vec::new() };
        Observation {
            watches: WORDS.iter().map(|(name, _)| watch(name)).chain([watch(ONLINE_COUNT)]).collect(),
            functions: vec![Function { name: RUN.to_owned(), range: (0, 0) }],
            preempt_count_offset: None,
            names: SubjectNames::kmod(true),
            unobservable: BTreeMap::new(),
        }
    }

    /// The observation of the loaded module, given where its sections begin.
    pub fn located(&self, begins: &HashMap<String, u64>) -> Option<Observation> {
        let mut observation = self.observation.clone();
        let (base, _) = self.symbols.range(STATE, begins)?;
        let code = self.symbols.section_around(RUN, begins)?;
        for watch in &mut observation.watches {
            if let Some((_, offset)) = WORDS.iter().find(|(name, _)| *name == watch.name) {
                watch.address = base + offset;
            }
            watch.within = vec![code];
        }
        observation.functions[0].range = self.symbols.range(RUN, begins)?;
        Some(observation)
    }
}

#[cfg(test)]
mod tests {
    use super::super::module::tests::module;
    use super::super::tests::MAP;
    use super::*;

    fn plan() -> KmodPlan {
        KmodPlan::new(&Symbols::from_system_map(MAP), ModuleSymbols::parse(&module()).unwrap()).unwrap()
    }

    #[test]
    fn the_kernels_part_is_known_at_once() {
        let observation = plan().observation;
        assert_eq!(observation.watches[3].address, 0xffff_ffff_816c_df40);
        assert_eq!((observation.functions[0].range, observation.functions[1].range.0), ((0, 0), 0xffff_ffff_8111_8700));
        assert!(observation.watches.iter().all(|watch| watch.within.is_empty()), "nothing is instrumented yet");
    }

    #[test]
    fn the_modules_part_is_known_when_it_is_loaded() {
        let begins = [(".text".to_owned(), 0x1000), (".bss".to_owned(), 0x8000)].into();
        let observation = plan().located(&begins).unwrap();
        assert_eq!(observation.watches.iter().map(|w| w.address).collect::<Vec<_>>()[..3], [0x8008, 0x800c, 0x8010]);
        assert_eq!(observation.watches[3].within, [(0x1000, 0x1100)]);
        assert_eq!(observation.functions[0].range, (0x1040, 0x1070));
    }

    #[test]
    fn cannot_locate_a_module_whose_sections_are_unknown() {
        assert!(plan().located(&HashMap::new()).is_none());
    }

    #[test]
    fn cannot_observe_a_kernel_without_stop_machine() {
        let symbols = Symbols::from_system_map(&MAP.replace("multi_cpu_stop", "other"));
        let error = KmodPlan::new(&symbols, ModuleSymbols::parse(&module()).unwrap()).unwrap_err();
        assert_eq!(error, SubjectError::Kernel("multi_cpu_stop"));
    }
}
