//! Frames over a pair of byte streams: what goes to a worker's standard input, what comes from its standard output.
//!
//! A worker reads the 12 bytes of a header with one call and gives up when it gets fewer, so a frame leaves as one
//! buffer, and never before the answer to the last one has come: the pipe is then empty and takes at least the first
//! page in one piece.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::frame::{EncodeError, Frame, HEADER_LENGTH, Header};

/// The largest payload accepted from a worker, in bytes. Answers are a few hundred bytes; the limit keeps a broken
/// worker from filling the memory of the server.
const MAX_PAYLOAD: usize = 64 * 1024 * 1024;

/// How much of a text that is no frame is kept for the message, in bytes.
const MAX_GARBAGE: usize = 2048;

/// How long to wait for the rest of a text that is no frame. The worker is lost anyway; this is only for the message.
const GARBAGE_PATIENCE: Duration = Duration::from_millis(300);

/// Why no frame could be written or read. After any of them the stream is out of step and the worker must go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PipeError {
    /// The worker was gone before it had all of a frame, so it cannot have acted on it.
    #[error("the worker closed its standard input")]
    Undelivered,
    /// The stream ended between two frames.
    #[error("the worker closed its standard output")]
    Closed,
    /// The stream ended inside a frame.
    #[error("the worker closed its standard output in the middle of a frame")]
    Truncated,
    /// Bytes that are no frame, as printable text.
    #[error(
        "the worker wrote something else than frames to its standard output (print to standard error instead): \"{text}\""
    )]
    Garbage { text: String },
    /// A frame announced more than we are ready to take.
    #[error("the worker announced a frame of {length} bytes, at most {MAX_PAYLOAD} are accepted")]
    TooLarge { length: usize },
    /// The frame to be written is too large for the format.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The operating system refused.
    #[error("pipe to the worker: {0}")]
    Io(#[from] io::Error),
}

/// Both directions of one worker.
#[derive(Debug)]
pub(crate) struct Pipe<R, W> {
    reader: BufReader<R>,
    writer: W,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Pipe<R, W> {
    pub(crate) fn new(reader: R, writer: W) -> Self {
        Self { reader: BufReader::new(reader), writer }
    }

    /// Writes one frame. Cancelling leaves a part of it in the pipe: end the worker.
    pub(crate) async fn send(&mut self, frame: &Frame) -> Result<(), PipeError> {
        self.send_bytes(&frame.encode()?).await
    }

    /// Writes a job, see [`Frame::encode_job`]. Cancelling leaves a part of it in the pipe: end the worker.
    pub(crate) async fn send_job(&mut self, context: &[u8], body: &[u8]) -> Result<(), PipeError> {
        self.send_bytes(&Frame::encode_job(context, body)?).await
    }

    async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), PipeError> {
        let written = async {
            self.writer.write_all(bytes).await?;
            self.writer.flush().await
        };
        written.await.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => PipeError::Undelivered,
            _ => PipeError::Io(error),
        })
    }

    /// Reads one frame. Cancelling may lose a part of it: end the worker.
    pub(crate) async fn receive(&mut self) -> Result<Frame, PipeError> {
        let mut start = [0; HEADER_LENGTH];
        let mut filled = 0;
        while let Some(rest) = start.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest).await? {
                0 if filled == 0 => return Err(PipeError::Closed),
                0 => return Err(self.garbage(start.get(..filled).unwrap_or_default()).await),
                read => filled += read,
            }
        }
        let Some(header) = Header::decode(start) else {
            return Err(self.garbage(&start).await);
        };
        if header.payload > MAX_PAYLOAD {
            return Err(PipeError::TooLarge { length: header.payload });
        }
        let mut options = Vec::with_capacity(header.options);
        for _ in 0..header.options {
            options.push(self.reader.read_u32_le().await.map_err(truncated)?);
        }
        let payload = self.read_payload(header.payload).await?;
        Ok(Frame { flags: header.flags, stream: header.stream, options, payload })
    }

    /// Resolves when there is something to read, or the end. Nothing is taken, so it may be dropped and asked again.
    pub(crate) async fn readable(&mut self) {
        // An error shows itself to whoever reads next.
        let _ = self.reader.fill_buf().await;
    }

    /// What a worker has written that nobody asked for: [`PipeError::Closed`] for nothing but the end.
    pub(crate) async fn stray(&mut self) -> PipeError {
        match self.reader.fill_buf().await {
            Ok([]) => PipeError::Closed,
            Ok(_) => self.garbage(&[]).await,
            Err(error) => PipeError::Io(error),
        }
    }

    /// Grows with what really arrives, not with what was announced.
    async fn read_payload(&mut self, length: usize) -> Result<Bytes, PipeError> {
        let mut payload = Vec::with_capacity(length.min(64 * 1024));
        let limit = u64::try_from(length).unwrap_or(u64::MAX);
        (&mut self.reader).take(limit).read_to_end(&mut payload).await?;
        if payload.len() < length { Err(PipeError::Truncated) } else { Ok(payload.into()) }
    }

    /// Gathers the rest of a text that is no frame, so that the message can show it.
    async fn garbage(&mut self, start: &[u8]) -> PipeError {
        let mut text = start.to_vec();
        let limit = u64::try_from(MAX_GARBAGE).unwrap_or(u64::MAX);
        let mut rest = (&mut self.reader).take(limit);
        // What arrived before the time was up stays in `text`; an error only ends the gathering.
        let _ = timeout(GARBAGE_PATIENCE, rest.read_to_end(&mut text)).await;
        PipeError::Garbage { text: printable(&text) }
    }
}

fn truncated(error: io::Error) -> PipeError {
    if error.kind() == io::ErrorKind::UnexpectedEof { PipeError::Truncated } else { PipeError::Io(error) }
}

/// One line of text for a message, whatever the bytes were.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().escape_debug().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goridge::frame::Flags;

    type Duplex = tokio::io::DuplexStream;

    /// Our side of a pipe, and the worker's: what it reads, what it writes.
    fn pair() -> (Pipe<Duplex, Duplex>, Duplex, Duplex) {
        let (ours_out, theirs_in) = tokio::io::duplex(1 << 20);
        let (theirs_out, ours_in) = tokio::io::duplex(1 << 20);
        (Pipe::new(ours_in, ours_out), theirs_in, theirs_out)
    }

    #[tokio::test]
    async fn a_frame_in_single_bytes_is_read() {
        let (mut pipe, _input, mut output) = pair();
        let bytes = Frame::control(&br#"{"pid":7}"#[..]).encode().unwrap();
        let writer = tokio::spawn(async move {
            for byte in bytes {
                output.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            output
        });
        let frame = pipe.receive().await.unwrap();
        assert!(frame.flags.contains(Flags::CONTROL));
        assert_eq!(&frame.payload[..], br#"{"pid":7}"#);
        drop(writer.await.unwrap());
        assert!(matches!(pipe.receive().await, Err(PipeError::Closed)));
    }

    #[tokio::test]
    async fn printed_text_is_reported_as_it_is() {
        let (mut pipe, _input, mut output) = pair();
        output.write_all(b"Could not open input file: worker.php\n").await.unwrap();
        drop(output);
        let error = pipe.receive().await.unwrap_err().to_string();
        assert!(error.contains("Could not open input file: worker.php"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[tokio::test]
    async fn text_shorter_than_a_header_is_reported_too() {
        let (mut pipe, _input, mut output) = pair();
        output.write_all(b"oops\n").await.unwrap();
        drop(output);
        assert!(matches!(pipe.receive().await, Err(PipeError::Garbage { text }) if text == "oops"));
    }

    #[tokio::test]
    async fn text_from_a_worker_that_lives_on_is_reported_within_the_patience() {
        let (mut pipe, _input, mut output) = pair();
        output.write_all(b"debugging like it is 1999").await.unwrap();
        let answer = timeout(Duration::from_secs(10), pipe.receive()).await.unwrap();
        assert!(matches!(answer, Err(PipeError::Garbage { text }) if text.ends_with("1999")));
        drop(output);
    }

    #[tokio::test]
    async fn the_end_in_the_middle_of_a_payload_is_an_error() {
        let (mut pipe, _input, mut output) = pair();
        let bytes = Frame::control(&br#"{"pid":7}"#[..]).encode().unwrap();
        output.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
        drop(output);
        assert!(matches!(pipe.receive().await, Err(PipeError::Truncated)));
    }

    #[tokio::test]
    async fn an_announced_length_beyond_the_limit_is_refused_before_anything_is_read() {
        let (mut pipe, _input, mut output) = pair();
        let mut bytes = vec![0x13, 0x00];
        bytes.extend(u32::MAX.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend([0, 0]);
        output.write_all(&bytes).await.unwrap();
        assert!(matches!(pipe.receive().await, Err(PipeError::TooLarge { .. })));
    }

    #[tokio::test]
    async fn a_job_arrives_whole() {
        let (mut pipe, mut input, _output) = pair();
        pipe.send_job(b"{}", b"body").await.unwrap();
        let mut bytes = vec![0; HEADER_LENGTH + 4 + 6];
        input.read_exact(&mut bytes).await.unwrap();
        assert!(bytes.ends_with(b"{}body"));
    }
}
