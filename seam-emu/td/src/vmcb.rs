//! The virtual machine control block. Source of all offsets: APM appendix B, tables B-1 (control area) and B-2 (state-save
//! area, which begins at 0x400).

/// Bytes of a VMCB: one page.
pub const SIZE: usize = 4096;

/// A VMCB's bytes, as VMRUN reads and #VMEXIT writes them.
#[derive(Debug)]
pub struct Vmcb<'a>(&'a mut [u8; SIZE]);

/// A field: where it is and how wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<T> {
    offset: usize,
    width: std::marker::PhantomData<T>,
}

impl<T> Field<T> {
    const fn at(offset: usize) -> Self {
        Self { offset, width: std::marker::PhantomData }
    }
}

/// An unsigned number of fixed width, stored with its lowest byte first.
pub trait Word: Copy {
    /// From its bytes at the head of `bytes`.
    fn load(bytes: &[u8]) -> Self;
    /// To the head of `bytes`.
    fn store(self, bytes: &mut [u8]);
}

macro_rules! word {
    ($($word:ty),*) => {$(
        impl Word for $word {
            fn load(bytes: &[u8]) -> Self {
                let (head, _) = bytes.split_first_chunk().expect("a field lies in its page");
                Self::from_le_bytes(*head)
            }
            fn store(self, bytes: &mut [u8]) {
                bytes[..size_of::<Self>()].copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
word!(u8, u16, u32, u64);

/// Intercepts of exceptions, one bit for each vector.
pub const EXCEPTION_INTERCEPTS: Field<u32> = Field::at(0x008);
/// Intercepts of words 3 (low half) and 4 of the vector: see [`intercept`].
pub const INSTRUCTION_INTERCEPTS: Field<u64> = Field::at(0x00C);
/// Physical address of the I/O permission map.
pub const IOPM: Field<u64> = Field::at(0x040);
/// Physical address of the MSR permission map.
pub const MSRPM: Field<u64> = Field::at(0x048);
/// Added to the TSC that the guest reads.
pub const TSC_OFFSET: Field<u64> = Field::at(0x050);
/// Address space identifier, not 0.
pub const ASID: Field<u32> = Field::at(0x058);
/// `V_TPR`, `V_IRQ`, `V_INTR_PRIO`, `V_INTR_MASKING` and the like.
pub const VIRTUAL_INTERRUPT: Field<u32> = Field::at(0x060);
/// Vector of the virtual interrupt.
pub const VIRTUAL_INTERRUPT_VECTOR: Field<u32> = Field::at(0x064);
/// Bit 0: the guest is in an interrupt shadow.
pub const INTERRUPT_SHADOW: Field<u64> = Field::at(0x068);
/// Why the guest left.
pub const EXIT_CODE: Field<u64> = Field::at(0x070);
/// Details of the exit.
pub const EXIT_INFO_1: Field<u64> = Field::at(0x078);
/// More details of the exit.
pub const EXIT_INFO_2: Field<u64> = Field::at(0x080);
/// The event whose delivery was interrupted by the exit.
pub const EXIT_INTERRUPTION: Field<u64> = Field::at(0x088);
/// Bit 0: nested paging.
pub const NESTED_PAGING: Field<u64> = Field::at(0x090);
/// The event that VMRUN delivers to the guest.
pub const EVENT_INJECTION: Field<u64> = Field::at(0x0A8);
/// Physical address of the nested page tables' root.
pub const NESTED_CR3: Field<u64> = Field::at(0x0B0);
/// Current privilege level.
pub const CPL: Field<u8> = Field::at(0x4CB);
/// EFER.
pub const EFER: Field<u64> = Field::at(0x4D0);
/// CR4.
pub const CR4: Field<u64> = Field::at(0x548);
/// CR3.
pub const CR3: Field<u64> = Field::at(0x550);
/// CR0.
pub const CR0: Field<u64> = Field::at(0x558);
/// DR7.
pub const DR7: Field<u64> = Field::at(0x560);
/// DR6.
pub const DR6: Field<u64> = Field::at(0x568);
/// RFLAGS.
pub const RFLAGS: Field<u64> = Field::at(0x570);
/// RIP.
pub const RIP: Field<u64> = Field::at(0x578);
/// RSP.
pub const RSP: Field<u64> = Field::at(0x5D8);
/// RAX.
pub const RAX: Field<u64> = Field::at(0x5F8);
/// CR2.
pub const CR2: Field<u64> = Field::at(0x640);
/// The guest's PAT, which nested paging uses.
pub const PAT: Field<u64> = Field::at(0x668);

/// Bits of [`INSTRUCTION_INTERCEPTS`] (APM table B-1, offsets 0Ch and 10h).
pub mod intercept {
    #![expect(missing_docs, reason = "the names are the manual's own")]
    pub const INTR: u64 = 1 << 0;
    pub const NMI: u64 = 1 << 1;
    pub const SMI: u64 = 1 << 2;
    pub const INIT: u64 = 1 << 3;
    pub const RDPMC: u64 = 1 << 15;
    pub const CPUID: u64 = 1 << 18;
    pub const INVD: u64 = 1 << 22;
    pub const HLT: u64 = 1 << 24;
    pub const INVLPGA: u64 = 1 << 26;
    pub const IOIO: u64 = 1 << 27;
    pub const MSR: u64 = 1 << 28;
    pub const SHUTDOWN: u64 = 1 << 31;
    pub const VMRUN: u64 = 1 << 32;
    pub const VMMCALL: u64 = 1 << 33;
    pub const VMLOAD: u64 = 1 << 34;
    pub const VMSAVE: u64 = 1 << 35;
    pub const STGI: u64 = 1 << 36;
    pub const CLGI: u64 = 1 << 37;
    pub const SKINIT: u64 = 1 << 38;
    pub const WBINVD: u64 = 1 << 41;
    pub const MONITOR: u64 = 1 << 42;
    pub const MWAIT: u64 = 1 << 43;
    pub const XSETBV: u64 = 1 << 45;
}

/// The segment registers and tables of the state-save area, each 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the architecture's own")]
pub enum SegmentName {
    Es = 0x400,
    Cs = 0x410,
    Ss = 0x420,
    Ds = 0x430,
    Fs = 0x440,
    Gs = 0x450,
    Gdtr = 0x460,
    Ldtr = 0x470,
    Idtr = 0x480,
    Tr = 0x490,
}

/// A segment register with its hidden part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Selector.
    pub selector: u16,
    /// Bits 55:52 and 47:40 of the descriptor, in bits 11:0 (APM 15.5.1).
    pub attributes: u16,
    /// Limit in bytes, granularity applied.
    pub limit: u32,
    /// Linear address.
    pub base: u64,
}

impl Segment {
    /// Attribute L: 64-bit code.
    pub const LONG: u16 = 1 << 9;
}

impl<'a> Vmcb<'a> {
    /// A view of the page.
    pub fn new(page: &'a mut [u8; SIZE]) -> Self {
        Self(page)
    }

    /// A field's value.
    pub fn get<T: Word>(&self, field: Field<T>) -> T {
        T::load(&self.0[field.offset..])
    }

    /// Sets a field.
    pub fn set<T: Word>(&mut self, field: Field<T>, value: T) {
        value.store(&mut self.0[field.offset..]);
    }

    /// All bytes zero.
    pub fn clear(&mut self) {
        self.0.fill(0);
    }

    /// A segment register or table.
    pub fn segment(&self, name: SegmentName) -> Segment {
        let at = &self.0[name as usize..];
        let (selector, attributes) = (u16::load(at), u16::load(&at[2..]));
        Segment { selector, attributes, limit: u32::load(&at[4..]), base: u64::load(&at[8..]) }
    }

    /// Sets a segment register or table.
    pub fn set_segment(&mut self, name: SegmentName, segment: Segment) {
        let at = &mut self.0[name as usize..];
        segment.selector.store(at);
        segment.attributes.store(&mut at[2..]);
        segment.limit.store(&mut at[4..]);
        segment.base.store(&mut at[8..]);
    }

    /// Whether the guest executes 64-bit code.
    pub fn is_in_64_bit_mode(&self) -> bool {
        const LMA: u64 = 1 << 10;
        self.get(EFER) & LMA != 0 && self.segment(SegmentName::Cs).attributes & Segment::LONG != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each field with its offset, typed anew from the manual's tables.
    #[test]
    fn fields_lie_where_the_manual_has_them() {
        let wide = [
            (INSTRUCTION_INTERCEPTS, 0x0C),
            (IOPM, 0x40),
            (MSRPM, 0x48),
            (TSC_OFFSET, 0x50),
            (INTERRUPT_SHADOW, 0x68),
            (EXIT_CODE, 0x70),
            (EXIT_INFO_1, 0x78),
            (EXIT_INFO_2, 0x80),
            (EXIT_INTERRUPTION, 0x88),
            (NESTED_PAGING, 0x90),
            (EVENT_INJECTION, 0xA8),
            (NESTED_CR3, 0xB0),
            (EFER, 0x400 + 0x0D0),
            (CR4, 0x400 + 0x148),
            (CR3, 0x400 + 0x150),
            (CR0, 0x400 + 0x158),
            (DR7, 0x400 + 0x160),
            (DR6, 0x400 + 0x168),
            (RFLAGS, 0x400 + 0x170),
            (RIP, 0x400 + 0x178),
            (RSP, 0x400 + 0x1D8),
            (RAX, 0x400 + 0x1F8),
            (CR2, 0x400 + 0x240),
            (PAT, 0x400 + 0x268),
        ];
        for (field, offset) in wide {
            let mut page = [0; SIZE];
            Vmcb::new(&mut page).set(field, 0x1122_3344_5566_7788);
            let mut wanted = [0; SIZE];
            wanted[offset..offset + 8].copy_from_slice(&[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
            assert_eq!(page, wanted, "{offset:#x}");
            assert_eq!(Vmcb::new(&mut page).get(field), 0x1122_3344_5566_7788);
        }
        for (field, offset) in
            [(EXCEPTION_INTERCEPTS, 0x08), (ASID, 0x58), (VIRTUAL_INTERRUPT, 0x60), (VIRTUAL_INTERRUPT_VECTOR, 0x64)]
        {
            let mut page = [0; SIZE];
            Vmcb::new(&mut page).set(field, 0xA1B2_C3D4);
            assert_eq!((page[offset], page[offset + 3], page[offset + 4]), (0xD4, 0xA1, 0));
        }
        let mut page = [0; SIZE];
        Vmcb::new(&mut page).set(CPL, 3);
        assert_eq!(page[0x4CB], 3);
    }

    #[test]
    fn segments_have_four_parts() {
        let mut page = [0; SIZE];
        let segment = Segment { selector: 0x10, attributes: 0xA9B, limit: 0xFFFF_FFFF, base: 0xFFFF_0000 };
        Vmcb::new(&mut page).set_segment(SegmentName::Tr, segment);
        assert_eq!(page[0x490..0x498], [0x10, 0, 0x9B, 0x0A, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(page[0x498..0x4A0], [0, 0, 0xFF, 0xFF, 0, 0, 0, 0]);
        assert_eq!(Vmcb::new(&mut page).segment(SegmentName::Tr), segment);
    }

    #[test]
    fn sixty_four_bit_mode_takes_a_long_code_segment_and_an_active_long_mode() {
        let mut page = [0; SIZE];
        let mut vmcb = Vmcb::new(&mut page);
        vmcb.set_segment(SegmentName::Cs, Segment { attributes: 0xA9B, ..Segment::default() });
        assert!(!vmcb.is_in_64_bit_mode());
        vmcb.set(EFER, 0x500);
        assert!(vmcb.is_in_64_bit_mode());
        vmcb.set_segment(SegmentName::Cs, Segment { attributes: 0xC9B, ..Segment::default() });
        assert!(!vmcb.is_in_64_bit_mode());
    }
}
