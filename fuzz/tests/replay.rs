//! Every input of every corpus, without a fuzzer. One test, because the memory of an input is counted for the whole
//! program.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 6] = [
    ("datagram", leasehold_fuzz::datagram::run),
    ("frames", leasehold_fuzz::frames::run),
    ("licence_text", leasehold_fuzz::licence_text::run),
    ("template", leasehold_fuzz::template::run),
    ("holder", leasehold_fuzz::holder::run),
    ("engine", leasehold_fuzz::engine::run),
];

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let named = paths.map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), path));
    named.map(|(name, path)| (name, fs::read(&path).expect("a file"))).collect()
}

/// The golden vectors, and what must be in a corpus because no fuzzer finds it by chance.
fn seeds(target: &str) -> BTreeMap<String, Vec<u8>> {
    let vectors = files(&here().join("../protocol/testdata"));
    let vectors = vectors.into_iter().filter(|(name, _)| name.ends_with(".bin"));
    let is_datagram = |bytes: &[u8]| bytes[0] == 0x1e;
    let is_frame = |bytes: &[u8]| usize::from(u16::from_le_bytes([bytes[2], bytes[3]])) + 4 == bytes.len();
    match target {
        "datagram" => vectors.filter(|(_, bytes)| is_datagram(bytes)).collect(),
        "frames" => vectors.filter(|(_, bytes)| !is_datagram(bytes) && is_frame(bytes)).collect(),
        "licence_text" => [("two.lic".to_owned(), leasehold_fuzz::licence_text::signed_file().into())].into(),
        _ => BTreeMap::new(),
    }
}

#[test]
fn every_input_of_every_corpus_is_replayed() {
    let (mut count, mut size) = (0, 0);
    for (name, run) in TARGETS {
        let folder = here().join("corpus").join(name);
        for (file, bytes) in seeds(name) {
            // LEASEHOLD_WRITE_SEEDS=1 lays new vectors down.
            if std::env::var_os("LEASEHOLD_WRITE_SEEDS").is_some() {
                fs::create_dir_all(&folder).expect("a folder");
                fs::write(folder.join(&file), &bytes).expect("a seed");
            }
            assert_eq!(fs::read(folder.join(&file)).ok().as_ref(), Some(&bytes), "seed {name}/{file}");
        }
        let inputs = files(&folder);
        assert!(!inputs.is_empty(), "corpus/{name} is empty");
        for (file, bytes) in &inputs {
            println!("{name}/{file}");
            run(bytes);
        }
        println!("{name}: {} inputs", inputs.len());
        (count, size) = (count + inputs.len(), size + inputs.values().map(Vec::len).sum::<usize>());
    }
    assert!(count < 200 && size < 300 * 1024, "{count} files of {size} bytes: minimise them, see README.md");
}
