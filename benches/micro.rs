//! How long each step of a login takes: `make bench-rust`.
//!
//! A part of it: `cargo bench --no-default-features --bench micro -- cached`.

mod operations;

use divan::Bencher;

/// A sample has to last for threads to meet in it.
const LONG_ENOUGH: u32 = 10_000;

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 2, 7])]
fn claims_of_kilobytes(bencher: Bencher, kilobytes: usize) {
    bencher.bench(operations::claims(kilobytes));
}

#[divan::bench]
fn principal_name(bencher: Bencher) {
    bencher.bench(operations::name());
}

#[divan::bench]
fn decision(bencher: Bencher) {
    bencher.bench(operations::decision());
}

#[divan::bench(threads = [1, 2, 4, 8, 16], sample_size = LONG_ENOUGH)]
fn cached_login(bencher: Bencher) {
    bencher.bench(operations::cached_login());
}

#[divan::bench(threads = [1, 2, 4, 8, 16], sample_size = LONG_ENOUGH)]
fn cached_token(bencher: Bencher) {
    bencher.bench(operations::cached_token(1));
}

#[divan::bench(args = [1, 10, 100, 1000])]
fn cached_token_among_scopes(bencher: Bencher, scopes: usize) {
    bencher.bench(operations::cached_token(scopes));
}

#[divan::bench]
fn cold_login(bencher: Bencher) {
    bencher.bench(operations::cold_login());
}
