//! The handler of requests: it has the firmware, the holds, the recording, and the state of each CPU's request in flight.

use crate::clock::Clock;
use crate::guest_memory::GuestRam;
use crate::slots::{Answer, Kind as Asked, Request, Slots, to_words};
use rig_wire::event::{Kind, Mark, NO_LP, Record, flags};
use rig_wire::plan::{Control, ControlReply, Hold, PLAN_VERSION, Plan, Point};
use rig_wire::ring::Ring;
use rig_wire::td::Usage;
use seam_backend::events::{exit_flags, leaf, of_notes};
use seam_backend::holds::{Change, Holds, Now};
use seam_emu::{Caller, Completion, Config, Firmware, Outcome, Regs, Reply};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Flags that a guest may set in what is recorded of it.
const GUEST_FLAGS: u32 = flags::IF | flags::HARDIRQ | flags::CONTEXT_KNOWN;
/// Flags of a record that a guest makes.
const RECORD_FLAGS: u32 = GUEST_FLAGS | flags::STORE;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The plan is of another version of the rig.
    #[error("the plan is of version {0}, this server reads version {PLAN_VERSION}")]
    PlanVersion(u32),
    /// The plan has machine code in TDs, which needs a processor of the emulator's own.
    #[error("machine code in TDs needs the plugin in QEMU: leave out machine_code, or take another backend")]
    MachineCode,
    /// The event ring cannot be mapped.
    #[error("cannot open the event ring {path}: {source}")]
    Ring {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The firmware does not start with this module image or configuration.
    #[error("the firmware does not start: {0}")]
    Boot(#[from] seam_emu::BootError),
    /// A saved state does not fit.
    #[error("the saved state {path} cannot be used: {cause}")]
    Restore {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The host gives no memory, descriptor or thread.
    #[error("cannot set up the mailbox: {0}")]
    Io(#[from] std::io::Error),
}

/// A CPU's request in flight.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Visit {
    /// Number of the last request that was answered.
    answered: u32,
    /// The present one, once it was read.
    request: Option<Request>,
    /// When it was read.
    began_ns: u64,
    /// The SEAMCALL's entry is recorded, and the firmware has it.
    entered: bool,
    /// The firmware wants to be asked again at this time.
    until_ns: u64,
    /// The firmware is done, and the CPU is held before it goes on.
    done: Option<(Regs, Completion)>,
    /// A number that is not the next one was reported already.
    reported: bool,
}

/// State beside a snapshot.
#[derive(Serialize, Deserialize)]
struct Saved {
    firmware: Vec<u8>,
    visits: Vec<Visit>,
    now_ns: u64,
}

/// The result of a round over all slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Requests that were answered.
    pub answered: usize,
    /// When to look again although no guest asks, on the handler's clock; none: no request is in flight.
    pub next_ns: Option<u64>,
}

/// Serves requests, one at a time: the model is one value, and its answers depend on their order.
#[derive(Debug)]
pub struct RequestHandler {
    firmware: Firmware,
    ram: GuestRam,
    holds: Holds,
    holding: bool,
    ring: Option<Ring>,
    clock: Clock,
    visits: Vec<Visit>,
    watches: usize,
    functions: usize,
    update_function: Option<usize>,
}

impl RequestHandler {
    /// The firmware as the plan describes it, from power-on or from a saved state, over this memory.
    pub fn new(plan: &Plan<Config>, ram: GuestRam) -> Result<Self, StartError> {
        if plan.version != PLAN_VERSION {
            return Err(StartError::PlanVersion(plan.version));
        }
        if plan.firmware.machine_code {
            return Err(StartError::MachineCode);
        }
        let open = |path: &PathBuf| Ring::open(path).map_err(|source| StartError::Ring { path: path.clone(), source });
        let ring = plan.ring.as_ref().map(open).transpose()?;
        let (firmware, saved) = start(plan)?;
        let holds = Holds::new(plan.schedules.clone(), plan.update_function.is_some());
        Ok(Self {
            firmware,
            ram,
            holding: !holds.is_empty(),
            holds,
            ring,
            clock: Clock::new(saved.now_ns),
            visits: saved.visits,
            watches: plan.watches.len(),
            functions: plan.functions.len(),
            update_function: plan.update_function,
        })
    }

    /// The machine runs from now on.
    pub fn go(&mut self) {
        self.clock.restart();
    }

    /// Time of the handler's clock, nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Looks at every slot once, and answers what can be answered.
    pub fn serve(&mut self, slots: &Slots) -> Round {
        let mut round = Round::default();
        for cpu in 0..slots.count().min(self.visits.len()) {
            let number = slots.request_number(cpu);
            if number == self.visits[cpu].answered || !self.is_next(cpu, number) {
                continue;
            }
            if self.visits[cpu].request.is_none() {
                let visit = Visit { request: Some(slots.request(cpu)), began_ns: self.now_ns(), ..self.visits[cpu] };
                self.visits[cpu] = visit;
            }
            if let Some(answer) = self.attend(cpu) {
                self.visits[cpu] = Visit { answered: number, reported: self.visits[cpu].reported, ..Visit::default() };
                slots.answer(cpu, number, &answer);
                round.answered += 1;
            } else {
                let until_ns = self.visits[cpu].until_ns;
                round.next_ns = Some(round.next_ns.map_or(until_ns, |next| next.min(until_ns)));
            }
        }
        round
    }

    /// A guest counts its requests; one that does not is reported once, and not served until it does.
    fn is_next(&mut self, cpu: usize, number: u32) -> bool {
        let visit = &mut self.visits[cpu];
        let next = number == visit.answered.wrapping_add(1);
        if !next && !visit.reported {
            visit.reported = true;
            self.record(cpu, Kind::Unknown, 0, 0, [number.into(), 0, 0, 0]);
        }
        next
    }

    /// Works on a CPU's request: the answer, when there is one already.
    fn attend(&mut self, cpu: usize) -> Option<Answer> {
        let request = self.visits[cpu].request.expect("a request is in flight");
        match Asked::from_number(request.kind) {
            Some(Asked::Seamcall) => self.seamcall(cpu, &request),
            Some(Asked::Record) => Some(self.note(cpu, &request)),
            Some(Asked::ReadMsr) => Some(self.read_msr(&request)),
            None => {
                self.record(cpu, Kind::Unknown, 0, request.guest_ns, [request.kind.into(), 0, 0, 0]);
                Some(Answer { outcome: Outcome::Gp, regs: request.regs })
            }
        }
    }

    fn seamcall(&mut self, cpu: usize, request: &Request) -> Option<Answer> {
        let leaf = leaf(request.regs.rax);
        if let Some((after, completion)) = self.visits[cpu].done {
            return self.leave(cpu, request, after, completion);
        }
        let now_ns = self.now_ns();
        if !self.visits[cpu].entered {
            if self.held(cpu, Point::SeamcallEnter { leaf }) {
                return None;
            }
            self.visits[cpu].entered = true;
            let Regs { rax, rcx, rdx, r8, .. } = request.regs;
            self.record(cpu, Kind::SeamcallEnter, request.flags & GUEST_FLAGS, request.guest_ns, [rax, rcx, rdx, r8]);
        } else if now_ns < self.visits[cpu].until_ns {
            return None;
        }
        let caller = Caller { lp: cpu, in_vmx_root: true, cpl: 0, long_mode: true };
        let mut after = request.regs;
        let reply = self.firmware.seamcall(caller, &mut after, &mut self.ram, now_ns);
        for (kind, fields) in of_notes(request.regs.rax, self.firmware.take_notes()) {
            self.record(cpu, kind, 0, self.guest_ns(cpu, request), fields);
        }
        match reply {
            Reply::Done(completion) => self.leave(cpu, request, after, completion),
            Reply::Wait { until_ns } => {
                self.visits[cpu].until_ns = until_ns;
                None
            }
            Reply::Never => {
                self.visits[cpu].until_ns = u64::MAX;
                None
            }
            Reply::Enter(_) => unreachable!("a plan with machine code is refused"),
        }
    }

    /// The firmware is done: keeps the CPU if a schedule says so, else lets it go on.
    fn leave(&mut self, cpu: usize, request: &Request, after: Regs, completion: Completion) -> Option<Answer> {
        if self.held(cpu, Point::SeamcallExit { leaf: leaf(request.regs.rax) }) {
            (self.visits[cpu].done, self.visits[cpu].until_ns) = (Some((after, completion)), 0);
            return None;
        }
        let all = exit_flags(request.flags & GUEST_FLAGS, &completion);
        let fields = [request.regs.rax, after.rax, after.rcx, after.rdx];
        self.record(cpu, Kind::SeamcallExit, all, self.guest_ns(cpu, request), fields);
        Some(Answer { outcome: completion.outcome, regs: after })
    }

    /// An event that the guest saw itself, if it is one that the plan names.
    fn note(&mut self, cpu: usize, request: &Request) -> Answer {
        let [kind, flag_bits, a, b, c, d, ..] = to_words(&request.regs);
        let known = match u16::try_from(kind).ok().and_then(Kind::from_u16) {
            Some(kind @ Kind::Watch) if a < self.watches as u64 => Some(kind),
            Some(kind @ (Kind::FunctionEnter | Kind::FunctionExit)) if a < self.functions as u64 => Some(kind),
            _ => None,
        };
        let Some(kind) = known else {
            self.record(cpu, Kind::Unknown, 0, request.guest_ns, [kind, a, 0, 0]);
            return Answer { outcome: Outcome::Gp, regs: request.regs };
        };
        if kind == Kind::FunctionEnter && self.update_function.is_some_and(|index| index as u64 == a) {
            self.holds.enters_update(lp(cpu));
        }
        self.record(cpu, kind, flag_bits as u32 & RECORD_FLAGS, request.guest_ns, [a, b, c, d]);
        Answer { outcome: Outcome::Return, regs: request.regs }
    }

    fn read_msr(&self, request: &Request) -> Answer {
        match self.firmware.msr(request.regs.rcx as u32) {
            Some(value) => Answer { outcome: Outcome::Return, regs: Regs { rax: value, ..request.regs } },
            None => Answer { outcome: Outcome::Gp, regs: request.regs },
        }
    }

    /// Must this CPU stay at this point? It is asked again in every round.
    fn held(&mut self, cpu: usize, point: Point) -> bool {
        if !self.holding {
            return false;
        }
        let now = Now { ns: self.clock.now_ns(), instructions: &|_| 0 };
        let decision = self.holds.at(lp(cpu), &[point], &now);
        let guest_ns = self.visits[cpu].request.map_or(0, |request| self.guest_ns(cpu, &request));
        for change in decision.changes {
            match change {
                Change::Began(hold) => self.record(cpu, Kind::HoldBegin, 0, guest_ns, [hold as u64, 0, 0, 0]),
                Change::Ended(hold, end) => {
                    self.record(cpu, Kind::HoldEnd, 0, guest_ns, [hold as u64, end as u64, 0, 0]);
                }
            }
        }
        decision.stay
    }

    /// The guest's clock now: what it said when it asked, and the time since.
    fn guest_ns(&self, cpu: usize, request: &Request) -> u64 {
        request.guest_ns.wrapping_add(self.now_ns().saturating_sub(self.visits[cpu].began_ns))
    }

    fn record(&self, cpu: usize, kind: Kind, flags: u32, guest_ns: u64, [a, b, c, d]: [u64; 4]) {
        self.push(&Record { lp: lp(cpu), kind: kind as u16, flags, guest_ns, a, b, c, d, ..Record::default() });
    }

    /// A loss is counted in the ring, and ends the run on the rig's side.
    fn push(&self, record: &Record) {
        if let Some(ring) = &self.ring {
            ring.push(&Record { host_ns: self.now_ns(), ..*record });
        }
    }

    /// Does what the rig asks. To save, the machine must be stopped.
    pub fn control(&mut self, request: &Control) -> ControlReply {
        let ok = |text: String| ControlReply::Ok { text };
        match request {
            Control::Save { path } => written(path, &self.save()),
            Control::SaveFirmware { path } => written(path, &self.firmware.save()),
            Control::Mark { mark, argument } => {
                if *mark == Mark::UpdateBegin as u64 {
                    self.holds.upload_begins();
                }
                let fields = Record { a: *mark, b: *argument, ..Record::default() };
                self.push(&Record { lp: NO_LP, kind: Kind::Mark as u16, ..fields });
                ok(String::new())
            }
            Control::Schedules { schedules } => {
                self.set_schedules(schedules.clone());
                ok(String::new())
            }
            // The guest says itself what it loads and stores; where that lies is its own business.
            Control::Watch { watches, functions } => {
                if watches.len() == self.watches && functions.len() == self.functions {
                    ok(String::new())
                } else {
                    ControlReply::Failed { cause: "these are not the plan's watches and functions".into() }
                }
            }
            Control::TdUsage => {
                let (tds, pages, keyids) = self.firmware.td_usage();
                let usage = Usage { tds, pages, keyids, wrong: self.firmware.audit() };
                // Numbers and texts, without a map whose keys are no strings.
                ok(serde_json::to_string(&usage).expect("counts are plain data"))
            }
            Control::Park => ControlReply::Failed { cause: "this machine never waits for the rig".into() },
            Control::Describe => ok(self.firmware.describe()),
        }
    }

    fn set_schedules(&mut self, schedules: Vec<Vec<Hold>>) {
        self.holds = Holds::new(schedules, self.update_function.is_some());
        self.holding = !self.holds.is_empty();
    }

    fn save(&self) -> Vec<u8> {
        let saved = Saved { firmware: self.firmware.save(), visits: self.visits.clone(), now_ns: self.now_ns() };
        postcard::to_stdvec(&saved).expect("plain data can always be encoded")
    }
}

/// Configurations have at most 1024 LPs.
fn lp(cpu: usize) -> u16 {
    cpu as u16
}

/// The firmware to start with, and the state of everything around it.
fn start(plan: &Plan<Config>) -> Result<(Firmware, Saved), StartError> {
    let cpus = plan.firmware.lps.len();
    let Some(path) = &plan.restore else {
        let firmware = Firmware::boot(plan.firmware.clone(), &read(&plan.module_image)?)?;
        return Ok((firmware, Saved { firmware: Vec::new(), visits: vec![Visit::default(); cpus], now_ns: 0 }));
    };
    let unusable = |cause: String| StartError::Restore { path: path.clone(), cause };
    let saved: Saved = postcard::from_bytes(&read(path)?).map_err(|e| unusable(e.to_string()))?;
    if saved.visits.len() != cpus {
        return Err(unusable(format!("it is of {} CPUs, not {cpus}", saved.visits.len())));
    }
    let firmware = Firmware::restore(plan.firmware.clone(), &saved.firmware).map_err(|e| unusable(e.to_string()))?;
    Ok((firmware, saved))
}

fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    std::fs::read(path).map_err(|source| StartError::Read { path: path.to_owned(), source })
}

fn written(path: &Path, bytes: &[u8]) -> ControlReply {
    match replace(path, bytes) {
        Ok(()) => ControlReply::Ok { text: String::new() },
        Err(e) => ControlReply::Failed { cause: format!("cannot write {}: {e}", path.display()) },
    }
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("partial");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}
