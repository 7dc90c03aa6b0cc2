//! The device to which images of the TDX module are uploaded.

/// The upload device of every subject.
pub(super) const DEVICE: &str = "tdx_module";
/// One is there when the driver offers updates: the kernel's class, or the update module's where the kernel has none.
pub(super) const UPLOADS: [&str; 2] =
    ["/sys/class/firmware/tdx_module/status", "/sys/class/tdx_firmware/tdx_module/status"];
