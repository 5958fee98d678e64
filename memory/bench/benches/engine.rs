//! The operations, timed by criterion: `cargo bench -p xenocryst-memory-bench`.
#![allow(missing_docs)] // what the macros make

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;
use xenocryst_memory_bench::OPERATIONS;

fn engine(criterion: &mut Criterion) {
    for operation in OPERATIONS {
        let mut group = criterion.benchmark_group(operation.name);
        group
            .measurement_time(Duration::from_secs(2))
            .sample_size(20);
        for &size in operation.sizes {
            let mut run = (operation.prepare)(size);
            group.throughput(Throughput::Elements(size));
            group.bench_function(BenchmarkId::from_parameter(size), |b| b.iter(&mut run));
        }
        group.finish();
    }
}

criterion_group!(benches, engine);
criterion_main!(benches);
