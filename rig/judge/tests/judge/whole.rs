//! Everything that is made of a run, in full, as it was when somebody last looked at it.
//!
//! Other tests name what must be there. These fail on any change of a report, wanted or not: look at the difference,
//! and accept it with `INSTA_UPDATE=always cargo test -p rig-judge --test judge whole` if it is wanted.

use rig_judge::report::{Look, junit, ktap, perfetto, terminal};
use rig_judge::scene::Scene;
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::timeline::Leaf;
use rig_judge::{Facts, Step, Verdict};
use rstest::{Context, rstest};
use sha2::{Digest, Sha256};

const ENOENTROPY: u64 = 0x8000_0000_0003_0001;

#[rstest]
#[case::passed(Synthetic::new(2).boot().tds(1).load().update())]
#[case::failed(Synthetic::new(3).boot().update().fault(Leaf::INSTALL, 2, ENOENTROPY).update())]
#[case::broken(Synthetic::new(3).boot().twist(Twist::AdvanceEarly).update())]
#[case::hung(Synthetic::new(2).boot().twist(Twist::NeverReturns(Step::CpuInstall)).update())]
fn reports_are_as_they_were(#[context] context: Context, #[case] run: Synthetic) {
    let name = context.description.expect("each case has its name");
    let (findings, _) = run.judge();
    let facts = Facts { scenario: name.into(), cpus: run.setup.lps, updates: 1, ..Facts::default() };
    let verdict = Verdict::new(facts, &findings, &run.end);
    let scene = Scene::of(&run.setup, run.records.clone(), &run.console);
    insta::assert_snapshot!(format!("{name}-verdict"), serde_json::to_string_pretty(&verdict).unwrap());
    insta::assert_snapshot!(format!("{name}-terminal"), terminal(&verdict, Look::PLAIN));
    insta::assert_snapshot!(format!("{name}-junit"), junit(&verdict));
    insta::assert_snapshot!(format!("{name}-ktap"), ktap(&verdict));
    insta::assert_snapshot!(format!("{name}-scene"), serde_json::to_string_pretty(&scene).unwrap());
    insta::assert_snapshot!(format!("{name}-perfetto"), format!("{:x}", Sha256::digest(perfetto(&scene, &verdict))));
}
