//! SEAMLDR.INSTALL: loads a module, after every LP of the platform called it. The last LP does the work.

use super::candidate::Candidate;
use super::layout::Layout;
use super::loader::Flow;
use super::manifest;
use super::session::{check_flow, check_lp};
use crate::abi::seamldr::{InstallParams, MAX_MODULE_PAGES, SCENARIO_LOAD, SCENARIO_UPDATE, SeamExtend};
use crate::abi::sigstruct::SigStruct;
use crate::abi::{PAGE_SIZE, Status};
use crate::context::{Context, Outcome};
use crate::image::elf;
use crate::module::Module;
use crate::platform::SharedPa;
use crate::world::World;
use crate::{Config, FaultPoint, Regs};
use sha2::{Digest as _, Sha384};

/// RDX after a failed INSTALL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The SEAM range is as it was; the old module can be called again.
    Recoverable = 0,
    /// The old module is gone.
    Unrecoverable = 1,
}

/// RCX: address of [`InstallParams`]; only the last LP's is looked at. RDX out: [`Damage`] on error, else 0.
pub(super) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    regs.rdx = Damage::Recoverable as u64;
    if !enter_session(cx)? {
        return Ok(());
    }
    cx.world.loader.init_done = true;
    let result = read_candidate(cx, regs.rcx).map_err(|status| (status, Damage::Recoverable)).and_then(|candidate| {
        let layout = Layout::plan(&candidate.sigstruct, candidate.module.len() as u64, cx.platform, cx.config);
        let no_entropy = cx.internal_failure(Status::ENOENTROPY);
        install(cx.world, cx.config, &candidate, &layout, no_entropy)
    });
    finish(cx, &result);
    result.map_err(|(status, damage)| {
        regs.rdx = damage as u64;
        status
    })
}

/// Registers the LP; true for the last one.
fn enter_session(cx: &mut Context<'_>) -> Result<bool, Status> {
    check_lp(cx)?;
    if cx.world.loader.shutdown_lps.contains(&true) {
        return Err(Status::EBADCALL);
    }
    check_flow(cx, Flow::Install)?;
    let loader = &mut cx.world.loader;
    if std::mem::replace(&mut loader.install_lps[cx.lp], true) {
        return Err(Status::EBADCALL);
    }
    if loader.flow == Flow::Ready {
        loader.snapshot = cx.world.seamextend.clone();
        cx.world.seamextend.seam_ready = 0;
        loader.flow = Flow::Install;
    }
    Ok(!loader.install_lps.contains(&false))
}

/// Reads and checks the parameters, then reads what they point to.
fn read_candidate(cx: &mut Context<'_>, params_pa: u64) -> Result<Candidate, Status> {
    let pa = cx.platform.shared_pa(params_pa, PAGE_SIZE).ok_or(Status::EBADPARAM)?;
    let params: InstallParams = cx.read_as(pa);
    let (sigstruct_pa, pages) = check_params(cx, &params)?;
    let sigstruct = Box::new(cx.read_as::<SigStruct>(sigstruct_pa));
    // On hardware pages are hashed after they were copied into the SEAM range. Hashing here, from the same copy, has
    // the same result: nothing between can change the copy.
    let mut module = vec![0; pages.len() * PAGE_SIZE as usize];
    for (page, bytes) in pages.iter().zip(module.chunks_exact_mut(PAGE_SIZE as usize)) {
        cx.read(page.0, bytes);
    }
    let hash = Sha384::digest(&module).into();
    Ok(Candidate { scenario: params.scenario, sigstruct, module, hash })
}

/// The sigstruct's page and the module's pages.
fn check_params(cx: &Context<'_>, params: &InstallParams) -> Result<(SharedPa, Vec<SharedPa>), Status> {
    let scenario_known = matches!(params.scenario, SCENARIO_LOAD | SCENARIO_UPDATE);
    let count = params.num_module_pages;
    if params.version != 0
        || params.reserved != [0; 104]
        || !scenario_known
        || !(1..=MAX_MODULE_PAGES as u64).contains(&count)
    {
        return Err(Status::EBADPARAM);
    }
    let page = |&pa: &u64| cx.platform.shared_pa(pa, PAGE_SIZE).ok_or(Status::EBADPARAM);
    let pages = params.module_pages_pa[..count as usize].iter().map(page).collect::<Result<_, _>>()?;
    let sigstruct = page(&params.sigstruct_pa)?;
    if params.scenario == SCENARIO_UPDATE && cx.world.loader.snapshot.seam_ready == 0 {
        return Err(Status::EBADPARAM);
    }
    Ok((sigstruct, pages))
}

/// Verifies the candidate and puts it in the place of the module. Entropy may lack for the layout
/// (`initialize_memory_constants`), or for the SEAM database's new entry when all else is done (`install_epilogue`).
pub(crate) fn install(
    world: &mut World,
    config: &Config,
    candidate: &Candidate,
    layout: &Layout,
    no_entropy: Option<FaultPoint>,
) -> Result<(), (Status, Damage)> {
    let recoverable = |status| (status, Damage::Recoverable);
    let unrecoverable = |status| (status, Damage::Unrecoverable);
    manifest::verify(world, config, candidate).map_err(recoverable)?;
    if no_entropy == Some(FaultPoint::Before) {
        return Err(recoverable(Status::ENOENTROPY));
    }
    if layout.needed > layout.available {
        return Err(recoverable(Status::ENOMEM));
    }
    prepare_range(world, candidate).map_err(recoverable)?;
    // From here on the old module is overwritten.
    world.module = None;
    if candidate.hash != candidate.sigstruct.seamhash {
        return Err(unrecoverable(Status::EBADHASH));
    }
    elf::check_relocations(&candidate.module).map_err(|_| unrecoverable(Status::EBADPARAM))?;
    world.module = Some(Module::installed(config, &candidate.sigstruct, &candidate.module));
    if no_entropy == Some(FaultPoint::After) { Err(unrecoverable(Status::ENOENTROPY)) } else { Ok(()) }
}

/// LOAD forgets everything; UPDATE keeps the handoff data, if the new module can use it.
fn prepare_range(world: &mut World, candidate: &Candidate) -> Result<(), Status> {
    let keeps_tds = candidate.sigstruct.major_svn != 0;
    if candidate.scenario == SCENARIO_LOAD || !keeps_tds {
        world.seamdb.clear();
        world.loader.remaining_updates = world.seamdb.free();
        world.handoff.clear();
        return Ok(());
    }
    if world.loader.remaining_updates == 0 {
        return Err(Status::EBADCALL);
    }
    let old = world.module.as_ref().expect("UPDATE was refused when no module was ready");
    let handoff_pages = old.identity.num_handoff_pages;
    let room = (u64::from(handoff_pages) + 1) * PAGE_SIZE;
    let versions = candidate.sigstruct.min_update_hv.get()..=candidate.sigstruct.module_hv.get();
    let handoff = &world.handoff;
    if !handoff.valid || handoff.size_with_header() > room || !versions.contains(&handoff.hv) {
        return Err(Status::EBADHANDOFF);
    }
    Ok(())
}

/// The session's end: publishes the new module or what is left of the old one.
fn finish(cx: &mut Context<'_>, result: &Result<(), (Status, Damage)>) {
    publish(cx.world, result);
    let loader = &mut cx.world.loader;
    loader.install_lps.fill(false);
    loader.flow = Flow::Ready;
}

/// Sets SEAMEXTEND and the SEAM database after an installation.
pub(crate) fn publish(world: &mut World, result: &Result<(), (Status, Damage)>) {
    match (result, &world.module) {
        (Ok(()), Some(module)) => {
            world.seamextend = module.seamextend(world.seamextend.p_seamldr_ready);
            world.seamdb.insert();
            world.loader.remaining_updates -= 1;
            world.loader.keys_dirty.fill(true);
            world.loader.cache_dirty.fill(true);
        }
        (Ok(()), None) => unreachable!("a successful installation leaves a module"),
        (Err((_, Damage::Recoverable)), _) => world.seamextend = world.loader.snapshot.clone(),
        // The new module is there and told of, and cannot be called: the SEAM database did not take it.
        (Err((_, Damage::Unrecoverable)), Some(module)) => {
            let ready = world.seamextend.p_seamldr_ready;
            world.seamextend = SeamExtend { seam_ready: 0, ..module.seamextend(ready) };
        }
        (Err((_, Damage::Unrecoverable)), None) => {
            // `zero_seamextend_structure` leaves the flag that lets P-SEAMLDR itself be called.
            let ready = world.seamextend.p_seamldr_ready;
            world.seamextend = SeamExtend { p_seamldr_ready: ready, ..SeamExtend::ZERO };
            world.loader.snapshot = world.seamextend.clone();
        }
    }
}
