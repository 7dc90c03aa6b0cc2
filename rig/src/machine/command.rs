//! QEMU's command line.

use super::sockets::RuntimeDir;
use rig_wire::agent::PORT_NAME;
use rig_wire::plan::DETERMINISTIC_SHIFT;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The CPU that the guest sees: a Sapphire Rapids by identity, without AMD's SVM, and with the two features that
/// Linux's TDX host support looks for and TCG lacks (`x-force-features` keeps their CPUID bits; the plugin supplies the
/// rest). Its counter is invariant, as on every processor with TDX: KVM on a fully preemptible kernel refuses to load
/// without (`kvm_x86_vendor_init`).
pub(super) const CPU: &str =
    "max,vendor=GenuineIntel,family=6,model=143,stepping=8,-svm,+vmx,+movdir64b,+invtsc,x-force-features=on";
/// [`CPU`] without the bit by which a kernel knows that it is a guest.
const BARE_CPU: &str = "max,vendor=GenuineIntel,family=6,model=143,stepping=8,-svm,-hypervisor,+vmx,+movdir64b,+invtsc,x-force-features=on";
/// CPUID leaf 1 EAX of [`CPU`].
pub const CPUID_1_EAX: u32 = 0x0008_06f8;
/// Physical address bits of [`CPU`], which TCG does not take from the host: Linux puts KeyIDs above them.
pub const PHYSICAL_ADDRESS_BITS: u8 = 40;
/// A q35 without the devices that a headless guest does not need. Without SMM all vCPUs see the same memory, else QEMU
/// keeps a map of its own for each and makes all anew at each change: at 512 vCPUs 20 s and 4 GB before the guest's
/// first instruction.
pub(super) const MACHINE: &str = "q35,smm=off,hpet=off,sata=off,smbus=off,usb=off,i8042=off";
/// Deterministic mode: one thread for all vCPUs and a clock that counts instructions. It takes a CPU without hardware's
/// random numbers, and the machine's clock for the time of day.
pub(super) const ONE_THREAD: &str = "tcg,thread=single";
pub(super) const NO_RANDOM: &str = ",-rdrand,-rdseed";
/// The date that a deterministic guest reads from its clock, and the seed of the random numbers that QEMU draws.
pub(super) const DETERMINISTIC: [&str; 4] = ["-rtc", "base=2026-01-01T00:00:00,clock=vm", "-seed", "1"];
/// Lets a state be loaded in the form in which it was saved, without a monitor to say so, and without announcing the machine to a
/// network it does not have: the timers of that wake QEMU's main loop, which may then take the guest for idle an instant too
/// early and let its clock jump too far.
const UNATTENDED: [&str; 4] = ["-global", "migration.mapped-ram=on", "-global", "migration.announce-rounds=0"];
/// TDX host support refuses to start when the kernel could hibernate; addresses are those of System.map; a panic ends
/// QEMU at once, together with `-no-reboot`. The rest shortens the boot, which emulated CPUs that outnumber the host's
/// spend spinning (64 vCPUs on 2 cores: 100 s without, 12 s with): no parallel bring-up, no calibration loop, no timer
/// check, no 256 legacy terminals, and no line below a warning on the serial port, since the agent streams the whole
/// log.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 nohibernate nokaslr oops=panic panic=-1 cpuhp.parallel=0 \
    no_timer_check pty.legacy_count=0 loglevel=5";
/// What the length of the delay loop is reckoned by where the frequency of the counter is not known, kHz.
const GUESSED_TSC_KHZ: u32 = 2_500_000;
/// What it is reckoned by where the kernel's configuration is not known: Debian's kernels tick so often a second.
pub const GUESSED_HZ: u32 = 250;

/// Linux uses x2APIC without interrupt remapping only up to APIC ID 255, of which one means "all"
/// (`try_to_enable_x2apic()` in arch/x86/kernel/apic/apic.c).
const MOST_WITHOUT_REMAPPING: u32 = 255;
/// As many and more vCPUs of a TDX host boot sooner with x2APIC, which real ones always have: an interrupt to many
/// costs one write, and the plugin sees the writes that set timers. Not on the deterministic clock: with 512 vCPUs QEMU
/// 11.1 ended there ("Bad icount read"), fewer were not tried.
const GAINS_BY_REMAPPING: u32 = 16;

/// QEMU gives each vCPU 2 MiB of its 1 GiB for translated code, and more of that as long as there is any. 512 vCPUs
/// leave nothing, and whenever one has filled its part everything is translated anew: twice a second in a boot
/// (`tcg_n_regions()` of `tcg/region.c`).
const MOST_IN_USUAL_CODE_BUFFER: u32 = 255;
/// As much room as QEMU takes, MiB.
const MANY_THREADS_WITH_ROOM: &str = "tcg,thread=multi,tb-size=2048";

/// So many vCPUs are far more than any host here has cores: when all are to run, each gets a core for a hundredth of the time.
const MANY_CPUS: u32 = 128;
/// The kernel's watchdogs go by a clock that does not know of this. Soft lockups are reported after 120 s in place of
/// 20, stalls of RCU after 120 s in place of 21. What hangs in such a machine is found by its lack of progress.
const PATIENT_WATCHDOGS: &str = "watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 ";

/// The sockets' names in the runtime folder; QEMU connects to all of them.
pub const QMP_SOCKET: &str = "qmp.sock";
/// A second monitor, for raw JSON and events.
pub const RAW_QMP_SOCKET: &str = "raw.sock";
/// The agent's channel.
pub const AGENT_SOCKET: &str = "agent.sock";

/// Who executes the guest's instructions, and what CPU it sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Processor {
    /// TCG, as the TDX host that the plugin completes.
    #[default]
    TdxHost,
    /// The same, and it does not say that it is a virtual one: Linux then takes the ways of a host, in its spin locks, too.
    BareTdxHost,
    /// TCG, without anything of TDX.
    Plain,
    /// TCG, an AMD processor on which KVM works: its virtual machines are real ones.
    Svm,
    /// KVM, with this CPU model.
    Kvm(String),
}

impl Processor {
    fn accelerator(&self, cpus: u32) -> &'static str {
        match self {
            Self::Kvm(_) => "kvm",
            _ if cpus > MOST_IN_USUAL_CODE_BUFFER => MANY_THREADS_WITH_ROOM,
            Self::TdxHost | Self::BareTdxHost | Self::Plain | Self::Svm => "tcg,thread=multi",
        }
    }

    fn model(&self) -> &str {
        match self {
            Self::TdxHost => CPU,
            Self::BareTdxHost => BARE_CPU,
            Self::Plain => "max",
            Self::Svm => "EPYC-Milan",
            Self::Kvm(model) => model,
        }
    }
}

/// The device through which a guest's shim reaches the emulator.
#[derive(Clone, Debug)]
pub struct MailboxDevice {
    /// File of the guest's memory, which the emulator maps, too.
    pub ram: PathBuf,
    /// Where the emulator listens for the device.
    pub socket: PathBuf,
}

/// A folder of the host that the guest can read and not change.
#[derive(Clone, Debug)]
pub struct Share {
    /// The folder.
    pub folder: PathBuf,
    /// Its name for the guest.
    pub tag: String,
}

/// A machine to start.
#[derive(Clone, Debug)]
pub struct MachineSpec {
    /// Who executes its instructions.
    pub processor: Processor,
    /// vCPUs.
    pub cpus: u32,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// bzImage.
    pub kernel: PathBuf,
    /// Initramfs.
    pub initramfs: PathBuf,
    /// More kernel arguments, or none.
    pub kernel_arguments: String,
    /// The emulator's plugin and its plan file; none: a machine without SEAM firmware.
    pub plugin: Option<(PathBuf, PathBuf)>,
    /// The emulator outside QEMU, for guests with a shim.
    pub mailbox: Option<MailboxDevice>,
    /// What the guest can read of the host.
    pub share: Option<Share>,
    /// Socket of a terminal of the guest's, its `/dev/hvc0`.
    pub terminal: Option<PathBuf>,
    /// File for the serial console.
    pub console: PathBuf,
    /// How often a second the kernel ticks (`CONFIG_HZ`).
    pub hz: u32,
    /// The frequency of the guest's time-stamp counter in kHz, if it is known. The kernel measures it against timers that a busy
    /// host serves late; without the counter all CPUs keep their periodic ticks, which 512 vCPUs never get through.
    pub tsc_khz: Option<u32>,
    /// How it comes up.
    pub start: MachineStart,
    /// One thread and an instruction-counted clock, and nothing on the host touches the machine: the plugin carries the
    /// agent's stream.
    pub deterministic: bool,
    /// There are monitors to ask it by; a deterministic machine has them only where it is to be saved.
    pub monitored: bool,
}

/// How a machine comes up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MachineStart {
    /// It boots.
    #[default]
    Boot,
    /// It waits until a saved state is loaded through a monitor.
    Wait,
    /// It loads this saved state by itself and goes on.
    Load(PathBuf),
}

impl MachineSpec {
    /// What of the command line decides how the guest boots, without the files and sockets that it names.
    pub fn shape(&self) -> Vec<String> {
        let [cpus, memory] = [self.cpus, self.memory_mib].map(|n| n.to_string());
        let mode = self.mode().join(" ");
        [&self.cpu(), MACHINE, &mode, KERNEL_ARGUMENTS, self.watchdogs(), &self.kernel_arguments, &cpus, &memory]
            .map(str::to_owned)
            .to_vec()
    }

    /// How patient the kernel's watchdogs are.
    fn watchdogs(&self) -> &'static str {
        if self.cpus >= MANY_CPUS { PATIENT_WATCHDOGS } else { "" }
    }

    fn cpu(&self) -> String {
        format!("{}{}", self.processor.model(), if self.deterministic { NO_RANDOM } else { "" })
    }

    /// Whether its interrupts are remapped, which lets Linux use x2APIC.
    fn remaps(&self) -> bool {
        let gains = self.processor == Processor::TdxHost && !self.deterministic && self.cpus >= GAINS_BY_REMAPPING;
        gains || self.cpus > MOST_WITHOUT_REMAPPING
    }

    /// The arguments of the clock.
    fn mode(&self) -> Vec<String> {
        if !self.deterministic {
            return vec!["-accel".into(), self.processor.accelerator(self.cpus).into()];
        }
        let clock = format!("shift={DETERMINISTIC_SHIFT},sleep=off");
        let words = ["-accel", ONE_THREAD, "-icount", &clock].into_iter().chain(DETERMINISTIC);
        words.map(str::to_owned).collect()
    }
}

/// QEMU's arguments for a machine whose sockets lie in `runtime`.
pub fn arguments(spec: &MachineSpec, runtime: &RuntimeDir) -> Vec<OsString> {
    let mut line = Line::default();
    line.words(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    line.words(spec.mode().iter().map(String::as_str));
    line.words(["-machine", MACHINE, "-cpu", &spec.cpu()]);
    line.words(["-smp", &format!("{n},sockets=1,cores={n},threads=1", n = spec.cpus)]);
    line.words(["-m", &format!("{}M", spec.memory_mib)]);
    line.word("-kernel").word(&spec.kernel).word("-initrd").word(&spec.initramfs);
    let arguments = format!("{KERNEL_ARGUMENTS} {}{}{}", clock(spec), spec.watchdogs(), spec.kernel_arguments);
    line.words(["-append", arguments.trim_end()]);
    line.word("-serial").option("file:", &[], &spec.console);
    if spec.monitored {
        for (id, name) in [("qmp", QMP_SOCKET), ("raw", RAW_QMP_SOCKET)] {
            line.word("-chardev").option("socket,server=off,id=", &[id, ",path="], &runtime.path(name));
            line.words(["-mon", &format!("chardev={id},mode=control")]);
        }
    }
    if spec.remaps() {
        line.words(["-device", "intel-iommu,intremap=on,eim=on"]);
    }
    if !spec.deterministic {
        line.word("-chardev").option("socket,server=off,id=agent,path=", &[], &runtime.path(AGENT_SOCKET));
        line.words(["-device", "virtio-serial-pci,max_ports=2"]);
        line.words(["-device", &format!("virtserialport,chardev=agent,name={PORT_NAME}")]);
    }
    if let Some(terminal) = &spec.terminal {
        line.word("-chardev").option("socket,server=off,id=terminal,path=", &[], terminal);
        line.words(["-device", "virtconsole,chardev=terminal"]);
    }
    if let Some(mailbox) = &spec.mailbox {
        add_mailbox(&mut line, mailbox, spec.memory_mib);
    }
    if let Some(Share { folder, tag }) = &spec.share {
        let more = [tag, ",security_model=none,readonly=on,multidevs=remap,path="];
        line.word("-virtfs").option("local,mount_tag=", &more, folder);
    }
    match &spec.start {
        MachineStart::Boot => {}
        MachineStart::Wait => line.words(["-incoming", "defer"]),
        MachineStart::Load(state) => {
            line.words(UNATTENDED);
            line.word("-incoming").option("file:", &[], state);
        }
    }
    if let Some((library, plan)) = &spec.plugin {
        let plan = escape_path(plan);
        line.word("-plugin").option("file=", &[], library).append(",plan=").append(&plan);
    }
    line.0
}

/// Kernel arguments that describe its clock, so that it need not measure: without `lpj` each CPU does, for 150 ms. On
/// KVM the counter is the host's, and on a machine that is to run KVM itself it is one for all vCPUs; Linux's watchdog
/// of it would blame it where vCPUs wait for the host's cores. Once it is blamed, KVM stops the counters of guests
/// whose vCPUs wait.
fn clock(spec: &MachineSpec) -> String {
    let per_jiffy = u64::from(spec.tsc_khz.unwrap_or(GUESSED_TSC_KHZ)) * 1000 / u64::from(spec.hz.max(1));
    let counter = spec.tsc_khz.map(|khz| format!("tsc_early_khz={khz} ")).unwrap_or_default();
    let is_one = matches!(spec.processor, Processor::Kvm(_) | Processor::Svm);
    let trusted = if is_one { "tsc=reliable " } else { "" };
    format!("lpj={per_jiffy} {counter}{trusted}")
}

/// `master=on` lets QEMU save the device's memory with the guest's.
fn add_mailbox(line: &mut Line, mailbox: &MailboxDevice, memory_mib: u32) {
    let size = format!("{memory_mib}M,share=on,mem-path=");
    line.words(["-machine", "memory-backend=ram"]);
    line.word("-object").option("memory-backend-file,id=ram,size=", &[&size], &mailbox.ram);
    line.word("-chardev").option("socket,server=off,id=mailbox,path=", &[], &mailbox.socket);
    line.words(["-device", "ivshmem-doorbell,chardev=mailbox,vectors=1,master=on"]);
}

/// Arguments under construction.
#[derive(Default)]
pub(super) struct Line(pub(super) Vec<OsString>);

impl Line {
    pub(super) fn word(&mut self, word: impl Into<OsString>) -> &mut Self {
        self.0.push(word.into());
        self
    }

    pub(super) fn words<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        self.0.extend(words.into_iter().map(OsString::from));
    }

    /// One argument: a prefix, more of it, and a path with its commas doubled.
    pub(super) fn option(&mut self, prefix: &str, more: &[&str], path: &Path) -> &mut Self {
        self.word(file_option(&format!("{prefix}{}", more.concat()), path))
    }

    pub(super) fn append(&mut self, text: impl AsRef<std::ffi::OsStr>) -> &mut Self {
        self.0.last_mut().expect("a word to append to").push(text);
        self
    }
}

/// An option that ends with a path.
pub(super) fn file_option(prefix: &str, path: &Path) -> OsString {
    let mut word = OsString::from(prefix);
    word.push(escape_path(path));
    word
}

/// QEMU separates options by commas; a comma of a path is written twice.
pub(super) fn escape_path(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let doubled = path.as_os_str().as_bytes().iter().flat_map(|b| std::iter::repeat_n(*b, 1 + usize::from(*b == b',')));
    OsString::from_vec(doubled.collect())
}

/// A command line as a shell would take it, for people to read and repeat.
pub fn shell_line(command: &std::process::Command) -> String {
    let quote = |word: &std::ffi::OsStr| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    let words: Vec<String> = std::iter::once(command.get_program()).chain(command.get_args()).map(quote).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> MachineSpec {
        MachineSpec {
            processor: Processor::TdxHost,
            mailbox: None,
            share: None,
            terminal: None,
            cpus: 4,
            memory_mib: 512,
            kernel: "/k/bzImage".into(),
            initramfs: "/k/initramfs".into(),
            kernel_arguments: String::new(),
            plugin: Some(("/p/a,b.so".into(), "/r/plan.json".into())),
            console: "/r/console.log".into(),
            hz: 250,
            tsc_khz: None,
            start: MachineStart::Boot,
            deterministic: false,
            monitored: true,
        }
    }

    fn line(spec: &MachineSpec) -> String {
        let runtime = RuntimeDir::create().unwrap();
        let mut command = std::process::Command::new("qemu");
        command.args(arguments(spec, &runtime));
        shell_line(&command).replace(&runtime.path("").display().to_string(), "RT/")
    }

    #[test]
    fn the_line_says_what_the_spec_says() {
        let line = line(&spec());
        for part in [
            "-smp 4,sockets=1,cores=4,threads=1",
            "-m 512M",
            "-kernel /k/bzImage -initrd /k/initramfs",
            "-serial file:/r/console.log",
            "-chardev socket,server=off,id=agent,path=RT/agent.sock",
            "-plugin file=/p/a,,b.so,plan=/r/plan.json",
            "nohibernate nokaslr oops=panic panic=-1 ",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    #[test]
    fn interrupts_are_remapped_where_there_are_more_cpus_than_short_apic_ids() {
        let plain = |cpus| line(&MachineSpec { processor: Processor::Plain, cpus, ..spec() });
        assert!(!plain(255).contains("intel-iommu"));
        assert!(plain(256).contains("-device intel-iommu,intremap=on,eim=on "));
    }

    #[test]
    fn a_tdx_host_of_some_size_has_x2apic() {
        let remaps = |cpus, deterministic| line(&MachineSpec { cpus, deterministic, ..spec() }).contains("intel-iommu");
        assert_eq!(
            [(15, false), (16, false), (16, true)].map(|(cpus, clock)| remaps(cpus, clock)),
            [false, true, false]
        );
    }

    #[test]
    fn watchdogs_of_many_cpus_are_patient_unless_the_scenario_says_otherwise() {
        let machine = |cpus| MachineSpec { cpus, kernel_arguments: "watchdog_thresh=10".into(), ..spec() };
        assert!(!line(&machine(127)).contains("watchdog_thresh=60"));
        assert!(
            line(&machine(128)).contains("watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 watchdog_thresh=10")
        );
        assert!(machine(128).shape().iter().any(|part| part.contains("watchdog_thresh=60")));
    }

    #[test]
    fn more_vcpus_have_more_room_for_translated_code() {
        let room = |cpus, processor| line(&MachineSpec { processor, cpus, ..spec() }).contains("multi,tb-size=2048 ");
        assert_eq!([room(255, Processor::TdxHost), room(256, Processor::TdxHost)], [false, true]);
        assert!(!room(256, Processor::Kvm("host".into())));
    }

    #[test]
    fn nothing_touches_a_deterministic_machine() {
        let start = MachineStart::Load("/s/qemu.state".into());
        let line = line(&MachineSpec { deterministic: true, monitored: false, start, ..spec() });
        for part in
            ["thread=single -icount shift=1,sleep=off", "clock=vm", "-rdrand,-rdseed", "-incoming file:/s/qemu.state"]
        {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(!line.contains("-chardev") && !line.contains("-mon") && !line.contains("virtio"), "{line}");
        assert_ne!(MachineSpec { deterministic: true, ..spec() }.shape(), spec().shape());
    }

    #[test]
    fn the_kernel_need_not_measure_its_clock() {
        let line = |hz, tsc_khz| line(&MachineSpec { hz, tsc_khz, ..spec() });
        let known = line(100, Some(2_600_000));
        assert!(known.contains(" lpj=26000000 tsc_early_khz=2600000"), "{known}");
        let unknown = line(250, None);
        assert!(unknown.contains(" lpj=10000000") && !unknown.contains("tsc_early_khz"), "{unknown}");
    }

    #[test]
    fn on_kvm_the_emulator_shares_the_guests_memory() {
        let mailbox = Some(MailboxDevice { ram: "/proc/1/fd/7".into(), socket: "/r/mailbox.sock".into() });
        let kvm = Processor::Kvm("host".into());
        let line = line(&MachineSpec { plugin: None, processor: kvm, mailbox, ..spec() });
        for part in [
            "-accel kvm -machine q35,smm=off,hpet=off,sata=off,smbus=off,usb=off,i8042=off -cpu host",
            "-object memory-backend-file,id=ram,size=512M,share=on,mem-path=/proc/1/fd/7",
            "-chardev socket,server=off,id=mailbox,path=/r/mailbox.sock",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    #[test]
    fn what_is_shared_is_shared_for_reading() {
        let share = Some(Share { folder: "/a,b".into(), tag: "host".into() });
        let line = line(&MachineSpec { share, ..spec() });
        assert!(line.contains("mount_tag=host,security_model=none,readonly=on,multidevs=remap,path=/a,,b"), "{line}");
    }

    #[test]
    fn without_firmware_there_is_no_plugin() {
        let line = line(&MachineSpec { plugin: None, ..spec() });
        assert!(!line.contains("-plugin"), "{line}");
    }

    #[test]
    fn a_shell_would_read_the_same_words() {
        let mut command = std::process::Command::new("/bin/q emu");
        command.args(["it's", "", "a=b"]);
        assert_eq!(shell_line(&command), r"'/bin/q emu' 'it'\''s' '' a=b");
    }
}
