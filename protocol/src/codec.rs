//! The one place where bodies become bytes and bytes bodies (W-6, SPEC 5.2).
//!
//! bincode 2 in derive mode, its `standard` configuration (little-endian, variable-length integers), with a limit on
//! what a length field may make us allocate, and only bodies that are used up exactly. bincode accepts an integer
//! spelled longer than needed, so nothing is ever signed or hashed over a re-encoding: only received bytes are.
//!
//! Two limits, not one: bincode counts memory, an 8-byte integer as 8 and a list by its elements' size in memory,
//! whatever they take on the wire. A page of features that fills a datagram counts as nine times its bytes.

use bincode::{Decode, Encode, config, error};
use bytes::{Bytes, BytesMut};

use crate::{
    error::{DecodeError, DecodeErrorKind},
    packet,
};

/// The most bytes one body may have: the largest plaintext less one frame header.
pub const BODY_MAX: usize = packet::PLAINTEXT_MAX - 4;

/// The most memory one body may take while it is decoded, in bytes, as bincode counts it. Every body of [`BODY_MAX`]
/// bytes stays below; a length field that lies does not.
pub const DECODED_MAX: usize = 16 * 1024;

const fn config() -> config::Configuration<config::LittleEndian, config::Varint, config::Limit<DECODED_MAX>> {
    config::standard().with_limit::<DECODED_MAX>()
}

/// Appends the encoding of `body` to `out`.
///
/// # Errors
/// If it takes more than [`BODY_MAX`] bytes; `out` is then as it was.
pub fn encode<T: Encode>(body: &T, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let start = out.len();
    let written = bincode::encode_into_std_write(body, out, config::standard());
    if written.is_err() || out.len() - start > BODY_MAX {
        out.truncate(start);
        return Err(DecodeError::new("body", BODY_MAX, DecodeErrorKind::TooLong));
    }
    Ok(())
}

/// Reads one body that takes up all of `bytes`. `name` is the frame's, for the error.
///
/// # Errors
/// If there are more than [`BODY_MAX`], they end early or go on too long, or spell a value outside its range.
pub fn decode<T: Decode<()>>(name: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > BODY_MAX {
        return Err(DecodeError::new(name, BODY_MAX, DecodeErrorKind::TooLong));
    }
    match bincode::decode_from_slice(bytes, config()) {
        Ok((body, used)) if used == bytes.len() => Ok(body),
        Ok((_, used)) => Err(DecodeError::new(name, used, DecodeErrorKind::Trailing)),
        Err(e) => Err(DecodeError::new(name, bytes.len(), kind_of(&e))),
    }
}

fn kind_of(e: &error::DecodeError) -> DecodeErrorKind {
    match e {
        error::DecodeError::UnexpectedEnd { .. } => DecodeErrorKind::Truncated,
        error::DecodeError::LimitExceeded => DecodeErrorKind::TooLong,
        error::DecodeError::Utf8 { .. } | error::DecodeError::InvalidCharEncoding(_) => DecodeErrorKind::Text,
        _ => DecodeErrorKind::Range,
    }
}

/// A datagram that passed [`packet::read_to_server`] or [`packet::read_to_client`], owned.
pub type Datagram = Bytes;

/// The datagrams of one side, for users of `tokio_util::udp::UdpFramed`: the same checks as the server's own receive
/// path, over the same code.
///
/// Decoding takes the whole buffer, because a datagram is a whole; a wrong one is an error and leaves nothing behind.
#[derive(Clone, Copy, Debug)]
pub struct DatagramCodec {
    to_server: bool,
}

impl DatagramCodec {
    /// The codec of a client's socket: reads servers' datagrams.
    #[must_use]
    pub const fn for_client() -> Self {
        Self { to_server: false }
    }

    /// The codec of a server's socket: reads clients' datagrams.
    #[must_use]
    pub const fn for_server() -> Self {
        Self { to_server: true }
    }
}

impl tokio_util::codec::Decoder for DatagramCodec {
    type Item = Datagram;
    type Error = std::io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> std::io::Result<Option<Datagram>> {
        if buffer.is_empty() {
            return Ok(None);
        }
        let datagram = buffer.split().freeze();
        let read = if self.to_server { packet::read_to_server } else { packet::read_to_client };
        match read(&datagram) {
            Ok(_) => Ok(Some(datagram)),
            Err(e) => Err(std::io::Error::new(std::io::ErrorKind::InvalidData, e)),
        }
    }
}

impl tokio_util::codec::Encoder<&[u8]> for DatagramCodec {
    type Error = std::io::Error;

    fn encode(&mut self, datagram: &[u8], buffer: &mut BytesMut) -> std::io::Result<()> {
        if datagram.len() > packet::DATAGRAM_MAX {
            let e = DecodeError::new("datagram", packet::DATAGRAM_MAX, DecodeErrorKind::TooLong);
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, e));
        }
        buffer.extend_from_slice(datagram);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::{FeatureInfo, FeatureLine},
        vocab::{FeatureName, OperationId, Version},
    };

    #[test]
    fn a_page_of_features_that_fits_the_datagram_is_read_whatever_it_takes_in_memory() {
        let line = |i: u32| FeatureLine {
            name: FeatureName::new(&i.to_string()).unwrap(),
            version: Version::ANY,
            count: None,
            used: 0,
            next_end: None,
        };
        let mut page = FeatureInfo { operation: OperationId(1), features: Vec::new(), more: true };
        let mut bytes = Vec::new();
        for i in 0.. {
            let fits = bytes.len();
            page.features.push(line(i));
            bytes.clear();
            if encode(&page, &mut bytes).is_err() {
                assert!(i > 100, "{fits} bytes");
                page.features.pop();
                break;
            }
        }
        bytes.clear();
        encode(&page, &mut bytes).unwrap();
        assert_eq!(decode("feature info", &bytes), Ok(page));
    }

    #[test]
    fn a_length_that_lies_is_refused_before_anything_is_allocated_for_it() {
        // Operation 1, then 2^30 features.
        let lie = [1, 252, 0, 0, 0, 64];
        let refused = decode::<FeatureInfo>("feature info", &lie).unwrap_err();
        assert_eq!(refused.kind, DecodeErrorKind::TooLong);
    }
}
