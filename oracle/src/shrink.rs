//! Cutting a failing trace down: what can be left out is left out, what can be simpler becomes so.

use crate::generator::with_field;
use crate::request::{Request, UNLIMITED};

/// The shortest trace found that still fails, by leaving out ever smaller parts (delta debugging), and then by taking
/// limits off budgets. `fails` must hold for the trace given.
pub fn shrink(trace: &[Request], mut fails: impl FnMut(&[Request]) -> bool) -> Vec<Request> {
    let mut trace = trace.to_vec();
    let mut part = trace.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < trace.len() {
            let mut candidate = trace.clone();
            candidate.drain(at..(at + part).min(trace.len()));
            if fails(&candidate) {
                trace = candidate;
                shorter = true;
            } else {
                at += part;
            }
        }
        if part > 1 || !shorter {
            part /= 2;
        }
    }
    for at in 0..trace.len() {
        for (name, value) in [("budget", UNLIMITED), ("order", 0), ("pfn", 0)] {
            let mut candidate = trace.clone();
            candidate[at] = with_field(&trace[at], name, value);
            if candidate[at] != trace[at] && fails(&candidate) {
                trace = candidate;
            }
        }
    }
    trace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_failure_needs_is_left() {
        let trace: Vec<Request> = (0..100)
            .map(|frame| Request::Unpin {
                dom: 1,
                frame,
                budget: 3,
            })
            .collect();
        let needed = |t: &[Request]| {
            [17, 80]
                .iter()
                .all(|wanted| t.iter().any(|r| r.field("frame") == Some(*wanted)))
        };
        let short = shrink(&trace, needed);
        assert_eq!(short.len(), 2);
        assert!(short.iter().all(|request| request.budget().is_none()));
    }
}
