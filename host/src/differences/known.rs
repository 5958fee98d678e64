//! Where Xenocryst answers otherwise than Xen on purpose: each with the reason.
//!
//! Keeps true: a row is about lines of the scripted part, which are printed whole; random requests must all agree.

/// A deliberate difference.
pub struct Known {
    /// The scripted lines it is about: what they begin with.
    pub line: &'static str,
    /// What Xen answers.
    pub xen: &'static str,
    /// What Xenocryst answers.
    pub ours: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// Every deliberate difference.
pub const KNOWN: &[Known] = &[];
