//! rr-jobs
fn main() {}
