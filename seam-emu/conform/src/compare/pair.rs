//! Two subjects that answer the same sequence, and the first step at which they differ.

use super::accepted;
use super::answer::Answer;
use super::difference::Difference;
use super::step::{Step, named};
use super::subject::Subject;
use seam_emu::abi::Leaf;

/// Where leaves write what they tell: TDH.SYS.INFO and TDH.SYS.RDALL of a sequence use this page and the next one.
pub(crate) const BUFFER: u64 = 0x20_0000;
/// Bytes of it that are compared.
const BUFFER_SIZE: usize = 8192;

/// Does a step on both sides. Gives the module's answer, and what differs beyond what is accepted.
pub fn compare(module: &mut dyn Subject, model: &mut dyn Subject, step: &Step) -> (Answer, Option<Difference>) {
    let (theirs, ours) = (module.step(step), model.step(step));
    let difference = differs(step, &theirs, &ours).or_else(|| {
        let writes = matches!(step.leaf(), Some(Leaf::SysInfo | Leaf::SysRdall));
        writes.then(|| memories(module, model)).flatten()
    });
    (theirs, difference)
}

/// What differs between answers beyond what is accepted.
pub(crate) fn differs(step: &Step, module: &Answer, model: &Answer) -> Option<Difference> {
    match (module, model) {
        (Answer::Returned(theirs), Answer::Returned(ours)) => {
            let pairs = named(theirs).into_iter().zip(named(ours));
            pairs.filter(|(a, b)| a.1 != b.1).find_map(|((name, module), (_, model))| {
                let difference = Difference::Register { name, module, model };
                (!accepted::is_accepted(step, &difference)).then_some(difference)
            })
        }
        (Answer::Refused(_), Answer::Refused(_)) => None,
        _ if module == model => None,
        _ => Some(Difference::Kind { module: module.clone(), model: model.clone() }),
    }
}

/// What differs in the buffer.
fn memories(module: &dyn Subject, model: &dyn Subject) -> Option<Difference> {
    let (theirs, ours) = (module.memory(BUFFER, BUFFER_SIZE), model.memory(BUFFER, BUFFER_SIZE));
    let words = theirs.chunks_exact(8).zip(ours.chunks_exact(8)).enumerate();
    let eight = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).expect("chunks of 8");
    words.filter(|(_, (a, b))| a != b).find_map(|(i, (a, b))| {
        let (module, model) = (eight(a), eight(b));
        (!accepted::word_is_accepted(module, model)).then_some(Difference::Memory {
            pa: BUFFER + 8 * i as u64,
            module,
            model,
        })
    })
}
