//! AMQP over WebSocket (RFC 6455 with the subprotocol `amqp`, OASIS "AMQP WebSocket Binding"): the octets of binary
//! messages, one after the other, are the stream. Where messages begin and end means nothing.

use crate::engine::limits::Limits;
use bytes::{Bytes, BytesMut};
use futures_util::{Sink, Stream};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// The subprotocol of the binding.
const SUBPROTOCOL: &str = "amqp";

/// The name that it had in drafts, which some clients still ask for.
const DRAFT_SUBPROTOCOL: &str = "AMQPWSB10";

/// Where both stand in a handshake.
const SUBPROTOCOL_HEADER: &str = "sec-websocket-protocol";

/// Octets put into one message at most: large ones would hold back a pong or a close behind them.
const MESSAGE: usize = 64 * 1024;

/// Messages without octets of the stream that are taken in a row before others get their turn.
const CONTROL_MESSAGES: usize = 32;

/// A stream of octets through a WebSocket.
#[derive(Debug)]
pub(crate) struct WebSocket<S> {
    socket: WebSocketStream<S>,
    /// What is left of the message that came last.
    incoming: Bytes,
}

fn config(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(limits.max_websocket_message))
        .max_frame_size(Some(limits.max_websocket_message))
        // Frames are joined before they come here: a message goes out at once.
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MESSAGE)
}

/// Asks the other end of a stream to speak WebSocket. `uri` has no user and no password in it.
pub(crate) async fn connect<S>(uri: &str, stream: S, limits: &Limits) -> Result<WebSocket<S>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let uri: Uri = uri.parse().map_err(|error| format!("{error}"))?;
    let request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config(limits))).await {
        Ok((socket, response)) => {
            let agreed = response.headers().get(SUBPROTOCOL_HEADER);
            if agreed.is_none_or(|agreed| agreed != SUBPROTOCOL) {
                return Err(format!("it does not speak the subprotocol {SUBPROTOCOL}"));
            }
            Ok(WebSocket::new(socket))
        }
        Err(Error::Http(response)) => Err(format!("it answered with HTTP status {}", response.status())),
        Err(error) => Err(error.to_string()),
    }
}

/// Answers a client that asks to speak WebSocket, at this path if there is one.
pub(crate) async fn accept<S>(stream: S, path: Option<&str>, limits: &Limits) -> Result<WebSocket<S>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let rules = Rules { path };
    match tokio_tungstenite::accept_hdr_async_with_config(stream, rules, Some(config(limits))).await {
        Ok(socket) => Ok(WebSocket::new(socket)),
        Err(error) => Err(error.to_string()),
    }
}

/// Which requests a listener grants.
struct Rules<'a> {
    path: Option<&'a str>,
}

impl Callback for Rules<'_> {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        if self.path.is_some_and(|path| path != request.uri().path()) {
            return Err(refusal(StatusCode::NOT_FOUND, "there is no AMQP at this path"));
        }
        let offers = request.headers().get_all(SUBPROTOCOL_HEADER);
        let mut offers =
            offers.iter().filter_map(|offer| offer.to_str().ok()).flat_map(|offer| offer.split(','));
        let chosen = offers.find_map(|offer| {
            [SUBPROTOCOL, DRAFT_SUBPROTOCOL]
                .into_iter()
                .find(|known| offer.trim().eq_ignore_ascii_case(known))
        });
        match chosen {
            Some(chosen) => {
                response.headers_mut().insert(SUBPROTOCOL_HEADER, HeaderValue::from_static(chosen));
                Ok(response)
            }
            None => Err(refusal(StatusCode::BAD_REQUEST, "the subprotocol has to be amqp")),
        }
    }
}

#[cold]
fn refusal(status: StatusCode, why: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(why.to_owned()));
    *response.status_mut() = status;
    response
}

impl<S> WebSocket<S> {
    const fn new(socket: WebSocketStream<S>) -> Self {
        Self { socket, incoming: Bytes::new() }
    }
}

fn lost(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, format!("WebSocket: {other}")),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        for _ in 0..CONTROL_MESSAGES {
            if !self.incoming.is_empty() {
                let len = self.incoming.len().min(buffer.remaining());
                buffer.put_slice(&self.incoming.split_to(len));
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(octets))) => self.incoming = octets,
                // The binding has octets only.
                Some(Ok(Message::Text(_))) => {
                    let text = "WebSocket: a text message came, only binary ones are AMQP";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
                }
                // A ping is answered by the layer below.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) | None => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => return Poll::Ready(Err(lost(error))),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Sends what `octets` gives as one message, once there is room for it.
    fn poll_send(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: impl FnOnce() -> Bytes,
    ) -> Poll<io::Result<usize>> {
        let mut socket = Pin::new(&mut self.socket);
        ready!(socket.as_mut().poll_ready(cx)).map_err(lost)?;
        let octets = octets();
        let len = octets.len();
        socket.start_send(Message::Binary(octets)).map_err(lost)?;
        Poll::Ready(Ok(len))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(octets)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = slices.iter().map(|slice| slice.len()).sum::<usize>().min(MESSAGE);
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        self.poll_send(cx, || {
            let mut message = BytesMut::with_capacity(len);
            for slice in slices {
                let room = len - message.len();
                message.extend_from_slice(slice.get(..room).unwrap_or(slice));
            }
            message.freeze()
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(lost)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_close(cx)) {
            // The peer was faster.
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(lost(error))),
        }
    }
}
