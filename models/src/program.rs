//! What a CPU does in one step, as a list of operations, each of which touches shared memory or the firmware once. The
//! lists follow `guest-kmod/lockstep.c` and `twins.c` line by line.

use crate::{Twin, Word};

/// How acknowledgements are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ack {
    /// Plain counters under a lock, as Linux 7.3 has it.
    Lock,
    /// Atomic counters, as `multi_cpu_stop()` has it.
    Atomic,
}

/// The steps of an update, by their number in the step word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The lead stops the old module.
    Shutdown = 1,
    /// All install.
    Install = 2,
    /// All initialise.
    Init = 3,
    /// The lead imports the state.
    Update = 4,
    /// All leave.
    Done = 5,
}

impl Step {
    /// The step of this number. Panics on any other: a step beyond the last is never stored.
    pub(crate) fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Shutdown,
            2 => Self::Install,
            3 => Self::Init,
            4 => Self::Update,
            5 => Self::Done,
            _ => unreachable!("step {number}"),
        }
    }
}

/// What is asked of the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leaf {
    /// TDH.SYS.SHUTDOWN.
    Shutdown,
    /// SEAMLDR.INSTALL.
    Install,
    /// TDH.SYS.LP.INIT.
    Init,
    /// TDH.SYS.UPDATE.
    Update,
    /// One that has no place in an update.
    Foreign,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Takes a lock, waiting for it.
    Take(Word),
    /// Releases it.
    Release(Word),
    /// A SEAMCALL begins.
    Enter(Leaf),
    /// It ends; `counts`: its result is that of the step.
    Exit {
        /// Which.
        leaf: Leaf,
        /// Whether its result is that of the step.
        counts: bool,
    },
    /// Counts this CPU's failure, if it failed: a load, to be followed by [`Op::StoreFailed`].
    LoadFailed,
    /// Stores what was loaded, plus one.
    StoreFailed,
    /// Counts this CPU's failure, if it failed, atomically.
    AddFailed,
    /// Loads the number of acknowledgements, to be followed by [`Op::StoreAck`].
    LoadAck,
    /// Stores what was loaded, plus one: the acknowledgement.
    StoreAck,
    /// Acknowledges atomically.
    AddAck,
    /// Goes on only if the step word still says this step, else skips so many operations.
    SkipIfOver(usize),
    /// Goes on only if this many acknowledged and none failed, else skips so many operations.
    SkipUnlessLast {
        /// Acknowledgements to wait for.
        needed: u8,
        /// Operations to skip.
        skip: usize,
    },
    /// Stores 0 to the number of acknowledgements.
    Reset,
    /// Stores the next step.
    Advance,
}

/// Who asks for a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) ack: Ack,
    pub(crate) twin: Option<Twin>,
    pub(crate) cpu: usize,
    /// The online CPU with the highest number.
    pub(crate) last: usize,
    /// After how many acknowledgements the step advances.
    pub(crate) needed: u8,
}

impl Context {
    fn is(&self, twin: Twin) -> bool {
        self.twin == Some(twin)
    }

    fn on_last(&self, twin: Twin) -> bool {
        self.is(twin) && self.cpu == self.last
    }

    /// All operations of `step`.
    pub(crate) fn program(&self, step: Step) -> Vec<Op> {
        if self.is(Twin::AckBeforeWork) {
            // The failure is told late, by itself.
            let late = [Op::Take(Word::AckLock), Op::LoadFailed, Op::StoreFailed, Op::Release(Word::AckLock)];
            return [self.acknowledge(step), self.work(step), late.to_vec()].concat();
        }
        [self.work(step), self.acknowledge(step)].concat()
    }

    /// `lockstep_do_step()`.
    fn work(&self, step: Step) -> Vec<Op> {
        let lead = self.cpu == 0 || self.is(Twin::LeadEverywhere);
        let step = match step {
            Step::Install if self.is(Twin::SwappedSteps) => Step::Init,
            Step::Init if self.is(Twin::SwappedSteps) => Step::Install,
            step => step,
        };
        if self.on_last(Twin::MissingCpu) {
            return Vec::new();
        }
        match step {
            Step::Shutdown if lead => call(Leaf::Shutdown),
            Step::Install => self.install(),
            Step::Init => self.init(),
            Step::Update if lead => call(Leaf::Update),
            _ => Vec::new(),
        }
    }

    fn install(&self) -> Vec<Op> {
        let once = |counts| {
            let inside = [Op::Enter(Leaf::Install), Op::Exit { leaf: Leaf::Install, counts }];
            if self.is(Twin::NoLoaderLock) {
                return inside.to_vec();
            }
            [&[Op::Take(Word::LoaderLock)], &inside[..], &[Op::Release(Word::LoaderLock)]].concat()
        };
        if self.on_last(Twin::DoubleInstall) { [once(true), once(false)].concat() } else { once(true) }
    }

    fn init(&self) -> Vec<Op> {
        if self.is(Twin::StaleInitFlag) {
            return Vec::new();
        }
        let mut ops = call(Leaf::Init);
        if self.on_last(Twin::ForeignSeamcall) {
            ops.extend([Op::Enter(Leaf::Foreign), Op::Exit { leaf: Leaf::Foreign, counts: false }]);
        }
        ops
    }

    /// `lockstep_ack_step()`.
    fn acknowledge(&self, step: Step) -> Vec<Op> {
        if self.on_last(Twin::NeverAcks) && step == Step::Install {
            return Vec::new();
        }
        let advance = match self.twin {
            Some(Twin::LateReset) => vec![Op::Advance, Op::Reset],
            Some(Twin::NoReset) => vec![Op::Advance],
            _ => vec![Op::Reset, Op::Advance],
        };
        let mut ops = self.count();
        ops.push(Op::SkipUnlessLast { needed: self.needed, skip: advance.len() });
        ops.extend(advance);
        let mut ops = self.locked(ops);
        if self.is(Twin::EarlyAdvance) {
            ops.insert(0, Op::SkipIfOver(ops.len()));
        }
        ops
    }

    /// A failure, then the acknowledgement.
    fn count(&self) -> Vec<Op> {
        let plain = self.ack == Ack::Lock || matches!(self.twin, Some(Twin::LateReset | Twin::LostAck));
        let failure = if plain { vec![Op::LoadFailed, Op::StoreFailed] } else { vec![Op::AddFailed] };
        let ack = if plain { vec![Op::LoadAck, Op::StoreAck] } else { vec![Op::AddAck] };
        match self.twin {
            // A failed CPU says that it did not.
            Some(Twin::FailureIgnored | Twin::AckBeforeWork) => ack,
            Some(Twin::FailureAfterAck) => [ack, failure].concat(),
            _ => [failure, ack].concat(),
        }
    }

    /// Puts the lock around the operations, where there is one.
    fn locked(&self, mut ops: Vec<Op>) -> Vec<Op> {
        let release = Op::Release(Word::AckLock);
        match self.twin {
            Some(Twin::LostAck) => return ops,
            // Only the counting is locked.
            Some(Twin::LateReset) => {
                let at = ops.iter().position(|op| matches!(op, Op::SkipUnlessLast { .. })).expect("it is there");
                ops.insert(at, release);
            }
            _ if self.ack == Ack::Atomic => return ops,
            _ => ops.push(release),
        }
        ops.insert(0, Op::Take(Word::AckLock));
        ops
    }
}

fn call(leaf: Leaf) -> Vec<Op> {
    vec![Op::Enter(leaf), Op::Exit { leaf, counts: true }]
}
