//! Tells a connection that is not served why, without reading its request.

use std::{io, net::Shutdown, sync::Arc, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};

use crate::{admission::TurnedAway, retry::RetryAfter};

/// Connections that are being told at once; past it a connection is closed without a word.
const TOLD_AT_ONCE: usize = 256;

/// How long a client has to read the answer. A socket closed with unread bytes in it is reset,
/// and the answer with it, so what the client sends is read and thrown away meanwhile.
const LINGER: Duration = Duration::from_secs(1);

/// Those that are being told.
#[derive(Debug)]
pub(crate) struct Doorman {
    slots: Arc<Semaphore>,
    retry: Arc<RetryAfter>,
}

impl Doorman {
    pub(crate) fn new(retry: Arc<RetryAfter>) -> Self {
        Self { slots: Arc::new(Semaphore::new(TOLD_AT_ONCE)), retry }
    }

    /// Tells it in a task of its own.
    pub(crate) fn turn_away(&self, stream: TcpStream, why: TurnedAway) {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else { return };
        let answer = self.answer(why);
        tokio::spawn(async move {
            tell(stream, &answer, LINGER).await;
            drop(slot);
        });
    }

    /// Tells it before returning, in as little time as this.
    pub(crate) async fn tell_within(&self, stream: TcpStream, why: TurnedAway, within: Duration) {
        tell(stream, &self.answer(why), within).await;
    }

    fn answer(&self, why: TurnedAway) -> String {
        let (status, text, retry_after_s) = (why.status(), why.to_string(), self.retry.seconds());
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n\
             retry-after: {retry_after_s}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}\n",
            text.len() + 1
        )
    }
}

async fn tell(mut stream: TcpStream, answer: &str, within: Duration) {
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        SockRef::from(&stream).shutdown(Shutdown::Write)?;
        let mut unread = [0; 512];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // A client that does not listen is closed all the same.
    let _ = timeout(within, told).await;
}
