//! Which functions of the kernel are probed, and what each probe reports.
//!
//! Arguments are read by the kernel's calling convention: RDI, RSI. `__seamcall(fn, args)` and `__seamcall_ret(fn, args)` of
//! `arch/x86/virt/vmx/tdx/seamcall.S` take the leaf and a `struct tdx_module_args`, whose first three words are RCX, RDX, R8.
//! `__seamcall_saved_ret()`, by which KVM enters trust domains, lies in code that must not be instrumented: it cannot be probed.

use super::code::Point;
use crate::tracefs::GROUP;

/// Functions whose entries and exits are followed, in the order in which records number them.
pub(crate) const FUNCTIONS: [&str; 3] = ["do_seamldr_install_module", "multi_cpu_stop", "set_cpu_online"];
/// Words of the state machine, in the order in which records number them.
pub(crate) const WORDS: [&str; 3] = ["update_ctrl.state", "update_ctrl.num_ack", "update_ctrl.num_failed"];
/// Most instances of a returning function that the kernel can follow (`KRETPROBE_MAXACTIVE_MAX`).
const MAXACTIVE_MAX: usize = 4096;

/// Operands of a SEAMCALL, and the flags register for the interrupt flag.
const OPERANDS: &str = "fn=%di:x64 rcx=+0(%si):x64 rdx=+8(%si):x64 r8=+16(%si):x64 fl=%flags:x64";

/// Definitions for `kprobe_events` (Documentation/trace/kprobetrace.rst).
pub(crate) fn definitions(function: &str, points: &[Point], ctrl: u64, cpus: usize) -> Vec<String> {
    // Every CPU can be in such a function at once, and in interrupt context once more.
    let active = (2 * cpus + 16).min(MAXACTIVE_MAX);
    let mut all = vec![
        format!("p:{GROUP}/call __seamcall {OPERANDS}"),
        format!("r{active}:{GROUP}/end __seamcall ret=$retval:x64"),
        format!("p:{GROUP}/callr __seamcall_ret {OPERANDS}"),
        format!("r{active}:{GROUP}/endr __seamcall_ret ret=$retval:x64"),
    ];
    for (number, name) in FUNCTIONS.iter().enumerate() {
        all.push(format!("p:{GROUP}/enter{number} {name} a=%di:x64 b=%si:x64"));
        all.push(format!("r{active}:{GROUP}/leave{number} {name} ret=$retval:x64"));
    }
    all.extend(points.iter().enumerate().map(|(number, point)| definition(function, number, point, ctrl)));
    all
}

fn definition(function: &str, number: usize, point: &Point, ctrl: u64) -> String {
    let (ack, failed) = (ctrl + 4, ctrl + 8);
    match point {
        Point::Acknowledged(offset) => {
            format!("p:{GROUP}/ack{number} {function}+{offset:#x} ack=@{ack:#x}:x32 failed=@{failed:#x}:x32")
        }
        Point::Advanced(offset) => format!("p:{GROUP}/state{number} {function}+{offset:#x} state=@{ctrl:#x}:x32"),
        Point::Saw(offset, register) => {
            format!("p:{GROUP}/saw{number} {function}+{offset:#x} state=%{register}:x32")
        }
    }
}

/// Whether points show all that the judge needs of the state machine: without the acknowledgements the changes of the state
/// would look unfounded.
pub(crate) fn show_state(points: &[Point]) -> bool {
    let has = |wanted: fn(&Point) -> bool| points.iter().any(wanted);
    has(|p| matches!(p, Point::Acknowledged(_))) && has(|p| matches!(p, Point::Advanced(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracefs::name_of;

    #[test]
    fn every_probe_has_a_name_of_its_own() {
        let points = [Point::Acknowledged(0x6f), Point::Advanced(0x110), Point::Saw(0xa2, "bx")];
        let all = definitions("f", &points, 0xffff_ffff_8000_0000, 4);
        assert_eq!(all[10], "p:seamrig/ack0 f+0x6f ack=@0xffffffff80000004:x32 failed=@0xffffffff80000008:x32");
        assert_eq!(all[12], "p:seamrig/saw2 f+0xa2 state=%bx:x32");
        let names: std::collections::BTreeSet<&str> = all.iter().filter_map(|d| name_of(d)).collect();
        assert_eq!(names.len(), all.len());
        assert!(all[1].starts_with("r24:seamrig/end __seamcall "));
        assert!(definitions("f", &[], 0, 9000)[1].starts_with("r4096:"));
    }

    #[test]
    fn the_state_is_shown_by_stores_of_both_words() {
        assert!(show_state(&[Point::Acknowledged(1), Point::Advanced(2)]));
        assert!(!show_state(&[Point::Advanced(2), Point::Saw(3, "ax")]));
        assert!(!show_state(&[Point::Acknowledged(1)]));
    }
}
