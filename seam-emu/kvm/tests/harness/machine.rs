//! A virtual machine whose memory has a kernel's image, and vCPUs that stand at a function's entry.

#![allow(unsafe_code, reason = "guest memory is handed to KVM")]

use super::layout::{AREA_SIZE, AREAS, DIRECT_MAP, IMAGE_BASE, MOST_LPS, PARAMETERS, RETURN, STACK_SIZE, STACKS};
use super::{firmware, kernel, paging};
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use seam_emu::GuestMemory;
use seam_kvm::{KernelImage, KvmVcpu, Ram, RunArea, Vcpu};

/// Disabled once, by the stopper thread, and no need to reschedule (the top bit, which is inverted).
const PREEMPTION_OFF: u64 = 1 << 31 | 1;
/// IOPL 3, interrupts off, and the bit that is always set.
pub(crate) const RFLAGS: u64 = 0x3002;

/// A virtual machine.
pub(crate) struct Machine {
    kvm: Kvm,
    vm: VmFd,
    pub(crate) ram: Ram,
    lps: u16,
    /// Addresses of the kernel: `update_ctrl`, the section, and the per-CPU section.
    control: u64,
    section: u64,
    per_cpu: u64,
}

impl Machine {
    /// Memory as a kernel that has booted on `lps` CPUs and initialised TDX leaves it, as far as the section can tell.
    pub(crate) fn new(image: &KernelImage, lps: u16) -> Self {
        assert!(lps <= MOST_LPS, "there is room for {MOST_LPS} vCPUs");
        let kvm = Kvm::new().expect("/dev/kvm opens, as it did when this was built");
        let vm = kvm.create_vm().expect("KVM makes a machine");
        // Three pages that KVM on Intel wants for itself; QEMU puts them there, too.
        vm.set_tss_address(0xfffb_d000).expect("KVM_SET_TSS_ADDR");
        let ram = Ram::new((AREAS + AREA_SIZE * u64::from(lps)) as usize).expect("the host has memory");
        let region = kvm_userspace_memory_region {
            memory_size: ram.size(),
            userspace_addr: ram.host_address(),
            ..Default::default()
        };
        // SAFETY: the memory is mapped as long as `ram` and its clones live, one of which is in this value beside the
        // machine.
        unsafe { vm.set_user_memory_region(region) }.expect("KVM takes the memory");
        let [control, section, per_cpu] =
            ["update_ctrl", kernel::SECTION, "__per_cpu_start"].map(|name| kernel::address(image, name));
        let mut machine = Self { kvm, vm, ram, lps, control, section, per_cpu };
        machine.fill(image);
        machine
    }

    fn fill(&mut self, image: &KernelImage) {
        paging::fill(&mut self.ram);
        (0..self.lps).for_each(|lp| paging::fill_tss(&mut self.ram, lp));
        for segment in image.segments().iter().filter(|segment| segment.address >= IMAGE_BASE) {
            self.ram.write(segment.address - IMAGE_BASE, &segment.bytes).expect("the kernel fits below the areas");
        }
        (0..self.lps).for_each(|lp| self.fill_area(image, lp));
        let lps = u64::from(self.lps);
        for name in ["nr_cpu_ids", "__num_online_cpus"] {
            self.put(kernel::address(image, name), 4, lps);
        }
        for name in ["__cpu_online_mask", "__cpu_possible_mask"] {
            self.put(kernel::address(image, name), 8, u64::MAX >> (64 - lps));
        }
        // initialized, sysinit_done, sysinit_ret of Linux's tdx.c.
        self.put(kernel::address(image, "tdx_module_state"), 8, 0x0101);
        firmware::fill_parameters(&mut self.ram);
        self.begin_update();
    }

    /// A CPU's own copy of the per-CPU section.
    fn fill_area(&mut self, image: &KernelImage, lp: u16) {
        let (start, end) = (self.per_cpu, kernel::address(image, "__per_cpu_end"));
        assert!(end - start <= AREA_SIZE, "a CPU's area has room for {:#x} bytes", end - start);
        if let Some(bytes) = image.bytes(start, end - start) {
            self.ram.write(AREAS + AREA_SIZE * u64::from(lp), bytes).expect("the areas are there");
        }
        let base = self.gs_base(lp);
        let own = |name, size, value| self.put_own(lp, kernel::address(image, name), size, value);
        own("cpu_number", 4, lp.into());
        own("this_cpu_off", 8, base);
        own("__preempt_count", 4, PREEMPTION_OFF);
        let initialised = kernel::address(image, "tdx_lp_initialized").wrapping_add(base) - IMAGE_BASE;
        self.ram.write(initialised, &[1]).expect("the areas are there");
        self.put(kernel::address(image, "__per_cpu_offset") + 8 * u64::from(lp), 8, base);
    }

    /// A word of a CPU's own, by its address in the per-CPU section.
    pub(crate) fn put_own(&self, lp: u16, address: u64, size: u8, value: u64) {
        self.put(address.wrapping_add(self.gs_base(lp)), size, value);
    }

    /// What is added to an address of the per-CPU section.
    fn gs_base(&self, lp: u16) -> u64 {
        (IMAGE_BASE + AREAS + AREA_SIZE * u64::from(lp)).wrapping_sub(self.per_cpu)
    }

    /// `init_state()` of `seamldr.c`: state 1, nothing acknowledged, nobody failed.
    pub(crate) fn begin_update(&self) {
        for (field, value) in [1, 0, 0].into_iter().enumerate() {
            self.put(self.control + 4 * field as u64, 4, value);
        }
    }

    /// A word of `size` bytes of the kernel's image.
    pub(crate) fn put(&self, address: u64, size: u8, value: u64) {
        assert!(self.ram.store(address - IMAGE_BASE, size, value), "{address:#x} is in the kernel's image");
    }

    /// The vCPU of an LP.
    pub(crate) fn vcpu(&self, lp: u16) -> KvmVcpu<VcpuFd> {
        let vcpu = self.vm.create_vcpu(lp.into()).expect("KVM makes a vCPU");
        let cpuid = self.kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).expect("KVM_GET_SUPPORTED_CPUID");
        vcpu.set_cpuid2(&cpuid).expect("KVM takes its own CPUID");
        let mut sregs = vcpu.get_sregs().expect("KVM_GET_SREGS");
        paging::system_registers(&mut sregs, lp, self.gs_base(lp));
        vcpu.set_sregs(&sregs).expect("KVM_SET_SREGS");
        let area = self.area(&vcpu);
        KvmVcpu::new(vcpu, area)
    }

    /// A mapping of a vCPU's area.
    pub(crate) fn area(&self, vcpu: &VcpuFd) -> RunArea {
        let bytes = self.kvm.get_vcpu_mmap_size().expect("KVM_GET_VCPU_MMAP_SIZE");
        RunArea::map(vcpu, bytes).expect("the vCPU's area is mapped")
    }

    /// Lets the vCPU call the function at `address` with these arguments.
    pub(crate) fn call(&self, vcpu: &mut impl Vcpu, lp: u16, address: u64, [rdi, rsi]: [u64; 2]) {
        let top = STACKS + STACK_SIZE * (u64::from(lp) + 1) - 8;
        assert!(self.ram.store(top, 8, RETURN), "the stacks are there");
        let registers =
            kvm_regs { rip: address, rsp: IMAGE_BASE + top, rdi, rsi, rflags: RFLAGS, ..Default::default() };
        vcpu.set_registers(&registers);
    }

    /// Lets the vCPU begin with the section.
    pub(crate) fn call_section(&self, vcpu: &mut impl Vcpu, lp: u16) {
        self.call(vcpu, lp, self.section, [DIRECT_MAP + PARAMETERS, 0]);
    }
}
