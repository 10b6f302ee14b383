//! Replays the seeds of the fuzz targets of the engine, among them everything that fuzzing ever found.

#[path = "../../fuzz/src/engine.rs"]
#[expect(unreachable_pub, clippy::panic, reason = "a crate of its own, whose functions fail by panicking")]
mod engine;

use std::path::Path;

type Check = fn(&[u8]);

#[test]
fn every_seed_of_the_fuzz_targets_holds() {
    let targets: [(&str, Check); 3] = [
        ("engine_client", engine::client),
        ("engine_listener", engine::listener),
        ("engine_frames", engine::frames),
    ];
    for (target, check) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
        let mut replayed = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let octets = std::fs::read(&path).unwrap();
            let result = std::panic::catch_unwind(|| check(&octets));
            assert!(result.is_ok(), "{}", path.display());
            replayed += 1;
        }
        assert!(replayed > 5, "only {replayed} seeds of {target}");
    }
}
