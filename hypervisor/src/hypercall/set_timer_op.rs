//! `set_timer_op`: the calling vCPU's one-shot timer, in the old form.

use super::{Answer, Call};
use crate::time::{self, Timer};

/// `set_timer_op(timeout)`: expires at system time `timeout` (ns); 0 stops it.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    match call.args[0] {
        0 => time::stop_timer(call.vcpu, Timer::SingleShot),
        timeout => time::set_timer_far(call.vcpu, timeout)?,
    }
    Ok(0)
}
