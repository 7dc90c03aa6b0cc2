//! Checks of the clients.

use super::program_checks::Demand;
use crate::run::record::program::ProgramEnd;
use crate::scenario::ClientOrder;
use rig_judge::verdict::Check;

/// Programs after which another version ran than before.
pub(super) fn updates(before: Option<&str>, ends: &[ProgramEnd]) -> usize {
    let versions: Vec<_> = [before].into_iter().chain(ends.iter().map(|end| end.version.as_deref())).collect();
    versions.windows(2).filter(|pair| pair[1].is_some() && pair[0] != pair[1]).count()
}

/// Checks of what each client had to return.
pub(super) fn checks(orders: &[ClientOrder], ends: &[ProgramEnd]) -> Vec<Check> {
    let demand = |(number, order)| demand_of(order).checks(ends.get(number));
    orders.iter().enumerate().flat_map(demand).collect()
}

fn demand_of(order: &ClientOrder) -> Demand<'_> {
    Demand { name: order.title(), code: order.code, says: &order.says, version: order.version.as_deref() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::conclude::program_checks::tests::end_of;

    #[test]
    fn a_client_is_checked_by_its_name() {
        let arguments = vec!["-c".to_owned(), format!("{}\nexit", "x".repeat(50))];
        let order = ClientOrder { program: "/usr/bin/sh".into(), arguments, code: 1, ..ClientOrder::default() };
        let checks = checks(std::slice::from_ref(&order), &[end_of(0, "", None)]);
        assert_eq!((checks[0].name.as_str(), checks[0].met), ("sh -c", false));
    }

    #[test]
    fn an_update_is_a_version_that_was_not_there_before() {
        let ends = [end_of(0, "", Some("1.5.06")), end_of(0, "", Some("1.5.07")), end_of(1, "", None)];
        assert_eq!(updates(Some("1.5.06"), &ends), 1);
        assert_eq!(updates(Some("1.5.06"), &[]), 0);
    }
}
