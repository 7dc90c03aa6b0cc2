//! Reads every global metadata field on both sides, in the order in which the module tells of them.

use super::Subjects;
use crate::compare::{Answer, Step, differs};
use crate::platform::Topology;
use seam_emu::Regs;
use seam_emu::abi::Leaf;
use std::fmt;

/// Most fields of a module; none has so many.
const MOST: usize = 1000;

/// A field in which the module and the model differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldDifference {
    /// The field's id.
    pub id: u64,
    /// RAX, RDX and R8 of the module.
    pub module: [u64; 3],
    /// RAX, RDX and R8 of the model.
    pub model: [u64; 3],
}

impl fmt::Display for FieldDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [status, next, value] = self.module;
        let [our_status, our_next, our_value] = self.model;
        write!(f, "field {:#018x}: module {value:#x}, model {our_value:#x}", self.id)?;
        if status != our_status {
            write!(f, "; status {status:#018x}, {our_status:#018x}")?;
        }
        if next != our_next {
            write!(f, "; next field {next:#018x}, {our_next:#018x}")?;
        }
        Ok(())
    }
}

/// What reading all fields came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Fields that the module has.
    pub read: usize,
    /// Those that differ.
    pub different: Vec<FieldDifference>,
}

/// Initialises both sides and reads all fields. None: the module cannot be initialised.
pub fn compare_fields(subjects: &mut Subjects, topology: Topology) -> Option<Fields> {
    let mut both = |lp: usize, regs: Regs| {
        let step = Step::Call { lp, regs };
        let answers = (subjects.module.step(&step), subjects.model.step(&step));
        let differ = differs(&step, &answers.0, &answers.1).is_some();
        match answers {
            (Answer::Returned(module), Answer::Returned(model)) => Some((module, model, differ)),
            _ => None,
        }
    };
    let call = |leaf: Leaf| Regs { rax: leaf.number(), ..Regs::default() };
    both(0, call(Leaf::SysInit)).filter(|(module, ..)| module.rax == 0)?;
    for lp in 0..topology.lps() {
        both(lp, call(Leaf::SysLpInit)).filter(|(module, ..)| module.rax == 0)?;
    }
    let words = |regs: &Regs| [regs.rax, regs.rdx, regs.r8];
    let (first, ..) = both(0, Regs { rdx: u64::MAX, ..call(Leaf::SysRd) })?;
    let (mut fields, mut id) = (Fields::default(), first.rdx);
    while id != u64::MAX && fields.read < MOST {
        let (module, model, differ) = both(0, Regs { rdx: id, ..call(Leaf::SysRd) })?;
        fields.read += 1;
        if differ {
            fields.different.push(FieldDifference { id, module: words(&module), model: words(&model) });
        }
        id = module.rdx;
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Model;
    use seam_emu::Generation;

    const TOPOLOGY: Topology = Topology { packages: 1, lps_per_package: 1 };

    fn fields(module: Generation, model: Generation) -> Fields {
        let new = |generation| Box::new(Model::new(TOPOLOGY, generation, generation));
        compare_fields(&mut Subjects { module: new(module), model: new(model) }, TOPOLOGY).expect("they start")
    }

    #[test]
    fn every_field_of_a_generation_is_read() {
        let same = fields(Generation::V1_5_05, Generation::V1_5_05);
        assert_eq!((same.read, same.different.len()), (355, 0));
    }

    #[test]
    fn fields_that_differ_are_told() {
        let different = fields(Generation::V1_5_16, Generation::V1_5_05).different;
        let features = different.iter().find(|field| field.id == 0x0A00_0003_0000_0008).expect("FEATURES0");
        assert_eq!((features.module[2], features.model[2]), (0x22_6F3F_0FBF, 0x1F_0FBF));
        assert!(features.to_string().contains("module 0x226f3f0fbf, model 0x1f0fbf"), "{features}");
    }
}
