//! Makes everything that a run needs and says how long each step took: `cargo run -p rig-images --example build-images`.
//! Kbuild folders given as arguments are built against the kernel.

use rig_images::{Images, KernelRequest, Progress};
use std::time::Instant;

fn main() {
    if let Err(error) = build() {
        eprintln!("{error}\n{}", error.remedy());
        std::process::exit(5);
    }
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let since = Instant::now();
    let result = work();
    println!("{what}: {:.2} s", since.elapsed().as_secs_f64());
    result
}

fn build() -> Result<(), rig_images::ImagesError> {
    let images = Images::open(Progress::stderr())?;
    let root = timed("tool root", || images.tool_root())?;
    println!("QEMU {}", root.qemu_version()?);
    let kernel = timed("kernel", || images.kernel(&KernelRequest::default()))?;
    kernel.check_tdx_host()?;
    println!("Linux {} with {} modules, {}", kernel.release, kernel.modules.len(), kernel.bzimage.display());
    println!("load order: {:?}", kernel.load_order("kvm-intel")?);
    for folder in std::env::args().skip(1) {
        println!("{:?}", timed(&folder, || images.build_modules(&kernel, folder.as_ref()))?);
    }
    for entry in images.list()? {
        println!("{:>6} MB  {:10} {}", entry.size_bytes / 1_000_000, entry.what, entry.path.display());
    }
    println!("{} artifacts, warnings: {:?}", images.manifest().len(), images.warnings());
    Ok(())
}
