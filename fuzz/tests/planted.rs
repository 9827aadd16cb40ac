//! Faults put into the core on purpose: the engine target's corpus notices every one.
//!
//! `cargo test --manifest-path fuzz/Cargo.toml --features planted-faults --test planted`

use std::{fs, panic, path::Path};

use leasehold_core::Fault;

#[test]
fn every_planted_fault_is_noticed_by_some_input_of_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/engine");
    let files = fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("an entry").path());
    let inputs: Vec<Vec<u8>> = files.map(|path| fs::read(path).expect("an input")).collect();
    panic::set_hook(Box::new(|_| {}));
    let notices =
        |fault, input: &Vec<u8>| panic::catch_unwind(|| leasehold_fuzz::engine::run_with(fault, input)).is_err();
    let unnoticed: Vec<Fault> =
        Fault::ALL.iter().copied().filter(|fault| !inputs.iter().any(|input| notices(*fault, input))).collect();
    let false_alarm = inputs.iter().any(|input| notices(Fault::None, input));
    drop(panic::take_hook());
    assert!(!false_alarm, "an input finds something where nothing was planted");
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}
