//! Counts the allocations of every candidate of the codec's cases, and prints them as JSON: case, then candidate. With
//! `transport ADDRESS` those of clients against the peer there: client, then send or receive.

use allocation_counter::measure;
use benches::{Result, codec, transport};
use serde_json::{Map, Value, json};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    if let (Some("transport"), Some(address)) = (arguments.next().as_deref(), arguments.next()) {
        println!("{}", transport::allocations(address.parse()?)?);
        return Ok(());
    }
    let mut all = Map::new();
    for mut case in codec::cases()? {
        let mut counts = Map::new();
        for candidate in &mut case.candidates {
            // The first time is not like the others: output buffers grow.
            candidate.run(3);
            let info = measure(|| candidate.run(1));
            counts.insert(candidate.name.to_owned(), json!([info.count_total, info.bytes_total]));
        }
        all.insert(case.name, Value::Object(counts));
    }
    println!("{}", Value::Object(all));
    Ok(())
}
