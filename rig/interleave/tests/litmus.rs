//! The memory under litmus tests: which results a few stores and loads can have, sequentially consistent and with store buffers.
//!
//! Names and verdicts are those of Sewell and others, "x86-TSO: a rigorous and usable programmer's model for x86
//! multiprocessors" (2010), and of the Intel SDM, volume 3, section "Memory Ordering in P6 and More Recent Processor Families".

use rig_interleave::contract::Contracts;
use rig_interleave::firmware::Small;
use rig_interleave::image::{ElfImage, Memory, Symbols};
use rig_interleave::local::{Facts, Interpreter, Layout, Machine, RETURN, Vcpu, stack};
use rig_interleave::search::{Explored, Explorer, OneByOne, Options, Section};
use rstest::rstest;
use std::collections::{BTreeMap, BTreeSet};

const CODE: u64 = 0x1000;
/// Two variables, each in a word of its own.
const X: u32 = 0x2000;
const Y: u32 = 0x2008;

fn with_address(opcode: &[u8], address: u32) -> Vec<u8> {
    [opcode, &address.to_le_bytes()].concat()
}

/// `mov dword [address], value`
fn store(address: u32, value: u32) -> Vec<u8> {
    [with_address(&[0xc7, 0x04, 0x25], address), value.to_le_bytes().to_vec()].concat()
}

/// `mov eax, [address]`: the first result.
fn load(address: u32) -> Vec<u8> {
    with_address(&[0x8b, 0x04, 0x25], address)
}

/// `mov ecx, [address]; lea eax, [rax + 4 * rcx]`: the second result, in bits 3:2.
fn load_second(address: u32) -> Vec<u8> {
    [with_address(&[0x8b, 0x0c, 0x25], address), vec![0x8d, 0x04, 0x88]].concat()
}

/// `mov ecx, 1; xchg [address], ecx`: a store that is locked.
fn exchange(address: u32) -> Vec<u8> {
    [vec![0xb9, 1, 0, 0, 0], with_address(&[0x87, 0x0c, 0x25], address)].concat()
}

/// `lock or dword [rsp], 0`: what Linux uses as a barrier.
fn barrier() -> Vec<u8> {
    vec![0xf0, 0x83, 0x0c, 0x24, 0]
}

/// Explores CPUs that run these pieces of code and return EAX.
fn explore(programs: &[Vec<Vec<u8>>], store_buffers: bool) -> Explored {
    let mut text = vec![0xf4; 0x1000];
    let mut memory_of_stacks = Vec::new();
    for (cpu, program) in programs.iter().enumerate() {
        let code = [program.concat(), vec![0xc3]].concat();
        text[cpu * 0x100..cpu * 0x100 + code.len()].copy_from_slice(&code);
        memory_of_stacks.push(stack(cpu as u8));
    }
    let image = ElfImage::from_parts(vec![(CODE, text), (X.into(), vec![0; 64])], Symbols::default());
    let mut memory = Memory::new(image);
    let mut starts = Vec::new();
    for (cpu, region) in memory_of_stacks.into_iter().enumerate() {
        let top = region.end - 0x100;
        memory.zero(region);
        memory.fill(top, 8, RETURN).unwrap();
        let mut vcpu = Vcpu::new(cpu as u8, CODE + cpu as u64 * 0x100);
        vcpu.registers.gpr[4] = top;
        starts.push(Some(vcpu));
    }
    let layout = Layout::made(vec![0; programs.len()]);
    let mut interpreter = Interpreter::new(memory, Contracts::default(), layout, Facts::new(false));
    interpreter.setting = Machine { store_buffers, acquires: 0..0 };
    let section = Section { starts, control: None, record: None, nodes: vec![], uploader_results: BTreeMap::new() };
    let options = Options { failures: false, keeps_dead: false, symmetry: false, memory_mib: 64 };
    let explored = Explorer::new(&mut interpreter, &Small, &section, options).explore(&OneByOne, &mut |_| {});
    explored.expect("litmus tests use nothing that is not modelled")
}

fn results(programs: &[Vec<Vec<u8>>], store_buffers: bool) -> BTreeSet<Vec<i32>> {
    let explored = explore(programs, store_buffers);
    assert_eq!(explored.finding, None, "every CPU leaves");
    explored.returns.into_keys().collect()
}

/// A result, and whether it is possible without and with store buffers.
#[rstest]
#[case::store_buffering(vec![vec![store(X, 1), load(Y)], vec![store(Y, 1), load(X)]], &[0, 0], [false, true])]
#[case::store_buffering_with_exchanges(
    vec![vec![exchange(X), load(Y)], vec![exchange(Y), load(X)]], &[0, 0], [false, false]
)]
#[case::store_buffering_with_one_exchange(
    vec![vec![exchange(X), load(Y)], vec![store(Y, 1), load(X)]], &[0, 0], [false, true]
)]
#[case::store_buffering_with_barriers(
    vec![vec![store(X, 1), barrier(), load(Y)], vec![store(Y, 1), barrier(), load(X)]], &[0, 0], [false, false]
)]
#[case::message_passing(
    vec![vec![store(X, 1), store(Y, 1), load(X)], vec![load(Y), load_second(X)]], &[1, 1], [false, false]
)]
#[case::load_buffering(vec![vec![load(X), store(Y, 1)], vec![load(Y), store(X, 1)]], &[1, 1], [false, false])]
#[case::reads_of_one_variable(vec![vec![store(X, 1), load(X)], vec![load(X), load_second(X)]], &[1, 1], [false, false])]
#[case::independent_reads(
    vec![
        vec![store(X, 1), load(X)],
        vec![store(Y, 1), load(Y)],
        vec![load(X), load_second(Y)],
        vec![load(Y), load_second(X)],
    ],
    &[1, 1, 1, 1],
    [false, false]
)]
#[case::own_stores_are_seen_early(
    vec![vec![store(X, 1), load(X), load_second(Y)], vec![store(Y, 1), load(Y), load_second(X)]], &[1, 1], [false, true]
)]
#[case::an_own_store_is_overwritten(vec![vec![store(X, 1), load(X)], vec![store(X, 2), load(X)]], &[2, 2], [true, true])]
#[case::an_own_store_is_never_missed(vec![vec![store(X, 1), load(X)], vec![store(X, 2), load(X)]], &[0, 2], [false, false])]
#[case::two_stores_in_opposite_orders(
    vec![vec![store(X, 1), load(X)], vec![store(X, 2), load(X)]], &[2, 1], [false, false]
)]
fn a_result_is_possible(#[case] programs: Vec<Vec<Vec<u8>>>, #[case] result: &[i32], #[case] is_possible: [bool; 2]) {
    let both = [false, true].map(|store_buffers| results(&programs, store_buffers));
    assert_eq!(both.each_ref().map(|all| all.contains(result)), is_possible, "{both:?}");
    assert!(both[0].is_subset(&both[1]), "what is possible without buffers is possible with them: {both:?}");
}
