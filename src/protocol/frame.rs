//! Cuts a stream of bytes into frames: four bytes of length, then as many bytes.
//!
//! Invariants: a length is refused before anything is allocated for it; a frame that has come in part claims no more
//! room than twice what has really come (and [`READ_AHEAD_BYTES`]). It reads no socket and knows nothing of what is in
//! a frame.

use bytes::{Buf, Bytes, BytesMut};

/// The size of a frame's length.
pub const LENGTH_SIZE: usize = 4;
/// `socket.request.max.bytes`: Kafka's default for the longest frame, in bytes.
pub const DEFAULT_LIMIT_BYTES: usize = 100 * 1024 * 1024;
/// How much room is made for a claimed length alone, in bytes. Most frames fit and are read without a copy.
pub const READ_AHEAD_BYTES: usize = 1024 * 1024;
/// The room for a read when nothing is known of the next frame, in bytes.
const IDLE_READ_BYTES: usize = 8 * 1024;

/// Why a stream cannot go on: the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length below zero.
    #[error("a frame of length {0}")]
    Negative(i32),
    /// More than the limit.
    #[error("a frame of {length} bytes where {limit} are allowed")]
    TooLong {
        /// What was claimed, in bytes.
        length: usize,
        /// What is allowed, in bytes.
        limit: usize,
    },
}

/// The splitter of one connection.
#[derive(Debug, Clone, Copy)]
pub struct FrameSplitter {
    limit: usize,
}

impl Default for FrameSplitter {
    fn default() -> FrameSplitter {
        FrameSplitter::new(DEFAULT_LIMIT_BYTES)
    }
}

impl FrameSplitter {
    /// A splitter that takes frames of up to `limit` bytes, their length not counted.
    pub fn new(limit: usize) -> FrameSplitter {
        FrameSplitter { limit }
    }

    /// The length of the frame that the buffer begins with; `None` if not even that has come.
    fn length(&self, buffer: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = buffer.first_chunk::<LENGTH_SIZE>() else { return Ok(None) };
        let claimed = i32::from_be_bytes(*prefix);
        let length = usize::try_from(claimed).map_err(|_| FrameError::Negative(claimed))?;
        match length <= self.limit {
            true => Ok(Some(length)),
            false => Err(FrameError::TooLong { length, limit: self.limit }),
        }
    }

    /// Takes the next whole frame off the buffer, without its length and without a copy; `None` until more has come.
    ///
    /// # Errors
    /// If the length is none that is allowed; the stream is of no use after that.
    pub fn next(&self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        match self.length(buffer)? {
            Some(length) if buffer.len() - LENGTH_SIZE >= length => {
                buffer.advance(LENGTH_SIZE);
                Ok(Some(buffer.split_to(length).freeze()))
            }
            _ => Ok(None),
        }
    }

    /// How much room to make before the next read, in bytes: the rest of the frame that is under way, as far as it may
    /// be believed.
    ///
    /// # Errors
    /// As [`FrameSplitter::next`].
    pub fn room(&self, buffer: &[u8]) -> Result<usize, FrameError> {
        let Some(length) = self.length(buffer)? else { return Ok(IDLE_READ_BYTES) };
        let rest = (length + LENGTH_SIZE).saturating_sub(buffer.len());
        Ok(rest.min(buffer.len().max(READ_AHEAD_BYTES)).max(IDLE_READ_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;

    #[test]
    fn frames_come_out_whole_however_they_came_in() {
        let splitter = FrameSplitter::new(10);
        let mut stream = BytesMut::new();
        for body in [&b"one"[..], b"", b"ten bytes!"] {
            stream.put_i32(i32::try_from(body.len()).expect("short"));
            stream.put_slice(body);
        }
        for step in 1..=stream.len() {
            let mut buffer = BytesMut::new();
            let mut frames = Vec::new();
            for chunk in stream.chunks(step) {
                buffer.put_slice(chunk);
                while let Some(frame) = splitter.next(&mut buffer).expect("good lengths") {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [&b"one"[..], b"", b"ten bytes!"], "chunks of {step}");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_frame_is_no_copy() {
        let mut buffer = BytesMut::from(&b"\0\0\0\x03onerest"[..]);
        let at = buffer[LENGTH_SIZE..].as_ptr();
        let frame = FrameSplitter::default().next(&mut buffer).expect("a good length").expect("a frame");
        assert_eq!(frame.as_ptr(), at);
    }

    #[test]
    fn impossible_lengths_are_refused_by_their_prefix() {
        let splitter = FrameSplitter::new(1000);
        let mut negative = BytesMut::from(&[0xFF; 4][..]);
        assert_eq!(splitter.next(&mut negative), Err(FrameError::Negative(-1)));
        assert_eq!(splitter.room(&[0xFF; 4]), Err(FrameError::Negative(-1)));
        let mut long = BytesMut::from(&[0, 0, 3, 0xE9][..]);
        assert_eq!(splitter.next(&mut long), Err(FrameError::TooLong { length: 1001, limit: 1000 }));
        assert_eq!(splitter.next(&mut BytesMut::from(&[0, 0, 3][..])), Ok(None));
    }

    #[test]
    fn room_follows_what_has_come_and_not_what_is_claimed() {
        let splitter = FrameSplitter::default();
        let claim = i32::try_from(DEFAULT_LIMIT_BYTES).expect("fits").to_be_bytes();
        assert_eq!(splitter.room(&claim), Ok(READ_AHEAD_BYTES));
        let mut come = claim.to_vec();
        come.resize(3 * READ_AHEAD_BYTES, 0);
        assert_eq!(splitter.room(&come), Ok(3 * READ_AHEAD_BYTES));
        assert_eq!(splitter.room(&[]), Ok(IDLE_READ_BYTES));
    }
}
