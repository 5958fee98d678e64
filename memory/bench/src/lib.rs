//! What the memory engine's own work costs: worlds to measure in, and the operations that are measured.
//!
//! `engine-cost` (in `main.rs`) does an operation a given number of times, so that instructions can be counted from outside;
//! `benches/engine.rs` measures time with criterion; `docs/engine-speed.md` has the figures and how to get them.

pub mod machine;
pub mod operations;
pub mod threads;
pub mod world;

/// An operation that can be measured.
pub struct Operation {
    /// Its name.
    pub name: &'static str,
    /// What its size counts.
    pub unit: &'static str,
    /// The sizes it is measured with.
    pub sizes: &'static [u64],
    /// Makes a world for one size, and the thing to do in it again and again.
    pub prepare: fn(u64) -> Box<dyn FnMut()>,
}

pub use operations::OPERATIONS;
