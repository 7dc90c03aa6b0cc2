//! The scenario, step by step, as the guest lives it.

use super::loads;
use super::snapshot::Note;
use super::subject::{self, GuestModule};
use super::upload::Upload;
use crate::guest::{Guest, GuestError};
use crate::machine::control::{ControlError, Emulator};
use crate::scenario::{Act, CpuState, CpuSwitch, Moment, Scenario};
use crate::symbols::KmodPlan;
use crate::trouble::Trouble;
use rig_wire::agent::{Answer, Command, Failure, LoadReport, Ready};
use rig_wire::event::{self, Mark, update_end};
use rig_wire::plan::Control;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The upload device of every subject.
const DEVICE: &str = "tdx_module";
/// One is there when the driver offers updates: the kernel's class, or the update module's where the kernel has none.
const UPLOADS: [&str; 2] = ["/sys/class/firmware/tdx_module/status", "/sys/class/tdx_firmware/tdx_module/status"];
/// `version` answers with it when no module runs any more.
const ENXIO: i32 = 6;
/// How long an upload may take to begin, where somebody waits to disturb it.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);
/// How long a guest that is to be saved is left alone, before the agent waits for its CPUs' timers. The kernel gathers the statistics of all CPUs a second after the boot
/// (`vmstat_shepherd()` in mm/vmstat.c); a machine that was saved before wakes them all when it goes on, and with nothing translated yet 64 vCPUs
/// spend two seconds waiting for one another's translations.
const REST_MS: u32 = 2500;
const ENOENT: i32 = 2;
const ENODEV: i32 = 19;

/// What is known so far; kept when the run is stopped half-way.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The agent's first message.
    pub(crate) ready: Option<Ready>,
    /// From QEMU's start to the agent's first message.
    pub(crate) boot: Duration,
    /// Module version before the first update.
    pub(crate) before: Option<String>,
    /// Module version after the last update; none: no module.
    pub(crate) after: Option<String>,
    /// `num_remaining_updates` before and after; none: nobody asked; an error: why it could not be read.
    pub(crate) remaining: (Option<Reading>, Option<Reading>),
    /// Updates that were made, those that failed among them.
    pub(crate) updates: Vec<Upload>,
    /// All updates.
    pub(crate) update: Duration,
    /// The kernel offers no update.
    pub(crate) absent: bool,
    /// The errno with which a module refused to load.
    pub(crate) refused: Option<i32>,
    /// What others tried during the first update, in the scenario's order: the errno, if it was refused.
    pub(crate) during: Vec<Option<i32>>,
    /// CPUs that were switched, in the scenario's order: the errno where the kernel refused.
    pub(crate) switches: Vec<(CpuSwitch, Option<i32>)>,
    /// What became of the trust domains.
    pub(crate) tds: super::tds::TdsTold,
    /// What the loads did.
    pub(crate) loads: Vec<LoadReport>,
    /// What became of the orders to the program for real hosts.
    pub(crate) hw: Vec<super::hw::Ordered>,
    /// What became of the clients.
    pub(crate) clients: Vec<super::program::Ended>,
    /// What is under way, for the words of a hang.
    pub(crate) doing: String,
}

/// A number that the guest tells, or why it does not.
pub(crate) type Reading = Result<u32, String>;

/// Why the drive could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriveError {
    /// The guest did not do what it was asked.
    #[error("{doing}: {error}")]
    Guest {
        /// What was under way.
        doing: String,
        /// What came of it.
        error: GuestError,
    },
    /// The kernel runs, but offers no update.
    #[error("the kernel offers no TDX module update: {0}")]
    NoSubject(String),
    /// What is to be watched in the subject's module was not found.
    #[error("the guest does not tell where module {0} lies")]
    Unplaced(String),
    /// The kernel's log does not reach the rig.
    #[error("the mark of the end of update {0} did not come back in the kernel's log, so its words are not known")]
    NoLog(u64),
    /// The emulator met a defect of its own.
    #[error("the emulated firmware failed; its last words are on standard error")]
    Emulator,
    /// The emulator's control socket failed.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The image to upload cannot be read.
    #[error(transparent)]
    Image(#[from] Trouble),
}

impl DriveError {
    /// Whether the guest went away, which its process tells more about.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Guest { error: GuestError::Gone, .. } | Self::Control(ControlError::Io(_)))
    }
}

/// Drives one guest through its scenario.
pub(crate) struct Drive<'a> {
    /// The agent.
    pub(crate) guest: &'a Guest,
    /// The emulator, for marks in the timeline.
    pub(crate) emulator: &'a Emulator,
    /// What to do.
    pub(crate) scenario: &'a Scenario,
    /// Kernel modules to load, in this order.
    pub(crate) modules: &'a [GuestModule],
    /// How to find what is watched in the subject's module; none: all is known.
    pub(crate) placing: Option<&'a KmodPlan>,
    /// When QEMU was started.
    pub(crate) started: Instant,
    /// What was told when the machine was saved from which it goes on; none: it boots.
    pub(crate) saved: Option<&'a Note>,
    /// Says what is under way.
    pub(crate) say: &'a (dyn Fn(&str) + Sync),
}

impl Drive<'_> {
    /// From the agent's first message to its last.
    pub(crate) async fn run(&self, told: &mut Told) -> Result<(), DriveError> {
        self.boot(told).await?;
        if !told.absent {
            self.read_before(told).await?;
        }
        self.switch_cpus(told, Moment::Before).await?;
        self.start_loads(told).await?;
        self.start_tds(told).await?;
        let started = Instant::now();
        for number in 1..=self.scenario.updates {
            if told.absent {
                break;
            }
            self.update(told, number).await?;
            told.update = started.elapsed();
            if !self.scenario.keep_going && !told.updates.last().is_some_and(Upload::succeeded) {
                break;
            }
        }
        self.hardware(told).await?;
        self.clients(told).await?;
        self.end_tds(told).await?;
        self.stop_loads(told).await?;
        self.switch_cpus(told, Moment::After).await?;
        self.read_after(told).await?;
        self.ask(told, "powering off", Command::PowerOff).await.map(drop)
    }

    /// Starts what runs beside the updates.
    pub(crate) async fn start_loads(&self, told: &mut Told) -> Result<(), DriveError> {
        for load in &self.scenario.load {
            self.ask(told, "starting the load", Command::StartLoad { load: loads::complete(load) }).await?;
        }
        Ok(())
    }

    /// Ends it, and has it tell what it did.
    pub(crate) async fn stop_loads(&self, told: &mut Told) -> Result<(), DriveError> {
        if !self.scenario.load.is_empty()
            && let Answer::Loads(reports) = self.ask(told, "stopping the load", Command::StopLoads).await?
        {
            told.loads = reports;
        }
        Ok(())
    }

    /// Until the guest is ready for its first update.
    pub(crate) async fn boot(&self, told: &mut Told) -> Result<(), DriveError> {
        if let Some(note) = self.saved {
            return self.wake(told, note).await;
        }
        self.doing(told, "booting");
        let ready = self.guest.ready().await.map_err(|error| failed(told, error))?;
        told.ready = Some(ready);
        told.boot = self.started.elapsed();
        self.mark(Mark::Ready, 0).await?;
        for GuestModule { name, parameters } in self.modules {
            let load = Command::LoadModule { name: name.clone(), parameters: parameters.clone() };
            match self.ask(told, &format!("loading {name}"), load).await {
                // The driver wants no platform without a working TDX module.
                Err(DriveError::Guest { error: GuestError::Failed(f), .. })
                    if f.errno == Some(ENODEV) && subject::is_subject(name) =>
                {
                    (told.absent, told.refused) = (true, f.errno);
                }
                Err(DriveError::Guest { error: GuestError::Failed(f), .. })
                    if self.scenario.expect.refused.is_some() =>
                {
                    (told.absent, told.refused) = (true, f.errno);
                }
                loaded => _ = loaded?,
            }
        }
        self.place_last(told).await
    }

    /// Lets the guest do what its boot left to be done, before it is saved.
    pub(crate) async fn rest(&self) -> Result<(), DriveError> {
        let rested = self.guest.request(Command::Rest { ms: REST_MS }).await;
        rested.map(drop).map_err(|error| DriveError::Guest { doing: "resting".into(), error })
    }

    /// The subject's module is the last.
    async fn place_last(&self, told: &mut Told) -> Result<(), DriveError> {
        match (self.placing, self.modules.last()) {
            (Some(placing), Some(module)) if !told.absent => self.place(told, placing, &module.name).await,
            _ => Ok(()),
        }
    }

    /// Tells the emulator where the subject's module lies, before any of its updates ran.
    async fn place(&self, told: &mut Told, placing: &KmodPlan, module: &str) -> Result<(), DriveError> {
        self.doing(told, "reading where the module lies");
        let mut begins = HashMap::new();
        for section in &placing.sections {
            let path = format!("/sys/module/{}/sections/{section}", module.replace('-', "_"));
            let text = self.guest.read(&path).await.map_err(|error| failed(told, error))?;
            let address = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
            begins.insert(section.clone(), address.ok_or_else(|| DriveError::Unplaced(module.to_owned()))?);
        }
        let seen = placing.placed(&begins).ok_or_else(|| DriveError::Unplaced(module.to_owned()))?;
        self.emulator.ask(&Control::Watch { watches: seen.watches, functions: seen.functions }).await?;
        Ok(())
    }

    /// The machine goes on behind [`Drive::boot`].
    async fn wake(&self, told: &mut Told, note: &Note) -> Result<(), DriveError> {
        self.ask(told, "restoring", Command::Ping).await?;
        (told.ready, told.absent, told.refused) = (Some(note.ready.clone()), note.absent, note.refused);
        told.boot = self.started.elapsed();
        self.place_last(told).await
    }

    /// What runs before the first update.
    pub(crate) async fn read_before(&self, told: &mut Told) -> Result<(), DriveError> {
        self.doing(told, "reading the module's version");
        told.before = match self.guest.read(&self.attribute("version")).await {
            Err(GuestError::Failed(f)) if f.errno == Some(ENOENT) => return Err(DriveError::NoSubject(f.what)),
            version => lost_is_none(version).map_err(|error| failed(told, error))?,
        };
        told.after.clone_from(&told.before);
        told.remaining.0 = Some(self.remaining().await);
        told.absent = true;
        for upload in UPLOADS {
            match self.guest.read(upload).await {
                Ok(_) => told.absent = false,
                Err(GuestError::Failed(f)) if f.errno == Some(ENOENT) => {}
                Err(error) => return Err(failed(told, error)),
            }
        }
        Ok(())
    }

    /// A refusal is an outcome, like that of an update.
    async fn switch_cpus(&self, told: &mut Told, when: Moment) -> Result<(), DriveError> {
        for switch in self.scenario.switches.iter().filter(|switch| switch.when == when) {
            let (digit, word) = match switch.to {
                CpuState::Online => (b"1", "online"),
                CpuState::Offline => (b"0", "offline"),
            };
            self.doing(told, &format!("taking CPU {} {word}", switch.cpu));
            let path = format!("/sys/devices/system/cpu/cpu{}/online", switch.cpu);
            let errno = match self.guest.request(Command::Write { path, data: digit.to_vec() }).await {
                Ok(_) => None,
                Err(GuestError::Failed(failure)) if failure.errno.is_some() => failure.errno,
                Err(error) => return Err(failed(told, error)),
            };
            told.switches.push((switch.clone(), errno));
        }
        Ok(())
    }

    /// One update, from its upload to what is read back.
    pub(crate) async fn update(&self, told: &mut Told, number: u32) -> Result<(), DriveError> {
        let (image, wanted) = crate::update_image::update_image(self.scenario, number)?;
        let before = told.after.clone();
        let to = wanted.as_deref().unwrap_or("the given image");
        let doing = format!("update {number} of {} to {to}", self.scenario.updates);
        self.mark(Mark::UpdateBegin, u64::from(number)).await?;
        self.doing(told, &doing);
        let upload = self.guest.request(Command::Update { device: DEVICE.into(), image });
        let (answer, during) = match number {
            1 => tokio::join!(upload, self.disturb()),
            _ => (upload.await, Vec::new()),
        };
        told.during.extend(during);
        let outcome = match answer.map_err(|error| failed(told, error))? {
            Answer::Update(outcome) => outcome,
            other => return Err(failed(told, GuestError::Unexpected(Box::new(other)))),
        };
        let seen = self.version(told).await?;
        told.after.clone_from(&seen);
        let upload = Upload { outcome, before, wanted, seen };
        let told_outcome =
            if upload.succeeded() { event::UpdateOutcome::Succeeded } else { event::UpdateOutcome::Failed };
        told.updates.push(upload);
        self.mark(Mark::UpdateEnd, update_end(number, told_outcome)).await
    }

    /// The module's version; none: there is no module any more.
    pub(super) async fn version(&self, told: &Told) -> Result<Option<String>, DriveError> {
        lost_is_none(self.guest.read(&self.attribute("version")).await).map_err(|error| failed(told, error))
    }

    /// Tries what the scenario says while the update is under way; the errno of each attempt that was refused.
    async fn disturb(&self) -> Vec<Option<i32>> {
        let mut errnos = Vec::new();
        if self.scenario.during.is_empty() || !self.begins().await {
            return errnos;
        }
        let module = self.modules.last().map(|module| module.name.clone()).unwrap_or_default();
        for during in &self.scenario.during {
            errnos.push(match during.act {
                Act::Upload => self.upload_beside().await,
                Act::Unload => self.refusal(Command::UnloadModule { name: module.clone() }).await,
            });
        }
        errnos
    }

    /// An upload write by write: the agent itself makes one after the other. The kernel takes no data while another is under way.
    async fn upload_beside(&self) -> Option<i32> {
        let writes: [(&str, &[u8]); 3] = [("loading", b"1"), ("data", &[0; 4096]), ("loading", b"0")];
        for (file, bytes) in writes {
            let path = format!("/sys/class/firmware/{DEVICE}/{file}");
            let errno = self.refusal(Command::Write { path, data: bytes.to_vec() }).await;
            if errno.is_some() {
                return errno;
            }
        }
        None
    }

    /// The errno with which the guest refuses; none: it does it.
    async fn refusal(&self, command: Command) -> Option<i32> {
        match self.guest.request(command).await {
            Err(GuestError::Failed(failure)) => failure.errno,
            _ => None,
        }
    }

    /// Waits for the upload to be under way, for some seconds at most.
    async fn begins(&self) -> bool {
        let until = Instant::now() + BEGINS_WITHIN;
        while Instant::now() < until {
            for upload in UPLOADS {
                if self.guest.read(upload).await.is_ok_and(|status| status != "idle") {
                    return true;
                }
            }
        }
        false
    }

    async fn read_after(&self, told: &mut Told) -> Result<(), DriveError> {
        self.doing(told, "reading back");
        told.remaining.1 = Some(self.remaining().await);
        Ok(())
    }

    /// Whoever makes the verdict decides what it means that it cannot be read.
    async fn remaining(&self) -> Reading {
        match self.guest.read(&self.attribute("num_remaining_updates")).await {
            Ok(text) => text.parse().map_err(|_| format!("it holds \"{text}\"")),
            Err(GuestError::Failed(Failure { errno: Some(errno), .. })) => Err(format!("errno {errno}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Path of one of the subject's attributes.
    fn attribute(&self, name: &str) -> String {
        format!("{}/{name}", subject::attributes(self.scenario.subject))
    }

    pub(super) async fn ask(&self, told: &mut Told, doing: &str, command: Command) -> Result<Answer, DriveError> {
        self.doing(told, doing);
        self.guest.request(command).await.map_err(|error| failed(told, error))
    }

    async fn mark(&self, mark: Mark, argument: u64) -> Result<(), DriveError> {
        self.emulator.ask(&Control::Mark { mark: mark as u64, argument }).await?;
        Ok(())
    }

    fn doing(&self, told: &mut Told, doing: &str) {
        doing.clone_into(&mut told.doing);
        (self.say)(doing);
    }
}

pub(super) fn failed(told: &Told, error: GuestError) -> DriveError {
    DriveError::Guest { doing: told.doing.clone(), error }
}

fn lost_is_none(version: Result<String, GuestError>) -> Result<Option<String>, GuestError> {
    match version {
        Err(GuestError::Failed(f)) if f.errno == Some(ENXIO) => Ok(None),
        version => version.map(Some),
    }
}
