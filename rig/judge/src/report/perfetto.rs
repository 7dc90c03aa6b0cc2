//! `trace.pftrace`: the timeline for <https://ui.perfetto.dev>, as `TrackEvent` packets.
//!
//! One track for each CPU with its steps as slices, what it did in them nested, and an arrow from each last acknowledgement
//! to the next step of each CPU. Of Perfetto's messages only the fields written here are declared; their numbers are those
//! of `protos/perfetto/trace/` in its repository.

use crate::scene::{CallSlice, Lane, Scene, StepSlice};
use crate::verdict::Verdict;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Trace {
    #[prost(message, repeated, tag = "1")]
    packet: Vec<Packet>,
}

#[derive(Clone, PartialEq, Message)]
struct Packet {
    #[prost(uint64, optional, tag = "8")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "10")]
    trusted_packet_sequence_id: Option<u32>,
    #[prost(message, optional, tag = "11")]
    track_event: Option<TrackEvent>,
    #[prost(message, optional, tag = "60")]
    track_descriptor: Option<TrackDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
struct TrackDescriptor {
    #[prost(uint64, optional, tag = "1")]
    uuid: Option<u64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "5")]
    parent_uuid: Option<u64>,
    #[prost(int32, optional, tag = "11")]
    child_ordering: Option<i32>,
    #[prost(int32, optional, tag = "12")]
    sibling_order_rank: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct TrackEvent {
    #[prost(message, repeated, tag = "4")]
    debug_annotations: Vec<Annotation>,
    #[prost(int32, optional, tag = "9")]
    kind: Option<i32>,
    #[prost(uint64, optional, tag = "11")]
    track_uuid: Option<u64>,
    #[prost(string, repeated, tag = "22")]
    categories: Vec<String>,
    #[prost(string, optional, tag = "23")]
    name: Option<String>,
    #[prost(fixed64, repeated, packed = "false", tag = "47")]
    flow_ids: Vec<u64>,
    #[prost(fixed64, repeated, packed = "false", tag = "48")]
    terminating_flow_ids: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Annotation {
    #[prost(string, optional, tag = "6")]
    string_value: Option<String>,
    #[prost(string, optional, tag = "10")]
    name: Option<String>,
}

/// `TYPE_SLICE_BEGIN`.
const BEGIN: i32 = 1;
/// `TYPE_SLICE_END`.
const END: i32 = 2;
/// `TYPE_INSTANT`.
const INSTANT: i32 = 3;
/// `ChildTracksOrdering.EXPLICIT`.
const EXPLICIT: i32 = 3;

/// Track of the run as a whole.
const RUN: u64 = 1;
/// Track of console lines.
const CONSOLE: u64 = 2;
/// Track of broken invariants.
const BREACHES: u64 = 3;

/// Track of an LP.
fn track(lp: u16) -> u64 {
    16 + u64::from(lp)
}

/// The trace as bytes.
pub fn perfetto(scene: &Scene, verdict: &Verdict) -> Vec<u8> {
    let mut packets = tracks(scene, verdict);
    let mut events = Vec::new();
    for lane in &scene.lanes {
        draw_lane(&mut events, lane, scene);
    }
    draw_gatherings(&mut events, verdict);
    draw_handovers(&mut events, scene);
    draw_moments(&mut events, scene, verdict);
    // A stable sort: what was drawn first at one time encloses what was drawn later.
    events.sort_by_key(|(at_ns, _)| *at_ns);
    packets.extend(events.into_iter().map(|(at_ns, event)| Packet {
        timestamp: Some(at_ns),
        trusted_packet_sequence_id: Some(1),
        track_event: Some(event),
        track_descriptor: None,
    }));
    Trace { packet: packets }.encode_to_vec()
}

fn tracks(scene: &Scene, verdict: &Verdict) -> Vec<Packet> {
    let headline = verdict.headline();
    let title = format!("TDX module update: {} {}", headline.word, headline.what);
    let mut tracks = vec![describe(RUN, title, None, 0)];
    tracks.push(describe(BREACHES, "broken invariants".into(), Some(RUN), 0));
    // Lines that came at once are drawn one below the other, so nothing may stand below the console.
    tracks.push(describe(CONSOLE, "console".into(), Some(RUN), i32::MAX));
    for lane in &scene.lanes {
        tracks.push(describe(track(lane.lp), format!("CPU {}", lane.lp), Some(RUN), 2 + i32::from(lane.lp)));
    }
    tracks
}

fn describe(uuid: u64, name: String, parent_uuid: Option<u64>, rank: i32) -> Packet {
    let track_descriptor = TrackDescriptor {
        uuid: Some(uuid),
        name: Some(name),
        parent_uuid,
        child_ordering: parent_uuid.is_none().then_some(EXPLICIT),
        sibling_order_rank: Some(rank),
    };
    Packet { trusted_packet_sequence_id: Some(1), track_descriptor: Some(track_descriptor), ..Packet::default() }
}

type Drawn = Vec<(u64, TrackEvent)>;

fn slice(events: &mut Drawn, track: u64, (begin_ns, end_ns): (u64, u64), begin: TrackEvent) {
    events.push((begin_ns, TrackEvent { kind: Some(BEGIN), track_uuid: Some(track), ..begin }));
    events.push((end_ns, TrackEvent { kind: Some(END), track_uuid: Some(track), ..TrackEvent::default() }));
}

fn named(name: &str, category: &str) -> TrackEvent {
    TrackEvent { name: Some(name.into()), categories: vec![category.into()], ..TrackEvent::default() }
}

fn note(name: &str, value: String) -> Annotation {
    Annotation { name: Some(name.into()), string_value: Some(value) }
}

/// One CPU's slices, as a walk that always closes what it opened last.
fn draw_lane(events: &mut Drawn, lane: &Lane, scene: &Scene) {
    let track = track(lane.lp);
    let mut calls = lane.calls.iter().peekable();
    for step in &lane.steps {
        while let Some(call) = calls.next_if(|call| call.begin_ns < step.begin_ns) {
            draw_call(events, track, call, step.begin_ns);
        }
        let mut begin = named(step.step.name(), "step");
        begin.debug_annotations = vec![note("update", step.update.to_string())];
        begin.terminating_flow_ids = arrow_to(scene, lane.lp, step).into_iter().collect();
        events.push((step.begin_ns, TrackEvent { kind: Some(BEGIN), track_uuid: Some(track), ..begin }));
        while let Some(call) = calls.next_if(|call| call.begin_ns < step.end_ns) {
            draw_call(events, track, call, step.end_ns);
        }
        if let Some(acked_ns) = step.acked_ns.filter(|acked| *acked < step.end_ns) {
            slice(events, track, (acked_ns, step.end_ns), named("waits for the others", "wait"));
        }
        events.push((step.end_ns, TrackEvent { kind: Some(END), track_uuid: Some(track), ..TrackEvent::default() }));
    }
    for call in calls {
        draw_call(events, track, call, scene.span_ns.1);
    }
}

/// A call that lasts beyond `limit_ns` is cut there, so that slices nest; its note tells its true end.
fn draw_call(events: &mut Drawn, track: u64, call: &CallSlice, limit_ns: u64) {
    let mut begin = named(&call.leaf, "seamcall");
    begin.debug_annotations.push(note("status", call.status.clone().unwrap_or_else(|| "SUCCESS".into())));
    begin.debug_annotations.push(note("interrupts", if call.interrupts { "enabled" } else { "disabled" }.into()));
    match call.end_ns {
        None => begin.debug_annotations.push(note("end", "never returned".into())),
        Some(end_ns) if end_ns > limit_ns => begin.debug_annotations.push(note("end", format!("{end_ns} ns"))),
        Some(_) => {}
    }
    slice(events, track, (call.begin_ns, call.end_ns.unwrap_or(limit_ns).min(limit_ns)), begin);
}

/// What passes before the first CPU is in the update, which is no step.
fn draw_gatherings(events: &mut Drawn, verdict: &Verdict) {
    for gathering in verdict.statistics.updates.iter().filter_map(|update| update.gathering) {
        let end_ns = gathering.began_ns + gathering.took_ns;
        slice(events, RUN, (gathering.began_ns, end_ns), named("gathering (stop_machine)", "gathering"));
    }
}

/// The number of an arrow: which handover, and to whom.
fn arrow(handover: usize, lp: u16) -> u64 {
    (handover as u64 + 1) << 16 | u64::from(lp)
}

fn arrow_to(scene: &Scene, lp: u16, step: &StepSlice) -> Option<u64> {
    let is_it = |to: &(u16, u64)| *to == (lp, step.begin_ns);
    let handover = scene.handovers.iter().position(|h| h.step == step.step && h.to.iter().any(is_it))?;
    Some(arrow(handover, lp))
}

fn draw_handovers(events: &mut Drawn, scene: &Scene) {
    for (number, handover) in scene.handovers.iter().enumerate() {
        let mut event = named(&format!("last acknowledgement: on to {}", handover.step), "handover");
        event.flow_ids = handover.to.iter().map(|(lp, _)| arrow(number, *lp)).collect();
        let track_uuid = Some(track(handover.from_lp));
        events.push((handover.from_ns, TrackEvent { kind: Some(INSTANT), track_uuid, ..event }));
    }
}

fn draw_moments(events: &mut Drawn, scene: &Scene, verdict: &Verdict) {
    let mut instant = |at_ns: u64, track: u64, event: TrackEvent| {
        events.push((at_ns, TrackEvent { kind: Some(INSTANT), track_uuid: Some(track), ..event }));
    };
    for line in &scene.console {
        instant(line.at_ns, CONSOLE, named(&line.text, "console"));
    }
    for moment in &scene.moments {
        instant(moment.at_ns, moment.lp.map_or(RUN, track), named(&moment.what, "moment"));
    }
    for breach in &verdict.breaches {
        let mut event = named(&breach.summary(), "breach");
        event.debug_annotations.push(note("expected", breach.expected.clone()));
        for cited in &breach.events {
            let at_ns = scene.time_of(cited.seq, cited.guest_ns);
            instant(at_ns, BREACHES, event.clone());
            cited.lp.into_iter().for_each(|lp| instant(at_ns, track(lp), named(&breach.summary(), "breach")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Synthetic, Twist};
    use crate::{Facts, Step};
    use std::collections::BTreeMap;

    fn trace(run: &Synthetic) -> Trace {
        let scene = Scene::of(&run.setup, run.records.clone(), &run.console);
        let (findings, _) = run.judge();
        let verdict = Verdict::new(Facts::default(), &findings, &run.end);
        Trace::decode(perfetto(&scene, &verdict).as_slice()).unwrap()
    }

    fn events(trace: &Trace) -> impl Iterator<Item = &TrackEvent> {
        trace.packet.iter().filter_map(|p| p.track_event.as_ref())
    }

    #[test]
    fn slices_nest_on_every_track() {
        let twists = [None, Some(Twist::NeverReturns(Step::CpuInit)), Some(Twist::AdvanceEarly)];
        for twist in twists {
            let run = Synthetic::new(16).boot();
            let run = twist.into_iter().fold(run, Synthetic::twist).update().update();
            let mut depth: BTreeMap<u64, i32> = BTreeMap::new();
            for event in events(&trace(&run)) {
                let depth = depth.entry(event.track_uuid.unwrap()).or_default();
                *depth += match event.kind.unwrap() {
                    BEGIN => 1,
                    END => -1,
                    _ => 0,
                };
                assert!((0..=2).contains(depth), "{twist:?}: {event:?}");
            }
            assert!(depth.values().all(|d| *d == 0), "{twist:?}: {depth:?}");
        }
    }

    #[test]
    fn every_cpu_shows_every_step() {
        let trace = trace(&Synthetic::plain(16, 1));
        for lp in 0..16 {
            for step in &Step::ALL[1..] {
                let shown = events(&trace)
                    .filter(|e| e.track_uuid == Some(track(lp)) && e.name.as_deref() == Some(step.name()))
                    .count();
                assert_eq!(shown, 1, "CPU {lp}, {step}");
            }
        }
    }

    #[test]
    fn every_arrow_has_two_ends() {
        let trace = trace(&Synthetic::plain(4, 2));
        let mut begun: Vec<u64> = events(&trace).flat_map(|e| e.flow_ids.clone()).collect();
        let mut ended: Vec<u64> = events(&trace).flat_map(|e| e.terminating_flow_ids.clone()).collect();
        begun.sort_unstable();
        ended.sort_unstable();
        assert_eq!(begun, ended);
        // Four changes of the state in each of two updates, each seen by three others.
        assert_eq!(begun.len(), 2 * 4 * 3);
    }

    /// A call that lasts beyond its step is cut there and its note tells its true end; one that ends with it is whole.
    #[test]
    fn a_call_that_outlasts_its_step_is_cut() {
        for (end_ns, notes) in [(Some(150), Some("150 ns")), (Some(100), None), (None, Some("never returned"))] {
            let mut events = Vec::new();
            let leaf = "INSTALL".into();
            draw_call(&mut events, 16, &CallSlice { leaf, begin_ns: 50, end_ns, status: None, interrupts: true }, 100);
            assert_eq!(events.iter().map(|(at_ns, _)| *at_ns).collect::<Vec<_>>(), [50, 100]);
            let notes_of = |name: &str| {
                let all = events[0].1.debug_annotations.iter();
                all.filter(|note| note.name.as_deref() == Some(name)).find_map(|note| note.string_value.clone())
            };
            assert_eq!(notes_of("end").as_deref(), notes);
            assert_eq!(
                (notes_of("status").unwrap(), notes_of("interrupts").unwrap()),
                ("SUCCESS".into(), "enabled".into())
            );
        }
    }

    /// Who acknowledges as the step ends waits for nobody.
    #[test]
    fn waiting_is_drawn_where_there_was_some() {
        for (acked_ns, waits) in [(Some(60), true), (Some(100), false), (None, false)] {
            let step = StepSlice { update: 1, step: Step::Done, begin_ns: 0, acked_ns, end_ns: 100 };
            let lane = Lane { lp: 0, steps: vec![step], calls: Vec::new() };
            let mut events = Vec::new();
            draw_lane(&mut events, &lane, &Scene::default());
            let names: Vec<&str> = events.iter().filter_map(|(_, event)| event.name.as_deref()).collect();
            assert_eq!(names, if waits { vec!["DONE", "waits for the others"] } else { vec!["DONE"] });
        }
    }

    /// A call that begins with its step is drawn in it, and not before it.
    #[test]
    fn a_call_that_begins_with_its_step_is_in_it() {
        let step = StepSlice { update: 1, step: Step::Shutdown, begin_ns: 10, acked_ns: None, end_ns: 100 };
        let leaf = "SYS.SHUTDOWN".into();
        let call = CallSlice { leaf, begin_ns: 10, end_ns: Some(90), status: None, interrupts: false };
        let mut events = Vec::new();
        draw_lane(&mut events, &Lane { lp: 0, steps: vec![step], calls: vec![call] }, &Scene::default());
        let drawn: Vec<(u64, Option<&str>)> = events.iter().map(|(at, event)| (*at, event.name.as_deref())).collect();
        assert_eq!(drawn, [(10, Some("SHUTDOWN")), (10, Some("SYS.SHUTDOWN")), (90, None), (100, None)]);
    }

    /// Each LP's track, its place below the run's own tracks, and one number for each arrow.
    #[test]
    fn tracks_and_arrows_have_numbers_of_their_own() {
        assert_eq!((track(0), track(5)), (16, 21));
        assert_eq!((arrow(0, 0), arrow(0, 3), arrow(2, 3)), (0x1_0000, 0x1_0003, 0x3_0003));
        let trace = trace(&Synthetic::plain(2, 1));
        let tracks = trace.packet.iter().filter_map(|p| p.track_descriptor.as_ref());
        let ranks: Vec<_> = tracks.map(|t| (t.name.as_deref().unwrap(), t.parent_uuid, t.sibling_order_rank)).collect();
        assert_eq!(
            ranks[1..],
            [
                ("broken invariants", Some(RUN), Some(0)),
                ("console", Some(RUN), Some(i32::MAX)),
                ("CPU 0", Some(RUN), Some(2)),
                ("CPU 1", Some(RUN), Some(3)),
            ]
        );
    }

    #[test]
    fn what_passes_before_the_update_is_gathering() {
        let run = Synthetic::plain(4, 1);
        let gathering = run.judge().0.statistics.updates[0].gathering.unwrap();
        let trace = trace(&run);
        let on_run = |packet: &&Packet| packet.track_event.as_ref().is_some_and(|event| event.track_uuid == Some(RUN));
        let drawn: Vec<_> = trace.packet.iter().filter(on_run).collect();
        let begins = drawn.iter().position(|packet| packet.track_event.as_ref().unwrap().kind == Some(BEGIN)).unwrap();
        let ends = drawn.iter().find(|packet| packet.track_event.as_ref().unwrap().kind == Some(END)).unwrap();
        assert_eq!(drawn[begins].timestamp, Some(gathering.began_ns));
        assert_eq!(ends.timestamp, Some(gathering.began_ns + gathering.took_ns));
    }

    #[test]
    fn breaches_are_marked() {
        let trace = trace(&Synthetic::new(4).boot().twist(Twist::InitTwice).update());
        assert!(
            events(&trace)
                .any(|e| e.track_uuid == Some(BREACHES) && e.name.as_deref().unwrap().starts_with("participation"))
        );
    }
}
