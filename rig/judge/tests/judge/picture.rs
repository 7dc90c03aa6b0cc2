//! What the picture of a run shows, and what it leaves out.

use super::edit::call;
use rig_judge::scene::Scene;
use rig_judge::synthetic::Synthetic;
use rig_judge::timeline::Leaf;

/// Of calls outside updates a run under load has more than anybody looks at: the first twenty thousand are drawn.
#[test]
fn too_many_calls_are_left_out_and_counted() {
    let mut run = Synthetic::new(2);
    run.records = (0..20_003).flat_map(|n| call(n % 2, Leaf::VP_ENTER, 0)).collect();
    run.renumber();
    let scene = Scene::of(&run.setup, run.records.clone(), &run.console);
    assert_eq!((scene.lanes[0].calls.len(), scene.lanes[1].calls.len(), scene.calls_left_out), (10_000, 10_000, 3));
}
