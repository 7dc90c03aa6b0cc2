//! The part of a vCPU's local APIC that the processor virtualises without the VMM: requests, what is in service, priorities, EOI
//! and self-IPI, in x2APIC mode. Sources: SDM volume 3, 12.8 (priorities) and 31.1 to 31.2 (virtual-interrupt delivery); TDX
//! module `msr_config_lookup.c` for which registers these are.
//!
//! TCG's SVM delivers one virtual interrupt that the VMCB names, when the guest's IF lets it. So the highest request is *offered*
//! at each entry, and at each exit it is looked at whether the guest took it.

use crate::event::{Event, Kind};
use crate::vmcb::{self, Vmcb};

/// Bits of [`vmcb::VIRTUAL_INTERRUPT`] (APM 15.21.4): `V_IRQ`; `V_INTR_PRIO`, the highest; `V_IGN_TPR`, since priorities are
/// reckoned here; `V_INTR_MASKING`: the guest's RFLAGS.IF does not mask physical interrupts.
const V_IRQ: u32 = 1 << 8;
const V_INTR_PRIO: u32 = 15 << 16;
const V_IGN_TPR: u32 = 1 << 20;
pub(crate) const V_INTR_MASKING: u32 = 1 << 24;

/// Interrupts by vector, one bit each.
pub type Vectors = [u64; 4];

/// The virtual APIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Apic {
    requested: Vectors,
    in_service: Vectors,
    /// Task priority.
    task: u8,
    /// The request that the guest may take by itself.
    offered: Option<u8>,
}

impl Apic {
    /// Requests interrupts.
    pub(crate) fn request(&mut self, vectors: Vectors) {
        for (word, more) in self.requested.iter_mut().zip(vectors) {
            *word |= more;
        }
    }

    /// Requests one.
    pub(crate) fn request_one(&mut self, vector: u8) {
        self.requested[usize::from(vector / 64)] |= 1 << (vector % 64);
    }

    /// Whether a request is above the priority of what the vCPU does (RVI\[7:4\] > PPR\[7:4\]).
    pub fn interrupt_waits(&self) -> bool {
        self.next().is_some()
    }

    /// The request that comes next; none if it must wait for what is in service.
    fn next(&self) -> Option<u8> {
        highest(&self.requested).filter(|vector| vector >> 4 > self.processor_priority() >> 4)
    }

    /// PPR.
    pub(crate) fn processor_priority(&self) -> u8 {
        let service = highest(&self.in_service).unwrap_or(0);
        if self.task >> 4 >= service >> 4 { self.task } else { service & 0xF0 }
    }

    /// TPR.
    pub(crate) fn task_priority(&self) -> u8 {
        self.task
    }

    /// Sets TPR.
    pub(crate) fn set_task_priority(&mut self, priority: u8) {
        self.task = priority;
    }

    /// The guest has served the highest interrupt.
    pub(crate) fn end_of_interrupt(&mut self) {
        if let Some(vector) = highest(&self.in_service) {
            clear(&mut self.in_service, vector);
        }
    }

    /// All of it, as words.
    pub(crate) fn words(&self) -> [u64; 10] {
        let mut words = [0; 10];
        words[..4].copy_from_slice(&self.requested);
        words[4..8].copy_from_slice(&self.in_service);
        words[8] = self.task.into();
        words[9] = self.offered.map_or(0, |vector| u64::from(vector) | 1 << 63);
        words
    }

    /// 32 bits of ISR or of IRR.
    pub(crate) fn register(&self, requested: bool, index: u32) -> u64 {
        let all = if requested { &self.requested } else { &self.in_service };
        all[index as usize / 2] >> (index % 2 * 32) & 0xFFFF_FFFF
    }

    /// After an exit: what the guest took meanwhile is in service. An interrupt whose delivery the exit interrupted was taken, too;
    /// it comes again as an event of its own (QEMU leaves `V_IRQ` set there).
    pub(crate) fn after_exit(&mut self, vmcb: &mut Vmcb<'_>) {
        let control: u32 = vmcb.get(vmcb::VIRTUAL_INTERRUPT);
        let Some(vector) = self.offered else { return };
        let interrupted = Event::decode(vmcb.get(vmcb::EXIT_INTERRUPTION));
        let under_way = interrupted.is_some_and(|event| event.kind == Kind::External && event.vector == vector);
        if control & V_IRQ == 0 || under_way {
            clear(&mut self.requested, vector);
            self.in_service[usize::from(vector / 64)] |= 1 << (vector % 64);
            self.offered = None;
            vmcb.set(vmcb::VIRTUAL_INTERRUPT, V_INTR_MASKING);
        }
    }

    /// Before an entry: offers the request that comes next.
    pub(crate) fn offer(&mut self, vmcb: &mut Vmcb<'_>) {
        self.offered = self.next();
        let control = if self.offered.is_some() { V_IRQ | V_INTR_PRIO | V_IGN_TPR } else { 0 };
        vmcb.set(vmcb::VIRTUAL_INTERRUPT, V_INTR_MASKING | control);
        vmcb.set(vmcb::VIRTUAL_INTERRUPT_VECTOR, u32::from(self.offered.unwrap_or(0)));
    }
}

fn highest(vectors: &Vectors) -> Option<u8> {
    let word = vectors.iter().rposition(|word| *word != 0)?;
    Some(word as u8 * 64 + vectors[word].ilog2() as u8)
}

fn clear(vectors: &mut Vectors, vector: u8) {
    vectors[usize::from(vector / 64)] &= !(1 << (vector % 64));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmcb::SIZE;

    /// A guest that takes what it is offered.
    fn take(apic: &mut Apic, page: &mut [u8; SIZE]) -> u32 {
        let mut vmcb = Vmcb::new(page);
        apic.offer(&mut vmcb);
        assert_ne!(vmcb.get(vmcb::VIRTUAL_INTERRUPT) & V_IRQ, 0, "something is offered");
        vmcb.set(vmcb::VIRTUAL_INTERRUPT, V_INTR_MASKING);
        apic.after_exit(&mut vmcb);
        vmcb.get(vmcb::VIRTUAL_INTERRUPT_VECTOR)
    }

    fn offered(apic: &mut Apic, page: &mut [u8; SIZE]) -> bool {
        let mut vmcb = Vmcb::new(page);
        apic.offer(&mut vmcb);
        vmcb.get(vmcb::VIRTUAL_INTERRUPT) & V_IRQ != 0
    }

    #[test]
    fn the_highest_comes_first_and_the_next_class_after_its_end() {
        let (mut apic, mut page) = (Apic::default(), [0; SIZE]);
        apic.request([0, 1 << 1 | 1 << 8, 0, 1 << 44]);
        assert_eq!(take(&mut apic, &mut page), 0xEC);
        assert!(!offered(&mut apic, &mut page) && !apic.interrupt_waits(), "0x48 is of a lower class");
        apic.end_of_interrupt();
        assert_eq!(take(&mut apic, &mut page), 0x48);
        assert!(!offered(&mut apic, &mut page), "0x41 is of the same class");
        apic.end_of_interrupt();
        assert_eq!(take(&mut apic, &mut page), 0x41);
        apic.end_of_interrupt();
        assert!(!offered(&mut apic, &mut page));
        assert_eq!(apic, Apic::default());
    }

    #[test]
    fn a_higher_class_interrupts_what_is_in_service() {
        let (mut apic, mut page) = (Apic::default(), [0; SIZE]);
        apic.request_one(0x40);
        assert_eq!(take(&mut apic, &mut page), 0x40);
        assert_eq!(apic.processor_priority(), 0x40);
        apic.request_one(0x50);
        assert!(apic.interrupt_waits());
        assert_eq!(take(&mut apic, &mut page), 0x50);
        apic.end_of_interrupt();
        assert_eq!(apic.processor_priority(), 0x40, "the first is still in service");
    }

    #[test]
    fn the_task_priority_holds_interrupts_back() {
        let (mut apic, mut page) = (Apic::default(), [0; SIZE]);
        apic.set_task_priority(0x4F);
        assert_eq!(apic.processor_priority(), 0x4F);
        apic.request_one(0x4F);
        assert!(!offered(&mut apic, &mut page));
        apic.set_task_priority(0x3F);
        assert!(offered(&mut apic, &mut page));
    }

    #[test]
    fn what_was_not_taken_stays_requested() {
        let (mut apic, mut page) = (Apic::default(), [0; SIZE]);
        apic.request_one(0x40);
        assert!(offered(&mut apic, &mut page));
        apic.after_exit(&mut Vmcb::new(&mut page));
        assert_eq!((apic.register(true, 2), apic.register(false, 2)), (1, 0));
        assert_eq!(take(&mut apic, &mut page), 0x40);
        assert_eq!((apic.register(true, 2), apic.register(false, 2)), (0, 1));
    }

    #[test]
    fn an_interrupt_whose_delivery_was_interrupted_is_not_offered_again() {
        let (mut apic, mut page) = (Apic::default(), [0; SIZE]);
        apic.request_one(0x40);
        assert!(offered(&mut apic, &mut page));
        let mut vmcb = Vmcb::new(&mut page);
        vmcb.set(vmcb::EXIT_INTERRUPTION, Event { vector: 0x40, kind: Kind::External, error: None }.encode());
        apic.after_exit(&mut vmcb);
        assert_eq!(vmcb.get(vmcb::VIRTUAL_INTERRUPT), V_INTR_MASKING);
        assert_eq!((apic.register(true, 2), apic.register(false, 2)), (0, 1));
    }
}
