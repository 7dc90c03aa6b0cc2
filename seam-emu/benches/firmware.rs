//! Speed of the model: one metadata read, one installation beside what verification alone costs, random calls.
//!
//! Run with `cargo bench -p seam-emu`.

#![expect(missing_docs, reason = "criterion's macro defines a public function")]

#[path = "../tests/firmware/common/mod.rs"]
#[allow(dead_code, reason = "benchmarks use a part of it")]
mod common;

use common::{Machine, call, image};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use seam_emu::Regs;
use seam_emu::abi::Leaf;
use seam_emu::image::{Image, ImageSpec};
use sha2::{Digest, Sha384};
use std::hint::black_box;

fn sys_rd(c: &mut Criterion) {
    let mut m = Machine::new(4);
    m.boot_linux();
    let regs = Regs { rdx: 0x0A00_0003_0000_0008, ..call(Leaf::SysRd) };
    c.bench_function("SYS.RD", |b| b.iter(|| black_box(m.execute(1, black_box(regs)))));
}

fn install(c: &mut Criterion) {
    let file = image(&ImageSpec::version(1, 5, 7));
    let mut m = Machine::new(2);
    m.boot_linux();
    m.ok(0, call(Leaf::SysShutdown));
    let regs = m.install_call(&file, 1);
    m.ok(0, regs);
    let mut group = c.benchmark_group("INSTALL of 146 pages");
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("whole", |b| {
        b.iter_batched_ref(
            || m.firmware.clone(),
            |firmware| {
                let mut regs = regs;
                let reply = firmware.seamcall(Machine::caller(1), &mut regs, &mut m.memory, 0);
                assert_eq!(regs.rax, 0);
                reply
            },
            BatchSize::SmallInput,
        );
    });
    let image = Image::parse(&file).expect("valid");
    let sig = &image.sigstruct;
    let key = RsaPublicKey::new(BigUint::from_bytes_le(&sig.modulus), BigUint::from(0x1_0001_u32)).expect("a key");
    let signature: Vec<u8> = sig.signature.iter().rev().copied().collect();
    group.bench_function("SHA-384 and RSA-3072 alone", |b| {
        b.iter(|| {
            let [header, body] = sig.signed_parts();
            let signed = Sha384::new().chain_update(header).chain_update(body).finalize();
            key.verify(Pkcs1v15Sign::new::<Sha384>(), &signed, &signature).expect("signed");
            assert_eq!(Sha384::digest(black_box(&image.module)).as_slice(), sig.seamhash);
        });
    });
    group.finish();
}

fn random_calls(c: &mut Criterion) {
    let mut m = Machine::new(8);
    m.boot_linux();
    let calls: Vec<(usize, Regs)> = common::random::calls(0x5EED, 8).take(1000).collect();
    let mut group = c.benchmark_group("random calls");
    group.throughput(Throughput::Elements(calls.len() as u64));
    group.bench_function("1000", |b| {
        b.iter_batched_ref(
            || m.clone(),
            |m| {
                for (lp, regs) in &calls {
                    black_box(m.execute(*lp, *regs));
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, sys_rd, install, random_calls);
criterion_main!(benches);
