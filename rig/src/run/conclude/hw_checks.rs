//! Checks of the orders to the program for real hosts.

use super::program_checks::Demand;
use crate::run::record::hw::OrderEnd;
use crate::scenario::HwOrder;
use rig_judge::verdict::Check;

/// Checks of what each order had to return.
pub(super) fn checks(orders: &[HwOrder], ends: &[OrderEnd]) -> Vec<Check> {
    let mut checks = Vec::new();
    for (number, order) in orders.iter().enumerate() {
        let (name, version) = (format!("rig-hw {}", order.arguments.join(" ")), order.version.as_deref());
        let demand = Demand { name, code: order.code, says: &order.says, version };
        checks.extend(demand.checks(ends.get(number).map(|order_end| &order_end.program)));
    }
    checks
}
