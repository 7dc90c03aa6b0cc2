//! Page tables, segments and exception handlers.

use super::layout::{
    EXCEPTION_STACK_SIZE, EXCEPTION_STACKS, GDT, HANDLER_SIZE, HANDLERS, IDT, RAISED, RETURN, RETURNED, TABLES, TSS,
    TSS_STRIDE,
};
use kvm_bindings::{kvm_segment, kvm_sregs};
use seam_emu::GuestMemory;
use seam_kvm::Ram;

/// Present, writable, user.
const TABLE: u64 = 7;
/// That, and a page of 2 MiB.
const LARGE_PAGE: u64 = 0x87;
/// Null, code and data of level 0, data and code of level 3.
const DESCRIPTORS: [u64; 5] =
    [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00cf_f300_0000_ffff, 0x00af_fb00_0000_ffff];

/// Fills in everything that is the same for all vCPUs.
pub(crate) fn fill(ram: &mut Ram) {
    let mut put = |pa: u64, value: u64| ram.write(pa, &value.to_le_bytes()).expect("low memory is there");
    let [top, low, high, pages] = [0, 1, 2, 3].map(|table| TABLES + table * 0x1000);
    put(top, low | TABLE);
    put(top + 511 * 8, high | TABLE);
    put(low, pages | TABLE);
    put(high + 510 * 8, pages | TABLE);
    for page in 0..512 {
        put(pages + page * 8, page << 21 | LARGE_PAGE);
    }
    for (place, descriptor) in DESCRIPTORS.iter().enumerate() {
        put(GDT + place as u64 * 8, *descriptor);
    }
    for vector in 0..256 {
        let handler = HANDLERS + vector * HANDLER_SIZE;
        // An interrupt gate to code of level 0.
        put(IDT + vector * 16, handler & 0xffff | 8 << 16 | 0x8e00 << 32 | (handler >> 16 & 0xffff) << 48);
        put(IDT + vector * 16 + 8, handler >> 32);
    }
    let mut code = |pa: u64, port: u16| ram.write(pa, &[0xe6, port as u8, 0xf4]).expect("low memory is there");
    code(RETURN, RETURNED);
    (0..256).for_each(|vector| code(HANDLERS + vector * HANDLER_SIZE, RAISED));
}

/// The vCPU's task state segment, for the stack of its exceptions.
pub(crate) fn fill_tss(ram: &mut Ram, lp: u16) {
    let top = EXCEPTION_STACKS + EXCEPTION_STACK_SIZE * (u64::from(lp) + 1);
    let place = TSS + TSS_STRIDE * u64::from(lp) + 4;
    ram.write(place, &top.to_le_bytes()).expect("low memory is there");
}

/// 64-bit mode at level 3, with this base of GS.
pub(crate) fn system_registers(sregs: &mut kvm_sregs, lp: u16, gs_base: u64) {
    let code = kvm_segment {
        limit: u32::MAX,
        selector: 0x23,
        type_: 11,
        present: 1,
        dpl: 3,
        s: 1,
        l: 1,
        g: 1,
        ..Default::default()
    };
    let data = kvm_segment { selector: 0x1b, type_: 3, l: 0, db: 1, ..code };
    let task = kvm_segment {
        base: TSS + TSS_STRIDE * u64::from(lp),
        limit: 0x67,
        selector: 0x30,
        type_: 11,
        present: 1,
        ..Default::default()
    };
    (sregs.cs, sregs.ss, sregs.ds, sregs.es, sregs.fs, sregs.tr) = (code, data, data, data, data, task);
    sregs.gs = kvm_segment { base: gs_base, ..data };
    (sregs.gdt.base, sregs.gdt.limit, sregs.idt.base, sregs.idt.limit) = (GDT, 0x3f, IDT, 0xfff);
    sregs.cr3 = TABLES;
    // PAE, OSFXSR, OSXMMEXCPT; PG, WP, NE, ET, MP, PE; NXE, LMA, LME, SCE.
    (sregs.cr4, sregs.cr0, sregs.efer) = (1 << 5 | 1 << 9 | 1 << 10, 0x8001_0033, 0xd01);
}
