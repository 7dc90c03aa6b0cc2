//! What comes out of the image builder for one run.

use super::backend::{Backing, Bridge};
use super::guest_files::initramfs;
use super::options::Options;
use super::subject::{self, GuestModule, ObservationSource, Provided};
use super::{client, hw, kernel, qemu};
use crate::scenario::Scenario;
use crate::trouble::Trouble;
use rig_images::{Images, Kernel};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

/// What comes out of the image builder.
pub(super) struct Made {
    pub(super) kernel: Kernel,
    pub(super) qemu: Command,
    pub(super) backing: Backing,
    pub(super) plugin: Option<PathBuf>,
    pub(super) initramfs: PathBuf,
    pub(super) modules: Vec<GuestModule>,
    pub(super) observed_by: ObservationSource,
    /// More arguments for the kernel than the scenario's own.
    pub(super) kernel_arguments: &'static str,
}

/// The builds know nothing of one another, so they go side by side.
pub(super) fn make(images: &Images, scenario: &Scenario, options: &Options) -> Result<Made, Trouble> {
    let given = kernel::given(scenario)?;
    thread::scope(|scope| {
        let qemu = scope.spawn(|| qemu(images, options));
        let early = Backing::decided(scenario);
        let plugin = early.as_ref().filter(|backing| backing.bridge == Bridge::Plugin);
        let plugin = plugin.map(|_| scope.spawn(|| images.plugin()));
        let kernel = match given {
            Some(kernel) => kernel,
            None => kernel::provide(images, scenario)?,
        };
        kernel::check_cpus(&kernel, scenario)?;
        let qemu = join(qemu)?;
        let backing = match early {
            Some(backing) => backing,
            None => Backing::probed(images, scenario, &qemu, &kernel)?,
        };
        let subject = subject::provide(images, scenario, &kernel, backing.bridge)?;
        let userspace = scenario.userspace.as_ref().map(|u| images.userspace(&u.packages)).transpose()?;
        let extra = [hw::files(images, scenario)?, client::files(scenario)?].concat();
        let initramfs = initramfs(images, &kernel, &subject.files, extra, userspace.as_ref())?;
        let plugin = match plugin {
            Some(plugin) => Some(join(plugin)?),
            None if backing.bridge == Bridge::Plugin => Some(images.plugin()?),
            None => None,
        };
        let Provided { modules, observed_by, kernel_arguments, .. } = subject;
        Ok(Made { kernel, qemu, backing, plugin, initramfs, modules, observed_by, kernel_arguments })
    })
}

fn join<T, E: Into<Trouble>>(thread: thread::ScopedJoinHandle<'_, Result<T, E>>) -> Result<T, Trouble> {
    match thread.join() {
        Ok(result) => result.map_err(Into::into),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn qemu(images: &Images, options: &Options) -> Result<Command, Trouble> {
    match &options.qemu {
        Some(path) => qemu::own(path),
        None => Ok(images.tool_root()?.qemu_command()),
    }
}
