//! The TDX module, as a VMM brings it up and builds a trust domain on it. Leaves, fields and structures: Intel TDX Module ABI.

use crate::boot::{image_end, image_start, td_start};
use crate::call::{self, RAX, RCX, RDX, Registers};
use crate::cpu::write;

mod leaf {
    pub const MNG_ADDCX: u64 = 1;
    pub const PAGE_ADD: u64 = 2;
    pub const SEPT_ADD: u64 = 3;
    pub const VP_ADDCX: u64 = 4;
    pub const PAGE_AUG: u64 = 6;
    pub const RANGE_BLOCK: u64 = 7;
    pub const MNG_KEY_CONFIG: u64 = 8;
    pub const MNG_CREATE: u64 = 9;
    pub const VP_CREATE: u64 = 10;
    pub const MR_FINALIZE: u64 = 17;
    pub const MNG_INIT: u64 = 21;
    pub const VP_INIT: u64 = 22;
    pub const PAGE_REMOVE: u64 = 29;
    pub const KEY_CONFIG: u64 = 31;
    pub const SYS_INIT: u64 = 33;
    pub const SYS_RD: u64 = 34;
    pub const LP_INIT: u64 = 35;
    pub const TDMR_INIT: u64 = 36;
    pub const MEM_TRACK: u64 = 38;
    pub const RANGE_UNBLOCK: u64 = 39;
    pub const VP_WR: u64 = 43;
    pub const SYS_CONFIG: u64 = 45;
}

const TDCS_BYTES: u64 = 0x9800_0001_0000_0100;
const TDVPS_BYTES: u64 = 0x9800_0001_0000_0200;
/// TD VMCS field.
const SHARED_EPT_POINTER: u64 = 0x203C;
/// `PEND_NMI` of the vCPU's management fields.
const PEND_NMI: u64 = 0x2000_0000_0000_000B;
/// First TDX KeyID of the platform that the test configures.
const GLOBAL_KEYID: u64 = 32;

/// Where the VMM keeps operands, and takes a TD's pages from.
const SCRATCH: u64 = 0x40_0000;
const PAMT: u64 = 0x1000_0000;
const PAMT_4K_BYTES: u64 = 4 << 20;
const POOL: u64 = 0x800_0000;
const POOL_OF_TD: u64 = 4 << 20;
/// The machine's memory.
const MEMORY: u64 = 512 << 20;
const GIB: u64 = 1 << 30;

/// Pages of a TD for tests, in its first 2 MB, and the page that it begins in.
pub const TEST_PAGES: u64 = 0x1C_0000;
pub const TEST_PAGE_COUNT: u64 = 4;
const RESET_PAGE: u64 = 0xFFFF_F000;
/// A TD's shared page, by guest-physical address.
pub const SHARED: u64 = 1 << 47;

/// Calls with RCX, RDX, R8 and R9; registers afterwards.
pub fn call(leaf: u64, operands: [u64; 4]) -> Registers {
    let mut registers = [0; 16];
    registers[RAX] = leaf;
    (registers[RCX], registers[RDX], registers[8], registers[9]) = operands.into();
    if !call::to_module(&mut registers) {
        panic!("SEAMCALL {leaf}: VMfailInvalid");
    }
    registers
}

/// A call that must succeed.
fn ok(leaf: u64, operands: [u64; 4]) -> Registers {
    let registers = call(leaf, operands);
    assert!(registers[RAX] == 0, "SEAMCALL {leaf} {operands:x?}: {:#x}", registers[RAX]);
    registers
}

/// On the first processor.
pub fn begin() {
    ok(leaf::SYS_INIT, [0; 4]);
}

/// On each processor.
pub fn begin_processor() {
    ok(leaf::LP_INIT, [0; 4]);
}

/// When all processors have begun: one TDMR of 1 GB, in which all is reserved that is no memory.
pub fn configure() {
    let (array, info) = (SCRATCH, SCRATCH + 0x1000);
    write(array, info);
    let reserved = [(0, 1 << 20), (PAMT, PAMT_4K_BYTES + 0x3000), (MEMORY, GIB - MEMORY)];
    let pamts = [PAMT + PAMT_4K_BYTES + 0x2000, 4096, PAMT + PAMT_4K_BYTES, 8192, PAMT, PAMT_4K_BYTES];
    let words = [0, GIB].into_iter().chain(pamts).chain(reserved.into_iter().flat_map(|(at, size)| [at, size]));
    words.enumerate().for_each(|(i, value)| write(info + i as u64 * 8, value));
    ok(leaf::SYS_CONFIG, [array, 1, GLOBAL_KEYID, 0]);
    ok(leaf::KEY_CONFIG, [0; 4]);
    while ok(leaf::TDMR_INIT, [0; 4])[RDX] < GIB {}
}

fn pages_of(field: u64) -> u64 {
    ok(leaf::SYS_RD, [0, field, 0, 0])[8] / 4096
}

/// A trust domain with one vCPU, whose memory is a copy of this program.
#[derive(Clone, Copy, Debug)]
pub struct Td {
    pub tdr: u64,
    pub tdvpr: u64,
    next: u64,
    /// The VMM's page that it shares, and one to share in its place.
    pub shared: u64,
    pub other: u64,
    ept: u64,
}

impl Td {
    fn page(&mut self) -> u64 {
        self.next += 4096;
        self.next - 4096
    }

    /// Builds the `n`th, on this processor.
    pub fn build(n: u64) -> Self {
        let tdr = POOL + n * POOL_OF_TD;
        let mut td = Self { tdr, tdvpr: 0, next: tdr, shared: 0, other: 0, ept: 0 };
        td.page();
        ok(leaf::MNG_CREATE, [tdr, GLOBAL_KEYID + 1 + n, 0, 0]);
        ok(leaf::MNG_KEY_CONFIG, [tdr, 0, 0, 0]);
        for _ in 0..pages_of(TDCS_BYTES) {
            ok(leaf::MNG_ADDCX, [td.page(), tdr, 0, 0]);
        }
        ok(leaf::MNG_INIT, [tdr, parameters(), 0, 0]);
        td.tdvpr = td.page();
        ok(leaf::VP_CREATE, [td.tdvpr, tdr, 0, 0]);
        for _ in 1..pages_of(TDVPS_BYTES) {
            ok(leaf::VP_ADDCX, [td.page(), td.tdvpr, 0, 0]);
        }
        ok(leaf::VP_INIT, [td.tdvpr, 0xABCD, 0, 0]);
        for entry in [3, 2, 0xC000_0002, 1, RESET_PAGE & !0x1F_FFFF | 1] {
            ok(leaf::SEPT_ADD, [entry, tdr, td.page(), 0]);
        }
        td.load();
        ok(leaf::MR_FINALIZE, [tdr, 0, 0, 0]);
        td.share();
        td
    }

    fn load(&mut self) {
        let (start, end) = ((&raw const image_start) as u64, (&raw const image_end) as u64);
        assert!(end <= TEST_PAGES);
        for page in (start..end).step_by(4096) {
            ok(leaf::PAGE_ADD, [page, self.tdr, self.page(), page]);
        }
        for n in 0..TEST_PAGE_COUNT {
            write(SCRATCH, 0x7E57_0000 + n);
            ok(leaf::PAGE_ADD, [TEST_PAGES + n * 4096, self.tdr, self.page(), SCRATCH]);
        }
        // `movl $td_start, %eax; jmp *%eax` at 0xFFFFFFF0.
        let start = (&raw const td_start) as u64;
        write(SCRATCH + 0xFF0, 0xB8 | start << 8 | 0xFF << 40 | 0xE0 << 48);
        ok(leaf::PAGE_ADD, [RESET_PAGE, self.tdr, self.page(), SCRATCH]);
        write(SCRATCH + 0xFF0, 0);
    }

    /// The VMM's tables for the shared page: four of them.
    fn share(&mut self) {
        (self.shared, self.other) = (self.page(), self.page());
        self.ept = self.next;
        self.next += 4 * 4096;
        for at in (self.shared..self.next).step_by(8) {
            write(at, 0);
        }
        write(self.ept + 256 * 8, self.ept + 0x1000 | 0b111);
        write(self.ept + 0x1000, self.ept + 0x2000 | 0b111);
        write(self.ept + 0x2000, self.ept + 0x3000 | 0b111);
        self.map_shared(self.shared, true);
        ok(leaf::VP_WR, [self.tdvpr, SHARED_EPT_POINTER, self.ept, u64::MAX]);
    }

    /// Maps another page as shared, and says so to the processor (INVEPT of all).
    pub fn map_shared(&self, page: u64, writable: bool) {
        let descriptor = [0_u64; 2];
        // Memory type write-back, as EPT entries have it.
        write(self.ept + 0x3000, page | 6 << 3 | if writable { 0b011 } else { 0b001 });
        // SAFETY: in VMX operation, with a descriptor that lives meanwhile.
        unsafe { core::arch::asm!("invept rax, [rcx]", "jbe 2f", "2:", in("rax") 2_u64, in("rcx") &descriptor) };
    }

    pub fn block(&self, gpa: u64) {
        ok(leaf::RANGE_BLOCK, [gpa, self.tdr, 0, 0]);
        ok(leaf::MEM_TRACK, [self.tdr, 0, 0, 0]);
    }

    pub fn unblock(&self, gpa: u64) {
        ok(leaf::RANGE_UNBLOCK, [gpa, self.tdr, 0, 0]);
    }

    pub fn remove(&self, gpa: u64) {
        ok(leaf::PAGE_REMOVE, [gpa, self.tdr, 0, 0]);
    }

    pub fn add_pending(&mut self, gpa: u64) {
        ok(leaf::PAGE_AUG, [gpa, self.tdr, self.page(), 0]);
    }

    pub fn pend_nmi(&self) {
        ok(leaf::VP_WR, [self.tdvpr, PEND_NMI, 1, 0xFF]);
    }
}

/// `TD_PARAMS`: x87, SSE and AVX, one vCPU, a walk of four levels.
fn parameters() -> u64 {
    let at = SCRATCH + 0x2000;
    (0..128).for_each(|i| write(at + i * 8, 0));
    write(at + 8, 7);
    write(at + 16, 1);
    write(at + 24, 6 | 3 << 3);
    write(at + 32, 0b100);
    write(at + 40, 100);
    at
}
