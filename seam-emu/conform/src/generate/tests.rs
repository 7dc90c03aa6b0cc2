use super::*;
use crate::compare::{Model, Subject};
use seam_emu::Generation;

const TOPOLOGY: Topology = Topology { packages: 2, lps_per_package: 2 };

/// Runs a sequence on the model. Gives its steps and answers.
fn run(seed: u64, steps: usize) -> Vec<(Step, Answer)> {
    let mut model = Model::new(TOPOLOGY, Generation::V1_5_05, Generation::V1_5_05);
    for step in setup() {
        model.step(&step);
    }
    let mut generator = Generator::new(seed, TOPOLOGY, 0, true);
    (0..steps)
        .map(|_| {
            let step = generator.next_step();
            let answer = model.step(&step);
            generator.learn(&step, &answer);
            (step, answer)
        })
        .collect()
}

/// How often a leaf succeeded.
fn successes(run: &[(Step, Answer)], leaf: Leaf) -> usize {
    let ok = |answer: &Answer| match answer {
        Answer::Returned(after) => after.rax == 0,
        Answer::Entered => true,
        _ => false,
    };
    run.iter().filter(|(step, answer)| step.leaf() == Some(leaf) && ok(answer)).count()
}

#[test]
fn a_seed_gives_the_same_sequence_again() {
    assert_eq!(run(3, 300), run(3, 300));
    assert_ne!(run(3, 300), run(4, 300));
}

#[test]
fn sequences_reach_the_depths_of_a_tds_life_and_updates() {
    let runs: Vec<_> = (0..4).flat_map(|seed| run(seed, 5000)).collect();
    let deep = [
        Leaf::SysUpdate,
        Leaf::SysRd,
        Leaf::MngInit,
        Leaf::VpInit,
        Leaf::MemSeptAdd,
        Leaf::MemPageAdd,
        Leaf::MrExtend,
        Leaf::MrFinalize,
        Leaf::VpEnter,
        Leaf::VpFlush,
        Leaf::MemPageAug,
        Leaf::MemRangeBlock,
        Leaf::MemTrack,
        Leaf::MemRangeUnblock,
        Leaf::MemPageRemove,
        Leaf::MngVpflushdone,
        Leaf::PhymemCacheWb,
        Leaf::MngKeyFreeid,
        Leaf::PhymemPageReclaim,
    ];
    let never: Vec<_> = deep.into_iter().filter(|leaf| successes(&runs, *leaf) == 0).collect();
    assert!(never.is_empty(), "never successful: {never:?}");
}

#[test]
fn sequences_have_errors_in_them() {
    let failures =
        run(1, 2000).iter().filter(|(_, answer)| matches!(answer, Answer::Returned(r) if r.rax != 0)).count();
    assert!((200..1800).contains(&failures), "{failures} of 2000");
}
