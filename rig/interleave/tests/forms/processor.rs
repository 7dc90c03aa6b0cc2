//! The processor that runs this test: a child process whose instructions are executed one at a time.

use super::case::{After, CODE, Case, DATA};
use super::program;
use iced_x86::Mnemonic;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rig_interleave::isa::{Registers, flag, gpr};
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;

/// Bits of RFLAGS, in the order of [`flag`].
const PLACES: [(u8, u32); 7] =
    [(flag::CF, 0), (flag::PF, 2), (flag::AF, 4), (flag::ZF, 6), (flag::SF, 7), (flag::OF, 11), (flag::IF, 9)];
/// Bit 1 of RFLAGS, which is always set.
const FIXED: u64 = 2;
/// The trap flag, by which Linux steps.
const TRAP: u64 = 1 << 8;
/// Elements of the longest repetition that a case has, and some.
const MOST_STEPS: usize = 32;

/// A process that this one steps. It ends with it.
pub(super) struct Processor {
    child: Child,
    pid: Pid,
    memory: File,
    /// All registers as they were at first: segments and the like.
    first: nix::libc::user_regs_struct,
    _folder: TempDir,
}

impl Processor {
    /// Starts it. A host that allows no ptrace fails the test: nothing was compared then.
    pub(super) fn start() -> Self {
        // A program cannot be started while another thread's child still has its file open for writing.
        static STARTS: Mutex<()> = Mutex::new(());
        let _alone = STARTS.lock();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("program");
        let mut file = File::options();
        let mut file = file.write(true).create_new(true).mode(0o700).open(&path).expect("it takes a file");
        std::io::Write::write_all(&mut file, &program::elf()).expect("the file takes the program");
        drop(file);
        let mut command = Command::new(&path);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the program starts");
        let pid = Pid::from_raw(child.id().cast_signed());
        ptrace::attach(pid).expect("the host allows ptrace of a child process, without which nothing is compared");
        // If the attachment came while the program was being executed, a trap says so before the stop.
        while waitpid(pid, None) != Ok(WaitStatus::Stopped(pid, Signal::SIGSTOP)) {
            ptrace::cont(pid, None).expect("a child that has not stopped yet goes on");
        }
        ptrace::setoptions(pid, Options::PTRACE_O_EXITKILL).expect("a stopped child takes options");
        let first = ptrace::getregs(pid).expect("a stopped child has registers");
        let memory = format!("/proc/{pid}/mem");
        let memory = File::options().read(true).write(true).open(memory).expect("its memory is a file");
        Self { child, pid, memory, first, _folder: folder }
    }

    /// Executes the case's instruction; or the signal of the exception that it raises.
    pub(super) fn execute(&mut self, case: &Case) -> Result<After, Signal> {
        self.memory.write_all_at(&case.bytes, CODE).expect("the program's code can be written");
        self.memory.write_all_at(&case.memory, DATA).expect("the program's data can be written");
        ptrace::setregs(self.pid, self.registers(case)).expect("a stopped child takes registers");
        let mut after = self.step()?;
        // A repetition is stepped element by element.
        let repeats = case.instruction.has_rep_prefix() && case.instruction.is_string_instruction();
        for _ in 0..MOST_STEPS {
            if !repeats || after.rip != CODE {
                break;
            }
            after = self.step()?;
        }
        let mut memory = vec![0; case.memory.len()];
        self.memory.read_exact_at(&mut memory, DATA).expect("the program's data can be read");
        let registers = registers_of(&after);
        if case.instruction.mnemonic() == Mnemonic::Pushfq {
            // The stack has the flag by which this was stepped.
            let at = (registers.gpr[gpr::RSP] - DATA) as usize;
            memory[at + 1] &= !((TRAP >> 8) as u8);
        }
        Ok(After { registers, memory: Some(memory) })
    }

    fn step(&self) -> Result<nix::libc::user_regs_struct, Signal> {
        ptrace::step(self.pid, None).expect("a stopped child steps");
        match waitpid(self.pid, None) {
            Ok(WaitStatus::Stopped(_, Signal::SIGTRAP)) => {
                Ok(ptrace::getregs(self.pid).expect("a stopped child has registers"))
            }
            Ok(WaitStatus::Stopped(_, other)) => Err(other),
            ended => panic!("the child is gone: {ended:?}"),
        }
    }

    fn registers(&self, case: &Case) -> nix::libc::user_regs_struct {
        let Registers { gpr, rip, flags, .. } = case.registers;
        let [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15] = gpr;
        let flags = PLACES.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, place)| 1 << place);
        nix::libc::user_regs_struct {
            rax,
            rcx,
            rdx,
            rbx,
            rsp,
            rbp,
            rsi,
            rdi,
            r8,
            r9,
            r10,
            r11,
            r12,
            r13,
            r14,
            r15,
            rip,
            eflags: flags.sum::<u64>() | FIXED,
            gs_base: case.gs_base,
            // It is in no system call that would begin again.
            orig_rax: u64::MAX,
            ..self.first
        }
    }
}

fn registers_of(regs: &nix::libc::user_regs_struct) -> Registers {
    let gpr = [
        regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp, regs.rsi, regs.rdi, regs.r8, regs.r9, regs.r10,
        regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
    ];
    let flags = PLACES.iter().filter(|(_, place)| regs.eflags >> place & 1 == 1).map(|(flag, _)| flag).sum();
    Registers { gpr, rip: regs.rip, flags, undefined: 0 }
}

impl Drop for Processor {
    fn drop(&mut self) {
        // It may have ended already; either way nobody waits for it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
