//! All of QEMU that SEAM root uses beside the plugin interface, each with its check. What is missing or looks otherwise refuses
//! machine code in TDs, with a sentence; nothing is guessed.
//!
//! Types are those of QEMU 11.1: `include/system/memory.h`, `include/qemu/main-loop.h`, `include/qom/object.h`,
//! `include/hw/core/qdev-properties.h`, `target/i386/cpu.h`.

#![allow(unsafe_code, reason = "QEMU's functions are looked up by name")]

use super::hidden::Hidden;
use crate::exported::{self, module_of};
use iced_x86::{Code, Decoder, DecoderOptions, Register};
use seam_td::hidden::SIZE;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::transmute;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

const SYMBOLS: [&CStr; 14] = [
    c"bql_locked",
    c"bql_lock_impl",
    c"bql_unlock",
    c"get_system_memory",
    c"memory_region_init_ram",
    c"memory_region_add_subregion",
    c"memory_region_get_ram_ptr",
    c"qemu_get_cpu",
    c"object_property_find",
    c"object_property_get_uint",
    c"cpu_clear_ignne",
    // What takes posted interrupts (`memory.rs`).
    c"address_space_memory",
    c"address_space_map",
    c"address_space_unmap",
];
/// Bytes for a `MemoryRegion`, which has fewer than 300.
const MEMORY_REGION: usize = 8192;
/// Words of an `ObjectProperty` before its `opaque`, which for a device's property is a `Property`.
const OPAQUE: usize = 8;
const PHYS_BITS: &CStr = c"phys-bits";
/// Physical address bits while a TD runs: its highest one may be 52.
const ALL_BITS: u32 = 52;
/// No `X86CPU` is larger.
const MOST_BYTES_OF_CPU: usize = 0x2_0000;

/// QEMU's functions.
#[derive(Clone, Copy)]
pub(super) struct Qemu {
    bql_locked: extern "C" fn() -> bool,
    bql_lock: extern "C" fn(file: *const c_char, line: c_int),
    bql_unlock: extern "C" fn(),
    system_memory: extern "C" fn() -> *mut c_void,
    init_ram: extern "C" fn(*mut c_void, *mut c_void, *const c_char, u64, *mut *mut c_void) -> bool,
    add_subregion: extern "C" fn(*mut c_void, u64, *mut c_void),
    ram_ptr: extern "C" fn(*mut c_void) -> *mut c_void,
    get_cpu: GetCpu,
    property_find: extern "C" fn(*mut c_void, *const c_char) -> *mut *mut c_void,
    property_uint: extern "C" fn(*mut c_void, *const c_char, *mut *mut c_void) -> u64,
    clear_ignne: *const u8,
}

type GetCpu = extern "C" fn(index: c_int) -> *mut c_void;

// SAFETY: addresses of functions.
unsafe impl Send for Qemu {}
// SAFETY: as above.
unsafe impl Sync for Qemu {}

impl Qemu {
    /// Finds all of them.
    pub(super) fn find() -> Result<Self, &'static str> {
        let [locked, lock, unlock, system, ram, add, pointer, cpu, find, uint, ignne, ..] =
            exported::find(SYMBOLS).ok_or("this QEMU does not export what machine code in TDs needs")?;
        // SAFETY: functions of these names have these types in QEMU 11.1.
        unsafe {
            Ok(Self {
                bql_locked: transmute::<*mut c_void, extern "C" fn() -> bool>(locked),
                bql_lock: transmute::<*mut c_void, extern "C" fn(*const c_char, c_int)>(lock),
                bql_unlock: transmute::<*mut c_void, extern "C" fn()>(unlock),
                system_memory: transmute::<*mut c_void, extern "C" fn() -> *mut c_void>(system),
                init_ram: transmute::<
                    *mut c_void,
                    extern "C" fn(*mut c_void, *mut c_void, *const c_char, u64, *mut *mut c_void) -> bool,
                >(ram),
                add_subregion: transmute::<*mut c_void, extern "C" fn(*mut c_void, u64, *mut c_void)>(add),
                ram_ptr: transmute::<*mut c_void, extern "C" fn(*mut c_void) -> *mut c_void>(pointer),
                get_cpu: transmute::<*mut c_void, GetCpu>(cpu),
                property_find: transmute::<*mut c_void, extern "C" fn(*mut c_void, *const c_char) -> *mut *mut c_void>(
                    find,
                ),
                property_uint: transmute::<
                    *mut c_void,
                    extern "C" fn(*mut c_void, *const c_char, *mut *mut c_void) -> u64,
                >(uint),
                clear_ignne: ignne.cast(),
            })
        }
    }

    /// Makes hidden memory at a guest-physical address. Call from a vCPU's start callback.
    pub(super) fn hidden_memory(&self, physical: u64) -> Result<Hidden, &'static str> {
        const NONE: &str = "QEMU gives SEAM root no memory";
        let was_locked = (self.bql_locked)();
        if !was_locked {
            (self.bql_lock)(c"seam-plugin".as_ptr(), 0);
        }
        // QEMU keeps it as long as the machine lives, which is as long as the process.
        let region = Box::leak(Box::new([0_u64; MEMORY_REGION / 8])).as_mut_ptr().cast();
        let made = (self.init_ram)(region, null_mut(), c"seam-root".as_ptr(), SIZE, null_mut());
        let host = if made {
            (self.add_subregion)((self.system_memory)(), physical, region);
            NonNull::new((self.ram_ptr)(region).cast())
        } else {
            None
        };
        if !was_locked {
            (self.bql_unlock)();
        }
        // SAFETY: RAM of that size, aligned to a page, which lives as long as the region.
        host.map(|host| unsafe { Hidden::new(host, physical) }).ok_or(NONE)
    }

    /// Where each vCPU keeps how many physical address bits it has, as an offset: what its property says, checked by name and
    /// value. Call when the first vCPU exists.
    pub(super) fn phys_bits(&self) -> Result<PhysBits, &'static str> {
        const OTHER: &str = "the property phys-bits of this QEMU's CPU is not that of QEMU 11.1";
        let cpu = (self.get_cpu)(0);
        let property = (self.property_find)(cpu, PHYS_BITS.as_ptr());
        if property.is_null() {
            return Err(OTHER);
        }
        // SAFETY: an `ObjectProperty` is longer; what is taken for its `opaque` is followed only into QEMU's own data, which
        // begins with the address of a name in QEMU's own data if it is a `Property`.
        let offset = unsafe {
            let opaque = property.add(OPAQUE).read().cast::<*const c_char>();
            let name = if is_in_qemu(opaque.cast()) { opaque.read() } else { return Err(OTHER) };
            if !is_in_qemu(name.cast()) || CStr::from_ptr(name) != PHYS_BITS {
                return Err(OTHER);
            }
            opaque.add(2).cast::<usize>().read()
        };
        let value = (self.property_uint)(cpu, PHYS_BITS.as_ptr(), null_mut());
        if offset == 0 || offset >= MOST_BYTES_OF_CPU || !offset.is_multiple_of(4) {
            return Err(OTHER);
        }
        let bits = PhysBits { get_cpu: self.get_cpu, offset };
        if u64::from(bits.of(0).load(Ordering::Relaxed)) == value { Ok(bits) } else { Err(OTHER) }
    }

    /// Keeps the instructions that restore x87 state from spoiling the flags of the first vCPU.
    ///
    /// Each FXRSTOR and XRSTOR calls `cpu_clear_ignne()`, which clears a flag of the first vCPU without regard to that vCPU's
    /// thread (`target/i386/tcg/system/fpu_helper.c`): a lost update of whether it is in a TD, in two of four runs of 45 s. The
    /// function becomes one that writes only where the flag is set. Call before a vCPU runs.
    pub(super) fn keep_flags(&self) -> Result<(), &'static str> {
        const OTHER: &str = "cpu_clear_ignne() of this QEMU is not that of QEMU 11.1";
        // SAFETY: a function of QEMU's; its code is longer than that, or followed by another one's.
        let code = unsafe { std::slice::from_raw_parts(self.clear_ignne, LONGEST) };
        let flags = flags_offset(code).ok_or(OTHER)?;
        GET_CPU.store(self.get_cpu as usize, Ordering::Relaxed);
        FLAGS.store(flags, Ordering::Relaxed);
        replace(self.clear_ignne, &jump(clear_ignne as *const () as u64))
            .map_err(|_| "the code of this QEMU cannot be changed, which machine code in TDs needs")
    }
}

/// A vCPU's number of physical address bits, which TCG asks for at each walk of page tables (`mmu_translate()` of
/// `target/i386/tcg/system/excp_helper.c`).
#[derive(Clone, Copy)]
pub(super) struct PhysBits {
    get_cpu: GetCpu,
    offset: usize,
}

impl PhysBits {
    fn of(&self, vcpu: usize) -> &AtomicU32 {
        let cpu = (self.get_cpu)(c_int::try_from(vcpu).expect("QEMU counts vCPUs so"));
        // SAFETY: the vCPU exists and has its `uint32_t` there, which only its own thread uses.
        unsafe { AtomicU32::from_ptr(cpu.byte_add(self.offset).cast()) }
    }

    /// Gives the vCPU all of them. Returns what it had.
    pub(super) fn widen(&self, vcpu: usize) -> u32 {
        self.of(vcpu).swap(ALL_BITS, Ordering::Relaxed)
    }

    /// Gives it back what it had.
    pub(super) fn restore(&self, vcpu: usize, bits: u32) {
        self.of(vcpu).store(bits, Ordering::Relaxed);
    }
}

/// Whether an address lies in what the executable loaded, as `qemu_get_cpu` does.
fn is_in_qemu(address: *const c_void) -> bool {
    let qemu = exported::find([c"qemu_get_cpu"]).and_then(|[function]| module_of(function));
    qemu.is_some() && module_of(address) == qemu
}

/// Bytes of code that are looked at.
const LONGEST: usize = 128;
/// `HF2_IGNNE_MASK` of `target/i386/cpu.h`.
const IGNNE: u32 = 1 << 7;
/// `endbr64`, with which the function begins and that stays.
const ENDBR64: usize = 4;

/// Offset of the flags from the vCPU, from the code of `cpu_clear_ignne()`: its only write to memory but the stack is
/// `andl $~HF2_IGNNE_MASK, flags(%rax)`, and it is long enough for [`jump`].
fn flags_offset(code: &[u8]) -> Option<usize> {
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    let mut offset = None;
    loop {
        let instruction = decoder.decode();
        match instruction.code() {
            Code::INVALID => return None,
            Code::Retnq => break,
            Code::And_rm32_imm32 if offset.is_none() => {
                let plain = instruction.memory_base() == Register::RAX && instruction.memory_index() == Register::None;
                if !plain || instruction.immediate32() != !IGNNE {
                    return None;
                }
                offset = usize::try_from(instruction.memory_displacement64()).ok();
            }
            Code::Endbr64 | Code::Lea_r64_m | Code::Call_rel32_64 => {}
            _ if instruction.op0_kind() == iced_x86::OpKind::Memory => return None,
            _ => {}
        }
    }
    let length = decoder.position();
    let begins_well = code.starts_with(&[0xF3, 0x0F, 0x1E, 0xFA]);
    offset.filter(|offset| begins_well && length >= ENDBR64 + JUMP && (1..MOST_BYTES_OF_CPU).contains(offset))
}

/// Bytes of `movabs $imm64, %rax; jmp *%rax`.
const JUMP: usize = 12;

fn jump(to: u64) -> [u8; JUMP] {
    let mut code = [0x48, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xE0];
    code[2..10].copy_from_slice(&to.to_le_bytes());
    code
}

/// Puts code behind a function's `endbr64`.
fn replace(function: *const u8, code: &[u8]) -> Result<(), std::io::Error> {
    const PAGE: usize = 4096;
    let page = function as usize / PAGE * PAGE;
    let protect = |protection| {
        // SAFETY: the pages hold the function's code, which stays as it is.
        let failed = unsafe { libc::mprotect(page as *mut c_void, 2 * PAGE, protection) } != 0;
        if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    protect(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC)?;
    // SAFETY: `flags_offset` says that the function is so long; it runs on vCPUs' threads, of which none runs yet.
    unsafe { function.add(ENDBR64).cast_mut().copy_from_nonoverlapping(code.as_ptr(), code.len()) }
    protect(libc::PROT_READ | libc::PROT_EXEC)
}

static FIRST_CPU: AtomicUsize = AtomicUsize::new(0);
static GET_CPU: AtomicUsize = AtomicUsize::new(0);
static FLAGS: AtomicUsize = AtomicUsize::new(0);

/// In place of QEMU's: writes only where the flag is set, which only the first vCPU's own thread sets.
extern "C" fn clear_ignne() {
    let mut first = FIRST_CPU.load(Ordering::Relaxed);
    if first == 0 {
        // SAFETY: stored as a function of this type, before this one was reachable.
        let get = unsafe { transmute::<usize, GetCpu>(GET_CPU.load(Ordering::Relaxed)) };
        first = get(0) as usize;
        FIRST_CPU.store(first, Ordering::Relaxed);
    }
    // SAFETY: the first vCPU, which is there while instructions run, has its 32-bit flags there.
    let flags = unsafe { AtomicU32::from_ptr((first + FLAGS.load(Ordering::Relaxed)) as *mut u32) };
    if flags.load(Ordering::Relaxed) & IGNNE != 0 {
        flags.fetch_and(!IGNNE, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code that does what `cpu_clear_ignne()` does: `endbr64`, the first vCPU's address into RAX by a call,
    /// `andl $~0x80, 0x41a4(%rax)`, RAX cleared, return.
    const CLEARS_A_FLAG: [u8; 29] = [
        0xF3, 0x0F, 0x1E, 0xFA, 0x48, 0x8D, 0x3D, 0, 0, 0, 0, 0xE8, 0, 0, 0, 0, 0x81, 0xA0, 0xA4, 0x41, 0, 0, 0x7F,
        0xFF, 0xFF, 0xFF, 0x31, 0xC0, 0xC3,
    ];

    #[test]
    fn the_flags_are_found_where_the_function_writes() {
        assert_eq!(flags_offset(&CLEARS_A_FLAG), Some(0x41A4));
    }

    #[test]
    fn a_function_that_does_anything_else_is_refused() {
        for (at, byte) in [(0, 0x90), (17, 0xA1), (17, 0x88), (22, 0xFF), (28, 0x90)] {
            let mut code = CLEARS_A_FLAG;
            code[at] = byte;
            assert_eq!(flags_offset(&code), None, "byte {at}");
        }
        let short = [0xF3, 0x0F, 0x1E, 0xFA, 0x81, 0xA0, 0xA4, 0x41, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF, 0xC3];
        assert_eq!(flags_offset(&short), None, "no room for a jump");
    }

    #[test]
    fn a_jump_names_its_target() {
        assert_eq!(jump(0x1122_3344_5566_7788)[2..10], [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
    }

    #[test]
    fn without_qemu_the_mode_is_refused() {
        assert!(Qemu::find().is_err());
        assert!(!is_in_qemu(CLEARS_A_FLAG.as_ptr().cast()));
    }
}
