//! End-to-end tests: the rig as its users start it. Each says what only it can show; what can be shown without a machine
//! is shown beside the code.

mod at_breach;
mod bad_input;
mod bad_luck;
mod bare_metal;
mod busted_kernel;
mod catalogue;
mod claims;
mod client;
mod dist;
mod engines;
mod hang;
mod hw;
mod interpreter;
mod inversion;
mod kmod;
mod kmod_errors;
mod kvm_backend;
mod kvm_td;
mod own_kernels;
mod prove;
mod prove_mutants;
mod prove_reductions;
mod races;
mod series;
mod shapes;
mod tdx_host;
mod trust_domains;
mod tutorial;
mod update;
