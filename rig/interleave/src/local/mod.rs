//! One CPU alone: from one access that others can notice to the next.
//!
//! What lies between two such accesses is private. It is executed once for each distinct private state, and then remembered
//! (`Locals`). Which words are shared is found, not given: what is taken for private is one of the `Facts`, and finding
//! otherwise starts the exploration again.

mod decoded;
mod facts;
mod intern;
mod interpreter;
mod layout;
mod liveness;
mod stop;
mod vcpu;
mod window;

pub use facts::Facts;
pub use intern::{Local, Locals, Successor};
pub use interpreter::{Interpreter, Machine, Ran};
pub use layout::Layout;
pub use stop::Stop;
pub use vcpu::{AREA_STRIDE, Input, Pending, RETURN, STACK_SIZE, Vcpu, Write, area, stack};
