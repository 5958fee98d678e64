//! What `guest/src/bin/hostile/history/` must say, on both hypervisors: each line with the invariant that it stands for.

/// What the guest must say of what advisories did to Xen, and what that shows.
pub const HISTORY: &[(&str, &str)] = &[
    (
        "answers: xsa_122 extra version -> 0, bytes 0 to 16 but 0, 0 bytes behind the text are not zero",
        "I8",
    ),
    (
        "answers: xsa_122 capabilities -> 0, bytes 0 to 1024 but 0, 0 bytes behind the text are not zero",
        "I8",
    ),
    (
        "answers: xsa_100 time in states -> 0, bytes 0 to 48 but 0",
        "I8",
    ),
    (
        "flushes: xsa_286 second request of the batch came from -> the new page",
        "I35",
    ),
    (
        "flushes: xsa_286 second call's request came from -> the new page",
        "I35",
    ),
    ("flushes: invlpg local direct map -> 0", "I38"),
    ("flushes: invlpg all non-canonical -> 0", "I38"),
    ("flushes: vcpus at direct map -> -22", "I38"),
    ("flushes: mapping at non-canonical, flags 6 -> -22", "I38"),
    (
        "channels: block and words are free after refused blocks -> [true, true]",
        "I43",
    ),
    ("channels: xsa_188 words after refused blocks -> -95", "I43"),
    (
        "channels: block and words are free with a block and words -> [false, false]",
        "I43",
    ),
    (
        "channels: block and words are free after the reset -> [true, true]",
        "I43",
    ),
    ("channels: xsa_358 words without a block -> -95", "I50"),
    (
        "channels: xsa_221 poll, send on, unmask, close 1000 -> [-22, -22, -22, -22]",
        "I50",
    ),
    (
        "channels: xsa_221 poll, send on, unmask, close 131072 -> [-22, -22, -22, -22]",
        "I50",
    ),
    ("frames: xsa_232 clean first frame -> -1", "I62"),
    ("frames: xsa_232 clean m2p -> -1", "I62"),
    ("frames: xsa_232 clean own frame -> 0", "I62"),
    ("lists: xsa_29 output at direct map -> (-14, 0)", "I65"),
    (
        "lists: xsa_29 output at direct map, pages mapped again -> [0, 0, 0]",
        "I65",
    ),
    ("lists: xsa_212 output at image -> -14", "I65"),
    ("lists: xsa_212 2 of 1 done -> (-22, 2)", "I65"),
    (
        "lists: xsa_231 populate hint -> 65 served, first Some(0), last Some(64)",
        "I67",
    ),
    (
        "lists: xsa_231 populate exact -> 2 served, first Some(0), last Some(1)",
        "I67",
    ),
    (
        "lists: xsa_231 populate on demand -> 0 served, first None, last None",
        "I67",
    ),
    (
        "lists: xsa_159 exchange of two and a half -> (-22, 2)",
        "I68",
    ),
    (
        "lists: xsa_159 page 1 -> new true, same frame false, M2P right true",
        "I68",
    ),
    (
        "lists: xsa_159 page 2 -> new false, same frame true, M2P right true",
        "I68",
    ),
    ("lists: add to physmap, own page -> -13", "I69"),
    ("lists: set on-demand target of itself -> -22", "I69"),
    (
        "lists: after operations for translated domains -> same frames true, M2P right [true, true]",
        "I69",
    ),
    ("frames: xsa_334 acquire a sum that wraps -> -22", "I73"),
    ("frames: xsa_334 acquire one too many -> -22", "I73"),
    ("frames: xsa_334 acquire of dom0 -> -1", "I73"),
    ("frames: xsa_276 mapped -> 0", "I73"),
    ("frames: xsa_276 pinned as a table -> -22", "I73"),
    ("frames: xsa_276 read then -> Ok(1234)", "I73"),
    (
        "lives: xsa_149 first lives -> [([0, 0, 0, 0, 0], true), ([0, 0, 0, 0, 0], true), ([0, 0, 1, 0, 0], true), ([0, 0, 1, 0, 0], true)]",
        "I48",
    ),
];
