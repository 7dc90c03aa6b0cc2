//! Statuses of the module. Source: TDX module `tdx_error_codes_defs.h`; the low bits name the operand.

pub(super) const SUCCESS: u64 = 0;
pub(super) const OPERAND_INVALID_RAX: u64 = 0xC000_0100_0000_0000;
pub(super) const OPERAND_INVALID_RCX: u64 = 0xC000_0100_0000_0001;
pub(super) const NO_VALID_VE_INFO: u64 = 0xC000_0704_0000_0000;
