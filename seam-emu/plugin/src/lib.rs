//! The QEMU TCG plugin that turns an ordinary virtual machine into a TDX platform.
//!
//! SEAMCALL is an undefined opcode to TCG. The plugin sees it translated, runs the firmware model when it executes, and
//! moves the program counter past it. Nothing outside this crate knows QEMU's plugin interface.

#![allow(unsafe_code, reason = "entry points called by QEMU, and calls into it")]

mod agent_call;
mod bytes;
mod clock;
mod code;
mod control;
mod decode;
mod emulator;
mod exchange;
mod exported;
mod facade;
mod ffi;
mod fixed;
mod identity;
mod in_flight;
mod instruction_log;
mod memory;
mod points;
mod recorder;
mod registers;
mod rewind;
mod root;
mod seamcall;
mod settled;
mod sight;
mod site;
mod ticks;
mod unkicked;
mod vmx_state;
mod watch;

use decode::Intercept;
use emulator::Emulator;
use ffi::{CB_NO_REGS, CB_R_REGS, CB_RW_REGS, CB_RW_REGS_PC, DISCONTINUITY_INTERRUPT, Info, Tb, VcpuCallback};
use registers::Reg;
use rig_wire::event::Kind;
use site::Site;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::path::Path;
use std::ptr::null_mut;

/// QEMU's entry point: `-plugin FILE,plan=PATH`.
///
/// # Safety
/// Called once by QEMU, with a valid `info` and `count` C strings in `values`.
#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    info: *const Info,
    count: c_int,
    values: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU's promise, see above.
    let (info, arguments) = unsafe { (&*info, arguments(count, values)) };
    match install(info, &arguments) {
        Ok(_) => {
            register(id);
            0
        }
        Err(cause) => {
            eprintln!("seam-plugin: {cause}");
            1
        }
    }
}

unsafe fn arguments(count: c_int, values: *const *const c_char) -> Vec<String> {
    (0..usize::try_from(count).unwrap_or(0))
        // SAFETY: the caller promises `count` C strings.
        .map(|i| unsafe { CStr::from_ptr(*values.add(i)) }.to_string_lossy().into_owned())
        .collect()
}

fn install(info: &Info, arguments: &[String]) -> Result<&'static Emulator, String> {
    if !info.system_emulation {
        return Err("this plugin is for system emulation".into());
    }
    let [plan] = arguments else { return Err("give exactly one argument: plan=PATH".into()) };
    let plan = plan.strip_prefix("plan=").ok_or_else(|| format!("unknown argument {plan}: give plan=PATH"))?;
    let vcpus = usize::try_from(info.max_vcpus).map_err(|_| "QEMU reports no vCPUs".to_string())?;
    let emulator = emulator::install(Path::new(plan), vcpus).map_err(|e| e.to_string())?;
    if emulator.plan.deterministic {
        settled::check()?;
    }
    if let Some(socket) = &emulator.plan.control {
        control::serve(emulator, socket).map_err(|e| format!("control socket {}: {e}", socket.display()))?;
    }
    if let (Some(exchange), Some(socket)) = (&emulator.exchange, &emulator.plan.exchange) {
        exchange.connect(socket).map_err(|e| format!("cannot reach the rig at {}: {e}", socket.display()))?;
    }
    Ok(emulator)
}

fn register(id: u64) {
    // SAFETY: plain registrations with callbacks that live as long as the process.
    unsafe {
        ffi::qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init, null_mut());
        ffi::qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate, null_mut());
        ffi::qemu_plugin_register_vcpu_discon_cb(id, DISCONTINUITY_INTERRUPT, on_interrupt, null_mut());
    }
}

extern "C" fn on_vcpu_init(_vcpu: c_uint, _userdata: *mut c_void) {
    registers::learn();
    if let Some(root) = &emulator::get().root {
        root.start();
    }
    let plan = &emulator::get().plan;
    if plan.deterministic {
        if let Err(cause) = unkicked::keep_turns() {
            panic!("{cause}");
        }
    } else if plan.shortcuts.is_some() {
        fixed::translate();
    }
}

extern "C" fn on_translate(tb: *mut Tb, _userdata: *mut c_void) {
    // SAFETY: QEMU hands out a valid block.
    let (instructions, pc) = unsafe { (ffi::qemu_plugin_tb_n_insns(tb), ffi::qemu_plugin_tb_vaddr(tb)) };
    if let Some(shortcuts) = &emulator::get().plan.shortcuts {
        code::announce(&shortcuts.code, pc);
    }
    let clock = &emulator::get().recorder.clock;
    clock.instrument(tb, instructions);
    if clock.wants_counts() {
        // SAFETY: the block is valid during translation; userdata is a number, never a pointer.
        unsafe { ffi::qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, CB_NO_REGS, instructions as *mut c_void) }
    }
    let sites = (0..instructions).map(|index| Site::of(tb, index));
    let is_stub = site::is_stub(tb);
    for site in sites {
        if is_stub {
            if decode::classify(site.bytes()) == Some(Intercept::Seamret) {
                site.on_execute(on_seamret, CB_RW_REGS_PC, site.pc);
            }
            continue;
        }
        if emulator::get().log.as_ref().is_some_and(|log| log.translates(site.pc, site.bytes())) {
            site.on_execute(on_logged, CB_R_REGS, site.pc);
            site.on_access(on_logged_access);
        }
        instrument_watched(&site);
        if let Some(intercept) = decode::classify(site.bytes()) {
            instrument(&site, intercept);
        }
    }
}

fn instrument(site: &Site, intercept: Intercept) {
    let (callback, flags): (VcpuCallback, c_uint) = match intercept {
        Intercept::Seamcall => (on_seamcall, CB_RW_REGS_PC),
        Intercept::Vmxon => (on_vmxon, CB_RW_REGS_PC),
        Intercept::Vmxoff => (on_vmxoff, CB_RW_REGS_PC),
        Intercept::Rdmsr => (on_rdmsr, CB_RW_REGS_PC),
        Intercept::Wrmsr => (on_wrmsr, CB_RW_REGS_PC),
        Intercept::ReadCr4(reg) | Intercept::WriteCr4(reg) => {
            // Kernel addresses have their top bits set, so the register's number fits above the length of the
            // instruction: 3 bytes, or 4 with REX.B.
            let next = site.pc + site.len as u64;
            let callback = if matches!(intercept, Intercept::ReadCr4(_)) { on_read_cr4 } else { on_write_cr4 };
            return site.on_execute(callback, CB_RW_REGS_PC, next << 4 | u64::from(reg));
        }
        Intercept::Pause if emulator::get().plan.yield_at_pause => (on_pause, CB_NO_REGS),
        Intercept::Halt if emulator::get().plan.deterministic => (on_halt, CB_NO_REGS),
        Intercept::Pause | Intercept::Halt => return,
        Intercept::Invalidate => (on_invalidate, CB_RW_REGS_PC),
        Intercept::Movdir64b => (on_movdir64b, CB_RW_REGS_PC),
        Intercept::Exchange => (on_exchange, CB_RW_REGS),
        Intercept::Tdcall if emulator::get().root.is_some() => (on_tdcall, CB_RW_REGS_PC),
        Intercept::Tdcall | Intercept::Seamret | Intercept::Unhandled => (on_unhandled, CB_NO_REGS),
    };
    site.on_execute(callback, flags, site.pc);
}

fn instrument_watched(site: &Site) {
    let emulator = emulator::get();
    let list = emulator.watchlist();
    if let Some(index) = list.entered_at(site.pc) {
        site.on_execute(on_function_enter, CB_R_REGS, index as u64);
    }
    if list.holds_at(site.pc) {
        site.on_execute(on_instruction, CB_RW_REGS_PC, site.pc);
    }
    if list.instruments(site.pc) {
        site.on_access(on_access);
    }
    if let Some((index, range)) = list.function_around(site.pc)
        && decode::leaves(site.bytes(), site.pc, range)
    {
        site.on_execute(on_function_exit, CB_R_REGS, index as u64);
    }
}

/// The vCPU whose callback was told this index.
fn running(argument: c_uint) -> usize {
    emulator::get().identity.running(argument)
}

/// Goes on at `next`, or lets TCG execute the instruction.
///
/// `set_pc` longjmps out of the callback: whatever the caller borrowed or locked has been dropped before.
fn resume(next: Option<u64>) {
    if let Some(pc) = next {
        // SAFETY: called last in a callback registered with RW_REGS_PC, with nothing alive that has a destructor.
        unsafe { ffi::qemu_plugin_set_pc(pc) }
    }
}

/// Whether the instruction of the callback that is running is the VMM's. Which LP that is need not be found out where there are no
/// TDs with machine code.
fn is_vmms(argument: c_uint) -> bool {
    emulator::get().root.as_ref().is_none_or(|root| !root.is_in_td(running(argument)))
}

/// The LP whose callback is running, if the instruction is the VMM's: what a TD executes is TCG's and SEAM root's.
fn vmm(argument: c_uint) -> Option<usize> {
    let lp = running(argument);
    (!emulator::get().is_in_td(lp)).then_some(lp)
}

extern "C" fn on_seamcall(vcpu: c_uint, userdata: *mut c_void) {
    resume(vmm(vcpu).and_then(|lp| seamcall::execute(emulator::get(), lp, userdata as u64)));
}

extern "C" fn on_vmxon(vcpu: c_uint, userdata: *mut c_void) {
    resume(vmm(vcpu).and_then(|lp| facade::vmxon(emulator::get(), lp, userdata as u64)));
}

extern "C" fn on_vmxoff(vcpu: c_uint, userdata: *mut c_void) {
    resume(vmm(vcpu).and_then(|lp| facade::vmxoff(emulator::get(), lp, userdata as u64)));
}

extern "C" fn on_invalidate(vcpu: c_uint, userdata: *mut c_void) {
    resume(vmm(vcpu).and_then(|lp| facade::invalidate(emulator::get(), lp, userdata as u64)));
}

extern "C" fn on_movdir64b(vcpu: c_uint, userdata: *mut c_void) {
    resume(vmm(vcpu).and_then(|lp| facade::movdir64b(emulator::get(), lp, userdata as u64)));
}

extern "C" fn on_rdmsr(vcpu: c_uint, userdata: *mut c_void) {
    resume(is_vmms(vcpu).then(|| facade::rdmsr(emulator::get(), userdata as u64)).flatten());
}

extern "C" fn on_wrmsr(vcpu: c_uint, userdata: *mut c_void) {
    resume(vmm(vcpu).and_then(|lp| facade::wrmsr(emulator::get(), lp, userdata as u64)));
}

extern "C" fn on_seamret(vcpu: c_uint, userdata: *mut c_void) {
    let emulator = emulator::get();
    let root = emulator.root.as_ref().expect("only SEAM root has a stub");
    resume(root::seamret(emulator, root, running(vcpu), userdata as u64));
}

extern "C" fn on_tdcall(vcpu: c_uint, userdata: *mut c_void) {
    let (emulator, lp) = (emulator::get(), running(vcpu));
    match &emulator.root {
        Some(root) if root.is_in_td(lp) => resume(root::tdcall(emulator, root, lp, userdata as u64)),
        _ => on_unhandled(vcpu, userdata),
    }
}

/// Undoes the packing of [`instrument`]: the next instruction's address, sign-extended, and a register's number.
fn unpack_cr4(userdata: *mut c_void) -> (u64, u8) {
    let packed = userdata as u64;
    ((packed.cast_signed() >> 4).cast_unsigned(), (packed & 0xf) as u8)
}

extern "C" fn on_read_cr4(vcpu: c_uint, userdata: *mut c_void) {
    let (emulator, lp, (next, reg)) = (emulator::get(), running(vcpu), unpack_cr4(userdata));
    resume(match &emulator.root {
        Some(root) if root.is_in_td(lp) => root::read_cr4(root, lp, reg, next),
        _ => facade::read_cr4(emulator, lp, reg, next),
    });
}

extern "C" fn on_write_cr4(vcpu: c_uint, userdata: *mut c_void) {
    let (emulator, lp, (next, reg)) = (emulator::get(), running(vcpu), unpack_cr4(userdata));
    resume(match &emulator.root {
        Some(root) if root.is_in_td(lp) => root::write_cr4(root, lp, reg, next),
        _ => facade::write_cr4(emulator, lp, reg, next),
    });
}

extern "C" fn on_block(vcpu: c_uint, userdata: *mut c_void) {
    emulator::get().recorder.clock.count(userdata as u64, || running(vcpu));
}

extern "C" fn on_pause(_vcpu: c_uint, _userdata: *mut c_void) {
    std::thread::yield_now();
}

extern "C" fn on_halt(vcpu: c_uint, _userdata: *mut c_void) {
    if is_vmms(vcpu) {
        settled::wait();
    }
}

extern "C" fn on_exchange(vcpu: c_uint, _userdata: *mut c_void) {
    if is_vmms(vcpu) {
        agent_call::execute(emulator::get());
    }
}

extern "C" fn on_unhandled(vcpu: c_uint, userdata: *mut c_void) {
    let pc = userdata as u64;
    if let Some(lp) = vmm(vcpu) {
        seamcall::report_unknown(emulator::get(), lp as u16, pc, &memory::read_code::<8>(pc));
    }
}

/// Hands on where in the block's code it was called, too.
///
/// # Safety
/// Called by QEMU like any other callback.
#[unsafe(naked)]
extern "C" fn on_instruction(_vcpu: c_uint, _userdata: *mut c_void) {
    std::arch::naked_asm!("mov rdx, [rsp]", "jmp {}", sym on_held_instruction)
}

extern "C" fn on_held_instruction(vcpu: c_uint, userdata: *mut c_void, host_pc: usize) {
    if vmm(vcpu).is_some_and(|lp| points::before_instruction(emulator::get(), lp, userdata as u64)) {
        rewind::again(host_pc);
    }
}

extern "C" fn on_logged(vcpu: c_uint, userdata: *mut c_void) {
    if let (Some(lp), Some(log)) = (vmm(vcpu), &emulator::get().log) {
        log.instruction(lp, userdata as u64);
    }
}

extern "C" fn on_logged_access(vcpu: c_uint, info: u32, vaddr: u64, _userdata: *mut c_void) {
    if let (Some(lp), Some(log)) = (vmm(vcpu), &emulator::get().log) {
        log.touched(lp, vaddr, accessed(info));
    }
}

/// Whether the access of a callback that is running is a store, how many bytes it has, and its value, if these are at most eight.
fn accessed(info: u32) -> (bool, u8, u64) {
    // SAFETY: `info` is this callback's own.
    let (store, value) = unsafe { (ffi::qemu_plugin_mem_is_store(info), ffi::qemu_plugin_mem_get_value(info)) };
    let mask = if value.kind >= 3 { u64::MAX } else { (1 << (8 << value.kind)) - 1 };
    (store, 1 << value.kind, value.data[0] & mask)
}

extern "C" fn on_access(vcpu: c_uint, info: u32, vaddr: u64, userdata: *mut c_void) {
    let Some(lp) = vmm(vcpu) else { return };
    let (store, _, value) = accessed(info);
    points::after_access(emulator::get(), lp, userdata as u64, vaddr, (store, value));
}

extern "C" fn on_function_enter(vcpu: c_uint, userdata: *mut c_void) {
    let Some(lp) = vmm(vcpu) else { return };
    let is_update = emulator::get().plan.update_function == Some(userdata as usize);
    {
        let mut sight = emulator::get().sight(lp);
        sight.forget();
        sight.is_in_update |= is_update;
    }
    if is_update {
        emulator::get().holds().enters_update(lp as u16);
    }
    let caller = memory::read_virtual::<8>(registers::read(Reg::Rsp)).map_or(0, u64::from_le_bytes);
    let arguments = [registers::read(Reg::Rdi), registers::read(Reg::Rsi)];
    let fields = [userdata as u64, caller, arguments[0], arguments[1]];
    emulator::get().recorder.record(lp as u16, Kind::FunctionEnter, points::interrupts(), fields);
}

extern "C" fn on_function_exit(vcpu: c_uint, userdata: *mut c_void) {
    let Some(lp) = vmm(vcpu) else { return };
    let result = registers::read(Reg::Rax);
    if emulator::get().plan.update_function == Some(userdata as usize) {
        emulator::get().sight(lp).is_in_update = false;
    }
    emulator::get().recorder.record(
        lp as u16,
        Kind::FunctionExit,
        points::interrupts(),
        [userdata as u64, result, 0, 0],
    );
}

/// Interrupts are recorded where the judge looks at them. All others would only make the recording large.
extern "C" fn on_interrupt(vcpu: c_uint, _kind: c_uint, from: u64, to: u64, _userdata: *mut c_void) {
    let Some(lp) = vmm(vcpu) else { return };
    if let Some(log) = &emulator::get().log {
        log.interrupted(lp, from);
    }
    if emulator::get().sight(lp).is_in_update {
        emulator::get().recorder.record(lp as u16, Kind::Interrupt, points::interrupted(from), [from, to, 0, 0]);
    }
}
