//! Makes a failing plan small: leaves faults out, halves first, then ever smaller pieces, as long as the same rule is still broken
//! (delta debugging). The result is one from which no single fault can be taken, unless the tries run out before.

use crate::cluster::sim::plan::Plan;
use crate::cluster::sim::run::{Options, Run};

/// The rule that a plan breaks, if any.
pub fn broken_rule(options: Options, plan: &Plan) -> Option<&'static str> {
    Run::new(options, Some(plan.clone())).finish().failure.map(|failure| failure.violation.rule)
}

/// Leaves out of a plan what is not needed to fail, in so many tries at most. Returns the plan and how many tries it took.
pub fn shrink(plan: &Plan, tries_max: usize, mut fails: impl FnMut(&Plan) -> bool) -> (Plan, usize) {
    let (mut kept, mut tries) = (plan.clone(), 0);
    let mut size = kept.faults.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < kept.faults.len() {
            if tries == tries_max {
                return (kept, tries);
            }
            let mut smaller = kept.clone();
            let until = (from + size).min(smaller.faults.len());
            smaller.faults.drain(from..until);
            tries += 1;
            if fails(&smaller) {
                kept = smaller;
            } else {
                from += size;
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    (kept, tries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::sim::plan::Fault;
    use crate::engine::time::Instant;
    use crate::protocol::ids::BrokerId;

    #[test]
    fn what_is_not_needed_is_left_out() {
        let fault = |n: i32| (Instant::from_millis(u64::try_from(n).expect("positive")), Fault::Kill(BrokerId(n)));
        let plan = Plan { faults: (1..=40).map(fault).collect() };
        let needed = [fault(7), fault(31)];
        let (small, tries) = shrink(&plan, 500, |plan| needed.iter().all(|fault| plan.faults.contains(fault)));
        assert_eq!(small.faults, needed);
        assert!(tries < 100, "{tries} tries");
        let (untouched, tries) = shrink(&plan, 3, |_| false);
        assert_eq!((untouched, tries), (plan, 3));
    }
}
