//! Bodies: of requests that are answered before they are there, and of answers that are long.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::runtime::Handle;

use crate::queue::Permit;

/// How much of a body is read that nobody wants, and for how long.
const UNWANTED: usize = 32 << 20;
const UNWANTED_TIME: Duration = Duration::from_secs(2);

/// A request's body, the rest of which is read when it is dropped. A client that sends a body reads no answer before it has sent all of
/// it, unless it is a very good one: without this, it would find its connection closed, and not be told why.
pub(super) struct Drained(Body);

impl Drained {
    pub(super) fn body(body: Body) -> Body {
        Body::new(Drained(body))
    }
}

impl HttpBody for Drained {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        // What is longer is not worth it: a client that is told the length knows that it may be too much.
        let is_long = self.0.size_hint().lower() > UNWANTED as u64;
        let Ok(runtime) = Handle::try_current() else { return };
        if self.0.is_end_stream() || is_long {
            return;
        }
        let mut rest = std::mem::take(&mut self.0);
        runtime.spawn(tokio::time::timeout(UNWANTED_TIME, async move {
            let mut read = 0;
            while read < UNWANTED {
                let frame = std::future::poll_fn(|context| Pin::new(&mut rest).poll_frame(context)).await;
                let Some(Ok(frame)) = frame else { break };
                read += frame.data_ref().map_or(0, Bytes::len);
            }
        }));
    }
}

/// A long answer in pieces, each of which is asked for when the one before is almost sent; with the place of its request, so that there
/// are no more of them than there may be requests.
pub(super) struct Pieces {
    rest: Bytes,
    _permit: Permit,
}

impl Pieces {
    const BYTES: usize = 64 << 10;

    pub(super) fn body(answer: Bytes, permit: Permit) -> Body {
        if answer.len() <= Pieces::BYTES {
            return Body::from(answer);
        }
        Body::new(Pieces { rest: answer, _permit: permit })
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let n = self.rest.len().min(Pieces::BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(n)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
