//! A vector under construction: bytes laid down field by field, each with the words that explain it. Knows the encoding
//! of SPEC 5.2 from the clauses alone and uses none of the crate's own writers.

use std::fmt::Write;

/// One vector: its bytes, and its page of explanation.
#[derive(Clone, Debug)]
pub struct Page {
    /// The file's name without `-v1` and ending.
    pub name: &'static str,
    title: &'static str,
    intro: &'static str,
    /// The bytes so far.
    pub bytes: Vec<u8>,
    rows: Vec<Row>,
    inside: Option<Box<Self>>,
}

#[derive(Clone, Debug)]
struct Row {
    offset: usize,
    len: usize,
    field: String,
    meaning: String,
}

/// Bytes a row of the table shows at most.
const ROW_BYTES: usize = 32;

impl Page {
    /// An empty page.
    pub const fn new(name: &'static str, title: &'static str, intro: &'static str) -> Self {
        Self { name, title, intro, bytes: Vec::new(), rows: Vec::new(), inside: None }
    }

    /// `bytes` as they are.
    pub fn raw(mut self, field: &str, bytes: &[u8], meaning: &str) -> Self {
        let (offset, len) = (self.bytes.len(), bytes.len());
        self.rows.push(Row { offset, len, field: field.into(), meaning: meaning.into() });
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// One byte.
    pub fn u8(self, field: &str, value: u8, meaning: &str) -> Self {
        self.raw(field, &[value], meaning)
    }

    /// Two bytes, little-endian.
    pub fn u16(self, field: &str, value: u16, meaning: &str) -> Self {
        self.raw(field, &value.to_le_bytes(), &said(u64::from(value), meaning))
    }

    /// Four bytes, little-endian.
    pub fn u32(self, field: &str, value: u32, meaning: &str) -> Self {
        self.raw(field, &value.to_le_bytes(), &said(u64::from(value), meaning))
    }

    /// Eight bytes, little-endian.
    pub fn u64(self, field: &str, value: u64, meaning: &str) -> Self {
        self.raw(field, &value.to_le_bytes(), &said(value, meaning))
    }

    /// An integer of variable length.
    pub fn var(self, field: &str, value: u64, meaning: &str) -> Self {
        self.raw(field, &var(value), &said(value, meaning))
    }

    /// Text: its length in bytes, then the bytes.
    pub fn text(self, field: &str, text: &str) -> Self {
        let mut bytes = var(text.len() as u64);
        bytes.extend_from_slice(text.as_bytes());
        self.raw(field, &bytes, &format!("{} bytes: \"{text}\"", text.len()))
    }

    /// A version: three integers of variable length.
    pub fn version(self, field: &str, parts: [u16; 3]) -> Self {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| var(u64::from(*part))).collect();
        self.raw(field, &bytes, &format!("{}.{}.{}", parts[0], parts[1], parts[2]))
    }

    /// The tag of an option that is there; its value follows.
    pub fn some(self, field: &str) -> Self {
        self.u8(field, 1, "present; the value follows")
    }

    /// The tag of an option that is not.
    pub fn none(self, field: &str) -> Self {
        self.u8(field, 0, "absent")
    }

    /// The number of elements of a list, which follow.
    pub fn list(self, field: &str, count: u64) -> Self {
        self.var(field, count, "elements follow")
    }

    /// The header of a frame and then its body, which is all of `body`.
    pub fn frame(self, kind: u8, body: Self) -> Self {
        let len = u16::try_from(body.bytes.len()).expect("a body fits a datagram");
        let page = self.u8("type", kind, body.title).u8("flags", 0, "always 0").u16("length", len, "bytes of body");
        page.then(body)
    }

    /// The bytes and rows of `other`, behind these.
    pub fn then(mut self, other: Self) -> Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.rows.extend(other.rows.into_iter().map(|row| Row { offset: row.offset + start, ..row }));
        self
    }

    /// What is sealed inside, shown below the table.
    pub fn sealing(mut self, inside: Self) -> Self {
        self.inside = Some(Box::new(inside));
        self
    }

    /// The page as `testdata/NAME-v1.md` holds it.
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n\n{}\n\n", self.title, self.intro);
        let _ = writeln!(out, "`{}-v1.bin`, {} bytes. Offsets and lengths in bytes.\n", self.name, self.bytes.len());
        self.table(&mut out);
        if let Some(inside) = &self.inside {
            let _ = write!(out, "\n## {}\n\n{}\n\n", inside.title, inside.intro);
            inside.table(&mut out);
        }
        out
    }

    fn table(&self, out: &mut String) {
        out.push_str("| offset | length | bytes | field | meaning |\n|---:|---:|---|---|---|\n");
        for row in &self.rows {
            let bytes = &self.bytes[row.offset..row.offset + row.len];
            if row.len > ROW_BYTES && bytes.iter().all(|b| *b == bytes[0]) {
                line(out, row.offset, row.len, &format!("{:02x} × {}", bytes[0], row.len), &row.field, &row.meaning);
                continue;
            }
            for (i, chunk) in bytes.chunks(ROW_BYTES).enumerate() {
                let (field, meaning) = if i == 0 { (&*row.field, &*row.meaning) } else { ("", "") };
                line(out, row.offset + i * ROW_BYTES, chunk.len(), &hex(chunk), field, meaning);
            }
        }
    }
}

/// The bytes that the first table of a page spells, so that a reader of the page and a reader of the file see the same.
pub fn bytes_of_markdown(markdown: &str) -> Vec<u8> {
    let table = markdown.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let mut bytes = Vec::new();
    for row in table.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[1].parse(), Ok(bytes.len()), "offset in {row:?}");
        let before = bytes.len();
        match cells[3].split_once(" × ") {
            Some((byte, times)) => bytes.resize(before + times.parse::<usize>().expect("a count"), unhex(byte)),
            None => bytes.extend(cells[3].split_whitespace().map(unhex)),
        }
        assert_eq!(cells[2].parse(), Ok(bytes.len() - before), "length in {row:?}");
    }
    bytes
}

/// An integer as SPEC 5.2 spells it, at its shortest.
pub fn var(value: u64) -> Vec<u8> {
    let le = value.to_le_bytes();
    match value {
        0..=250 => vec![le[0]],
        251..=0xffff => [&[251], &le[..2]].concat(),
        0x1_0000..=0xffff_ffff => [&[252], &le[..4]].concat(),
        _ => [&[253], &le[..]].concat(),
    }
}

/// Bytes in hexadecimal, a space between each two.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
}

fn unhex(digits: &str) -> u8 {
    u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
}

fn said(value: u64, meaning: &str) -> String {
    if meaning.is_empty() { value.to_string() } else { format!("{value}: {meaning}") }
}

fn line(out: &mut String, offset: usize, len: usize, bytes: &str, field: &str, meaning: &str) {
    let _ = writeln!(out, "| {offset} | {len} | {bytes} | {field} | {meaning} |");
}
