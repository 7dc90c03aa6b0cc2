//! Building a TD.

use crate::abi::{self, Capabilities, Command, Cpuid, InitMemRegion, InitVm, MAP_GPA_RANGE, MAX_CPUID, TDX_VM};
use crate::cpus;
use crate::error::MonitorError;
use crate::memory::Memory;
use kvm_bindings::{CpuId, kvm_cpuid_entry2, kvm_enable_cap};
use kvm_ioctls::{Cap, Kvm, VcpuFd, VmFd};
use rig_wire::td::{RESET_PAGE, TdPage, TdPlan};

/// Capability that lets KVM keep the local APICs only; TDs need it.
const SPLIT_IRQCHIP: u32 = 121;
/// Interrupt lines that an IOAPIC in user space would have.
const IOAPIC_LINES: u64 = 24;
/// The capability by which KVM passes hypercalls to the VMM.
const EXIT_HYPERCALL: u32 = 201;
/// CPUID leaf with the widths of addresses: EAX\[7:0\] physical, \[23:16\] guest-physical.
const ADDRESS_WIDTHS: u32 = 0x8000_0008;
/// Guest-physical addresses of the TDs, bits: four levels of tables.
const GUEST_BITS: u32 = 48;
/// CPUID leaf 1: EAX is family, model and stepping, EBX\[31:24\] the initial APIC id.
const FEATURES: u32 = 1;
/// CPUID leaves whose EDX is the x2APIC id.
const TOPOLOGY: [u32; 2] = [0xB, 0x1F];

/// KVM on this machine, and what it and the TDX module offer.
#[derive(Debug)]
pub struct Host {
    kvm: Kvm,
    supported: Vec<kvm_cpuid_entry2>,
}

/// How far a TD has come; the life of one that is given up ends behind one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// KVM has a VM, the TDX module knows nothing of it.
    Created,
    /// It has a KeyID, keys and its control structure.
    Initialized,
    /// It has some of its vCPUs.
    SomeVcpus,
    /// It has all vCPUs and some of its memory.
    SomePages,
    /// Its measurement is complete, it never ran.
    Finalized,
    /// Its vCPUs run.
    Running,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Initialized, Self::SomeVcpus, Self::SomePages, Self::Finalized, Self::Running];
}

/// A TD. Dropping it destroys it: the fields go in this order, and with the last file descriptor KVM tears it down.
#[derive(Debug)]
pub struct Td {
    pub(crate) vcpus: Vec<VcpuFd>,
    pub(crate) vm: VmFd,
    pub(crate) memory: Memory,
}

impl Host {
    /// Opens `/dev/kvm`.
    pub fn open() -> Result<Self, MonitorError> {
        let kvm = Kvm::new().map_err(MonitorError::refused("open /dev/kvm"))?;
        let supported = kvm.get_supported_cpuid(MAX_CPUID).map_err(MonitorError::refused("KVM_GET_SUPPORTED_CPUID"))?;
        Ok(Self { kvm, supported: supported.as_slice().to_vec() })
    }

    /// Builds a TD, ready to run. With a stage, it is given up (and destroyed) when it has come that far.
    pub fn build(&self, plan: &TdPlan, give_up_at: Option<Stage>) -> Result<Td, MonitorError> {
        let reached = |stage| if give_up_at == Some(stage) { Err(MonitorError::GivenUp) } else { Ok(()) };
        let vm = self.create()?;
        reached(Stage::Created)?;
        self.initialize(&vm)?;
        reached(Stage::Initialized)?;
        let has_reset_page = plan.pages.iter().any(|page| page.gpa == RESET_PAGE);
        let memory = Memory::new(&vm, plan.memory_pages, has_reset_page)?;
        let mut td = Td { vcpus: Vec::new(), vm, memory };
        for (index, vcpu) in plan.vcpus.iter().enumerate() {
            td.vcpus.push(self.vcpu(&td.vm, index as u32, vcpu.entry)?);
            reached(Stage::SomeVcpus)?;
        }
        for page in &plan.pages {
            td.add(page)?;
            reached(Stage::SomePages)?;
        }
        abi::vm_command::<u64>(&td.vm, Command::FinalizeVm, None)?;
        reached(Stage::Finalized)?;
        Ok(td)
    }

    fn create(&self) -> Result<VmFd, MonitorError> {
        let vm = self.kvm.create_vm_with_type(TDX_VM).map_err(MonitorError::refused("KVM_CREATE_VM of a TD"))?;
        for (cap, argument) in [(SPLIT_IRQCHIP, IOAPIC_LINES), (EXIT_HYPERCALL, 1 << MAP_GPA_RANGE)] {
            let cap = kvm_enable_cap { cap, args: [argument, 0, 0, 0], ..Default::default() };
            vm.enable_cap(&cap).map_err(MonitorError::refused("KVM_ENABLE_CAP"))?;
        }
        Ok(vm)
    }

    /// Gives the TD all features that KVM, the module and the CPU offer together.
    fn initialize(&self, vm: &VmFd) -> Result<(), MonitorError> {
        let mut offered = Capabilities::empty();
        abi::vm_command(vm, Command::Capabilities, Some(offered.as_mut()))?;
        let mut chosen: Vec<_> = offered.cpuid.used().iter().filter_map(|bits| self.choose(bits)).collect();
        if let Some(widths) = chosen.iter_mut().find(|entry| entry.function == ADDRESS_WIDTHS) {
            widths.eax = widths.eax & !0xFF_0000 | GUEST_BITS << 16;
        }
        // 0 is the processor's own family, model and stepping; the module takes no other for a TD that stays here.
        if let Some(features) = chosen.iter_mut().find(|entry| entry.function == FEATURES) {
            features.eax = 0;
        }
        let mut init = InitVm::new(offered.attributes, offered.xfam, Cpuid::new(&chosen));
        abi::vm_command(vm, Command::InitVm, Some(init.as_mut()))
    }

    /// What KVM supports of the bits that can be configured; none if it does not know the leaf.
    fn choose(&self, bits: &kvm_cpuid_entry2) -> Option<kvm_cpuid_entry2> {
        let same = |entry: &&kvm_cpuid_entry2| (entry.function, entry.index) == (bits.function, bits.index);
        let known = self.supported.iter().find(same)?;
        Some(kvm_cpuid_entry2 {
            eax: known.eax & bits.eax,
            ebx: known.ebx & bits.ebx,
            ecx: known.ecx & bits.ecx,
            edx: known.edx & bits.edx,
            ..*known
        })
    }

    fn vcpu(&self, vm: &VmFd, id: u32, entry: u64) -> Result<VcpuFd, MonitorError> {
        let vcpu = vm.create_vcpu(id.into()).map_err(MonitorError::refused("KVM_CREATE_VCPU"))?;
        let entries: Vec<_> = self.supported.iter().map(|entry| for_vcpu(*entry, id)).collect();
        let cpuid = CpuId::from_entries(&entries).map_err(|_| MonitorError::plan("too many CPUID entries"))?;
        vcpu.set_cpuid2(&cpuid).map_err(MonitorError::refused("KVM_SET_CPUID2"))?;
        // Linux 7.3 loses a vCPU whose thread moves to another CPU within this call (docs/findings.md).
        cpus::on_first(|| abi::init_vcpu(&vcpu, entry))?;
        Ok(vcpu)
    }

    /// How many vCPUs of a VM KVM supports.
    pub fn max_vcpus(&self) -> usize {
        self.kvm.check_extension_int(Cap::MaxVcpus).try_into().unwrap_or(0)
    }
}

/// What KVM believes of a vCPU's CPUID where it emulates for the TD: addresses wide enough for the shared bit.
fn for_vcpu(mut entry: kvm_cpuid_entry2, id: u32) -> kvm_cpuid_entry2 {
    match entry.function {
        FEATURES => entry.ebx = entry.ebx & 0x00FF_FFFF | id << 24,
        function if TOPOLOGY.contains(&function) => entry.edx = id,
        ADDRESS_WIDTHS => entry.eax = entry.eax & !0xFF | GUEST_BITS,
        _ => {}
    }
    entry
}

impl Td {
    /// Adds a page of initial memory and measures it.
    fn add(&self, page: &TdPage) -> Result<(), MonitorError> {
        let first = self.vcpus.first().ok_or_else(|| MonitorError::plan("no vCPU"))?;
        let source = PageBuffer::copy_of(&page.bytes)?;
        if !self.memory.has_page(page.gpa) {
            return Err(MonitorError::plan(format_args!("a page at {:#x}", page.gpa)));
        }
        let mut region = InitMemRegion { source: source.0.as_ptr() as u64, gpa: page.gpa, pages: 1 };
        abi::vcpu_command(first, Command::InitMemRegion, abi::MEASURE, &mut region)
    }
}

/// A page-aligned copy of a page.
#[repr(C, align(4096))]
struct PageBuffer([u8; 4096]);

impl PageBuffer {
    fn copy_of(bytes: &[u8]) -> Result<Box<Self>, MonitorError> {
        let bytes = bytes.try_into().map_err(|_| MonitorError::plan("a page that has not 4096 bytes"))?;
        Ok(Box::new(Self(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vcpus_cpuid_has_its_id_and_room_for_the_shared_bit() {
        let entry = |function, eax| kvm_cpuid_entry2 { function, eax, ..Default::default() };
        assert_eq!(for_vcpu(entry(1, 0), 5).ebx, 5 << 24);
        assert_eq!(for_vcpu(entry(0xB, 0), 5).edx, 5);
        assert_eq!(for_vcpu(entry(ADDRESS_WIDTHS, 0x3028), 5).eax, 0x3030);
        assert_eq!(for_vcpu(entry(7, 9), 5), entry(7, 9));
    }

    #[test]
    fn pages_cannot_have_another_size() {
        assert!(PageBuffer::copy_of(&[0; 4095]).is_err());
        let page = PageBuffer::copy_of(&[1; 4096]).unwrap();
        assert!(page.0.as_ptr().addr().is_multiple_of(4096));
    }
}
