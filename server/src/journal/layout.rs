//! Bytes of a journal file: its header, and the frame around each record. All integers are little-endian.
//!
//! ```text
//! header, at 0 and once more at 2048:
//!   0   8  "LHJOURNL"
//!   8   4  version, 1
//!  12   4  length of a cell, 64
//!  16   8  server id
//!  24   8  number of the file: one more for each that is begun
//!  32   8  life: one more for each start of the server
//!  40  16  boot id of the kernel
//!  56   8  number of its first record
//!  64   8  when it was begun, calendar time in milliseconds
//!  72   8  how long the file was then, in bytes; it grows, and never shrinks
//!  80  40  zeros
//! 120   4  CRC-32 of the 120 bytes before
//! the rest of the first 4096 bytes: zeros
//!
//! record, from 4096 on, each at a multiple of 64:
//!   0   2  0x524a, "JR"
//!   2   1  kind
//!   3   1  cells: how many times 64 bytes it takes
//!   4   4  CRC-32 of the whole record, these four bytes as zeros
//!   8   8  its number: one more for each
//!  16   8  round: how far the log had come
//!  24   4  number of the file, low half
//!  28   4  length of the body
//!  32      body; then zeros up to the cell's end
//! ```
//!
//! Behind the last record stand 64 zeros. What follows may be anything: files are written over.

/// The header's place, and its second one.
pub(crate) const HEADERS: [usize; 2] = [0, 2048];
/// Where records begin.
pub(crate) const BEGIN: u64 = 4096;
/// The unit of a record's length.
pub(crate) const CELL: usize = 64;
/// The longest body.
pub(crate) const BODY_MAX: usize = 255 * CELL - HEAD;

const MAGIC: &[u8; 8] = b"LHJOURNL";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 124;
const HEAD: usize = 32;
const MARK: u16 = 0x524a;

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) server_id: u64,
    pub(crate) number: u64,
    pub(crate) life: u64,
    pub(crate) kernel_boot: [u8; 16],
    pub(crate) first: u64,
    pub(crate) began_ms: u64,
    pub(crate) len: u64,
}

/// Why a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// All zeros: the file was never used.
    Unused,
    /// Of another version of this program.
    Version(u32),
    /// It does not add up.
    Damaged,
}

/// A record as it stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) number: u64,
    pub(crate) round: u64,
    pub(crate) body: &'a [u8],
    /// How many bytes it takes.
    pub(crate) len: usize,
}

impl Header {
    /// The first [`BEGIN`] bytes of a file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&64u32.to_le_bytes());
        for word in [self.server_id, self.number, self.life] {
            header.extend_from_slice(&word.to_le_bytes());
        }
        header.extend_from_slice(&self.kernel_boot);
        header.extend_from_slice(&self.first.to_le_bytes());
        header.extend_from_slice(&self.began_ms.to_le_bytes());
        header.extend_from_slice(&self.len.to_le_bytes());
        header.resize(HEADER_LEN - 4, 0);
        let crc = crc32fast::hash(&header);
        header.extend_from_slice(&crc.to_le_bytes());
        for at in HEADERS {
            bytes[at..at + HEADER_LEN].copy_from_slice(&header);
        }
        bytes
    }

    /// The header in `bytes`, which begin with it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, NoHeader> {
        let Some(header) = bytes.get(..HEADER_LEN) else { return Err(NoHeader::Damaged) };
        if header.iter().all(|byte| *byte == 0) {
            return Err(NoHeader::Unused);
        }
        let (words, crc) = header.split_at(HEADER_LEN - 4);
        if u32_at(crc, 0) != crc32fast::hash(words) || &words[..8] != MAGIC {
            return Err(NoHeader::Damaged);
        }
        if u32_at(words, 8) != VERSION || u32_at(words, 12) != 64 {
            return Err(NoHeader::Version(u32_at(words, 8)));
        }
        let mut kernel_boot = [0; 16];
        kernel_boot.copy_from_slice(&words[40..56]);
        Ok(Self {
            server_id: u64_at(words, 16),
            number: u64_at(words, 24),
            life: u64_at(words, 32),
            kernel_boot,
            first: u64_at(words, 56),
            began_ms: u64_at(words, 64),
            len: u64_at(words, 72),
        })
    }
}

/// Which of the first [`BEGIN`] bytes is not zero although it should be, if one is.
pub(crate) fn stray_byte(bytes: &[u8]) -> Option<usize> {
    let is_header = |at: &usize| HEADERS.iter().any(|begin| (*begin..begin + HEADER_LEN).contains(at));
    (0..bytes.len()).filter(|at| !is_header(at)).find(|at| bytes[*at] != 0)
}

/// Appends a record with this body to `out`. How many bytes it takes.
pub(crate) fn frame(out: &mut Vec<u8>, (kind, number, round, file): (u8, u64, u64, u64), body: &[u8]) -> usize {
    let (start, body_len) = (out.len(), body.len());
    debug_assert!(body_len <= BODY_MAX, "entries are short");
    out.resize(start + HEAD, 0);
    out.extend_from_slice(body);
    let cells = (HEAD + body_len).div_ceil(CELL);
    out.resize(start + cells * CELL, 0);
    let record = &mut out[start..];
    record[..2].copy_from_slice(&MARK.to_le_bytes());
    record[2] = kind;
    record[3] = u8::try_from(cells).unwrap_or(u8::MAX);
    record[8..16].copy_from_slice(&number.to_le_bytes());
    record[16..24].copy_from_slice(&round.to_le_bytes());
    record[24..28].copy_from_slice(&low(file).to_le_bytes());
    record[28..32].copy_from_slice(&low(body_len as u64).to_le_bytes());
    let crc = crc32fast::hash(record);
    record[4..8].copy_from_slice(&crc.to_le_bytes());
    cells * CELL
}

/// The record of file number `file` that `bytes` begin with, if it is whole.
pub(crate) fn read_frame(bytes: &[u8], file: u64) -> Option<Frame<'_>> {
    let head = bytes.get(..HEAD)?;
    if u16::from_le_bytes([head[0], head[1]]) != MARK || u32_at(head, 24) != low(file) {
        return None;
    }
    let len = usize::from(head[3]) * CELL;
    let record = bytes.get(..len).filter(|record| !record.is_empty())?;
    let body_len = usize::try_from(u32_at(head, 28)).ok()?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&record[..4]);
    crc.update(&[0; 4]);
    crc.update(&record[8..]);
    let is_whole = crc.finalize() == u32_at(head, 4);
    let body = record.get(HEAD..HEAD.checked_add(body_len)?).filter(|_| is_whole)?;
    Some(Frame { kind: head[2], number: u64_at(head, 8), round: u64_at(head, 16), body, len })
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is written")]
const fn low(word: u64) -> u32 {
    word as u32
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header =
        Header { server_id: 1, number: 2, life: 3, kernel_boot: [4; 16], first: 5, began_ms: 6, len: 7 };

    #[test]
    fn a_header_comes_back_and_any_changed_bit_of_it_is_noticed() {
        let bytes = HEADER.bytes();
        assert_eq!(bytes.len() as u64, BEGIN);
        assert_eq!((Header::read(&bytes), Header::read(&bytes[2048..])), (Ok(HEADER), Ok(HEADER)));
        assert_eq!(stray_byte(&bytes), None);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            let both = HEADERS.map(|begin| Header::read(&changed[begin..]));
            assert!(stray_byte(&changed).is_some() || both.contains(&Err(NoHeader::Damaged)), "{at}");
            assert!(both.contains(&Ok(HEADER)), "{at}: the other one stands");
        }
        assert_eq!(Header::read(&[0; 4096]), Err(NoHeader::Unused));
    }

    #[test]
    fn a_record_comes_back_and_any_changed_bit_of_it_is_noticed() {
        for body in [&b""[..], b"a body", &[7; 200]] {
            let mut bytes = Vec::new();
            let len = frame(&mut bytes, (9, 10, 11, 1 << 33 | 12), body);
            assert_eq!((len, len % CELL), (bytes.len(), 0));
            let read = read_frame(&bytes, 1 << 33 | 12).unwrap();
            assert_eq!((read.kind, read.number, read.round, read.body, read.len), (9, 10, 11, body, len));
            assert_eq!(read_frame(&bytes, 13), None, "another file's");
            for bit in 0..len * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(read_frame(&changed, 12), None, "bit {bit}");
            }
            (0..len).for_each(|cut| assert_eq!(read_frame(&bytes[..cut], 12), None));
        }
    }
}
