//! VMREAD, VMWRITE, VMPTRLD and VMPTRST.

use super::{Cpu, ServiceFault};
use crate::platform::without_keyid;
use crate::sites::{Service, Site};

impl Cpu<'_> {
    pub(super) fn vmx(&mut self, site: &Site) -> Result<(), ServiceFault> {
        match site.service {
            Service::Vmread => {
                let encoding = self.value(site, 1)?;
                let value = self.vmcs()?.get(encoding);
                self.put(site, 0, value)?;
            }
            Service::Vmwrite => {
                let (encoding, value) = (self.value(site, 0)?, self.value(site, 1)?);
                self.vmcs()?.set(encoding, value);
            }
            Service::Vmptrld => {
                self.lp.current_vmcs = without_keyid(self.value(site, 0)?);
                self.platform.vmcss.entry(self.lp.current_vmcs).or_default();
            }
            _ => self.put(site, 0, self.lp.current_vmcs)?,
        }
        self.registers.set_flags(false, false);
        Ok(())
    }
}
