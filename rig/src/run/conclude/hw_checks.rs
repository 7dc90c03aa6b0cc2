//! What orders to the program for real hosts had to come to.

use super::program_checks::Demand;
use crate::run::record::hw::Ordered;
use crate::scenario::HwOrder;
use rig_judge::verdict::Check;

/// What orders had to come to.
pub(super) fn checks(orders: &[HwOrder], told: &[Ordered]) -> Vec<Check> {
    let mut checks = Vec::new();
    for (number, order) in orders.iter().enumerate() {
        let (name, version) = (format!("rig-hw {}", order.arguments.join(" ")), order.version.as_deref());
        let demand = Demand { name, code: order.code, says: &order.says, version };
        checks.extend(demand.checks(told.get(number).map(|ordered| &ordered.ended)));
    }
    checks
}
