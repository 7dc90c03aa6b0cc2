//! TDH.SYS.RDALL: reads all global metadata into a list, page by page. Source: TDX module `md_dump_list`.

use crate::Regs;
use crate::abi::field::{Element, FieldId, FieldSet, NO_FIELD, SYS_FIELDS};
use crate::abi::status::Operand;
use crate::abi::{PAGE_SIZE, Status};
use crate::context::{Context, Outcome};

use super::rd::value;

/// Bytes of the list header, of a sequence header and of an element.
const WORD: usize = 8;

/// RDX: page for the list; R8: first field, or all ones. R8 out: the next field to read, all ones when done.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let (list_pa, first) = (regs.rdx, FieldId(regs.r8));
    regs.r8 = NO_FIELD;
    let lp = cx.lp;
    if !cx.module().lp_initialized[lp] {
        return Err(Status::SYS_LP_INIT_NOT_DONE);
    }
    let list = cx.shared(list_pa, PAGE_SIZE, Operand::Rdx)?;
    let set = cx.module().identity.figures().fields;
    let start = if first.is_none() { Some(Element::FIRST) } else { start_of_field(first, set) };
    let start = start.ok_or(Status::METADATA_FIELD_ID_INCORRECT)?;
    let (bytes, next) = dump(cx, start, set);
    cx.write(list.0, &bytes);
    regs.r8 = next.map_or(NO_FIELD, |element| element.id().0);
    if next.is_some() { Err(Status::METADATA_LIST_OVERFLOW) } else { Ok(()) }
}

/// The element that an id names, if it begins a field and tells the element's size; reserved bits and counts do not matter
/// (`md_check_field_and_get_entry`).
fn start_of_field(id: FieldId, set: FieldSet) -> Option<Element> {
    let same_size = |element: &Element| SYS_FIELDS[element.run].first.element_bytes() == id.element_bytes();
    let element = Element::find(id, set).filter(same_size)?;
    element.number.is_multiple_of(SYS_FIELDS[element.run].elements).then_some(element)
}

/// One page of list from `start` on, and where to continue.
fn dump(cx: &Context<'_>, start: Element, set: FieldSet) -> (Vec<u8>, Option<Element>) {
    let mut list = vec![0; WORD];
    let mut sequences = 0u16;
    let mut at = Some(start);
    while let Some(first) = at {
        let (taken, next) = sequence(first, PAGE_SIZE as usize - list.len(), set);
        if taken.is_empty() {
            break;
        }
        list.extend_from_slice(&sequence_header(first, taken.len()).to_le_bytes());
        for element in taken {
            list.extend_from_slice(&value(cx, element).to_le_bytes());
        }
        sequences += 1;
        at = next;
    }
    let header = list.len() as u64 | u64::from(sequences) << 16;
    list[..WORD].copy_from_slice(&header.to_le_bytes());
    (list, at)
}

/// Elements with consecutive codes and equal form, as many whole fields as fit into `room` bytes, and what follows.
fn sequence(first: Element, room: usize, set: FieldSet) -> (Vec<Element>, Option<Element>) {
    let per_field = SYS_FIELDS[first.run].elements as usize;
    let mut taken = Vec::new();
    let mut at = Some(first);
    while let Some(element) = at {
        if !continues(first, taken.len(), element) || (1 + taken.len() + per_field) * WORD > room {
            break;
        }
        for _ in 0..per_field {
            let element = at.expect("fields are whole");
            taken.push(element);
            at = element.next(set);
        }
    }
    (taken, at)
}

/// Whether `element` is the `count`th of a sequence that begins at `first`.
fn continues(first: Element, count: usize, element: Element) -> bool {
    let (a, b) = (&SYS_FIELDS[first.run], &SYS_FIELDS[element.run]);
    let (from, to) = (first.id(), element.id());
    from.class() == to.class()
        && u64::from(from.code()) + count as u64 == u64::from(to.code())
        && a.elements == b.elements
        && a.first.element_bytes() == b.first.element_bytes()
}

/// The first element's id with the counts of elements and fields, each minus 1.
fn sequence_header(first: Element, elements: usize) -> u64 {
    let per_field = u64::from(SYS_FIELDS[first.run].elements);
    first.id().0 | (per_field - 1) << 34 | (elements as u64 / per_field - 1) << 38
}
