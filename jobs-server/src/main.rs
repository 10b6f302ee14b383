//! rr-jobs
mod goridge;
mod worker;
fn main() {}
