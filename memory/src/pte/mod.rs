//! Page-table entries: bits, legality, and what the hypervisor adds to a guest's entry.
