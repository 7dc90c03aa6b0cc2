//! The processor, from `/proc/cpuinfo`.

/// What identifies the processor, and what the kernel found in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// `GenuineIntel` and so on.
    pub vendor: String,
    /// Name for people.
    pub name: String,
    /// CPUID.1:EAX, put together from family, model and stepping.
    pub eax: u32,
    /// The kernel found SEAM: flag `tdx_host_platform`.
    pub is_tdx_host: bool,
    /// SEAMRET from P-SEAMLDR clears the current VMCS: bug `seamret_invd_vmcs`, with which the kernel offers no updates.
    pub has_erratum: bool,
}

impl Cpu {
    /// Reads the first processor of `/proc/cpuinfo`.
    pub fn parse(text: &str) -> Option<Self> {
        let first = text.split("\n\n").next()?;
        let field = |name: &str| {
            let of_line = |line: &str| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            };
            first.lines().find_map(of_line)
        };
        let number = |name| field(name)?.parse::<u32>().ok();
        let has = |list: &str, word: &str| field(list).is_some_and(|words| words.split(' ').any(|w| w == word));
        Some(Self {
            vendor: field("vendor_id")?,
            name: field("model name").unwrap_or_default(),
            eax: eax(number("cpu family")?, number("model")?, number("stepping")?),
            is_tdx_host: has("flags", "tdx_host_platform"),
            has_erratum: has("bugs", "seamret_invd_vmcs"),
        })
    }
}

/// The inverse of what the kernel does with CPUID.1:EAX (Intel SDM, volume 2, CPUID): extended family and model.
fn eax(family: u32, model: u32, stepping: u32) -> u32 {
    let (family, extended) = if family > 15 { (15, family - 15) } else { (family, 0) };
    extended << 20 | (model >> 4) << 16 | family << 8 | (model & 0xf) << 4 | stepping
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_processor_decides() {
        let text = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon\n\
                    stepping\t: 8\nflags\t\t: fpu tdx_host_platform\nbugs\t\t: spectre_v1 seamret_invd_vmcs\n\n\
                    processor\t: 1\nvendor_id\t: other\n";
        let cpu = Cpu::parse(text).unwrap();
        assert_eq!((cpu.vendor.as_str(), cpu.eax), ("GenuineIntel", 0x0008_06f8));
        assert!(cpu.is_tdx_host && cpu.has_erratum);
        let other = Cpu::parse(&text.replace("tdx_host_platform", "x").replace("seamret_invd_vmcs", "y")).unwrap();
        assert!(!other.is_tdx_host && !other.has_erratum);
    }

    #[test]
    fn families_beyond_15_are_extended() {
        assert_eq!(eax(6, 175, 3), 0x000a_06f3);
        assert_eq!(eax(19, 1, 0), 0x0040_0f10);
        assert_eq!(Cpu::parse("no processor"), None);
    }
}
