//! What the engine sees of a connection, and how its socket is set up.

use std::{io, net::Shutdown, rc::Rc};

use socket2::SockRef;
use tickgate_session::Transport;
use tokio::net::TcpStream;

use crate::config::GatewayConfig;

/// A connection's socket, shared between the engine, which reads and writes, and the task that
/// awaits readiness. Both live on the worker's thread.
#[derive(Debug)]
pub(crate) struct SocketTransport {
    stream: Rc<TcpStream>,
    /// The kernel refused the last write.
    blocked: bool,
}

impl SocketTransport {
    pub(crate) const fn new(stream: Rc<TcpStream>) -> Self {
        Self { stream, blocked: false }
    }
}

impl Transport for SocketTransport {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(buffer)
    }

    /// Writes straight to the socket as long as the kernel takes it: looking at tokio's readiness
    /// first costs a cache miss for each frame. Once it refuses, readiness says when to try again,
    /// without a system call.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.blocked {
            match SockRef::from(&*self.stream).send(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
                result => return result,
            }
        }
        let result = self.stream.try_write(bytes);
        self.blocked = matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        result
    }

    /// Also makes the socket readable, which is how its task learns that the session is over.
    fn shutdown(&mut self) {
        // It fails when the peer is gone already, which is just as well.
        let _ = SockRef::from(&*self.stream).shutdown(Shutdown::Both);
    }
}

/// Sets the options of a socket that becomes a session.
///
/// # Errors
/// What the kernel answers; a connection that broke meanwhile is the usual reason.
pub(crate) fn prepare(stream: &TcpStream, config: &GatewayConfig) -> io::Result<()> {
    // Frames leave in one write each, so Nagle could only delay them.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(config.send_buffer_bytes)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(config.not_sent_limit_bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let near = TcpStream::connect(listener.local_addr().expect("address"));
        let (near, far) = tokio::join!(near, listener.accept());
        (near.expect("connect"), far.expect("accept").0)
    }

    #[tokio::test]
    async fn a_stalled_reader_pushes_back_after_kilobytes() {
        let (near, _far) = pair().await;
        prepare(&near, &GatewayConfig::default()).expect("options");
        let mut transport = SocketTransport::new(Rc::new(near));
        transport.stream.writable().await.expect("writable");
        let mut taken = 0;
        let blocked = loop {
            match transport.try_write(&[0; 4096]) {
                Ok(bytes) => taken += bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(blocked.kind(), io::ErrorKind::WouldBlock);
        // Without the options the kernel takes megabytes; the receiver's window is most of this.
        assert!(taken < 1 << 20, "the kernel took {taken} bytes");
    }

    #[tokio::test]
    async fn shutdown_wakes_whoever_awaits_readability() {
        let (near, _far) = pair().await;
        let stream = Rc::new(near);
        let mut transport = SocketTransport::new(Rc::clone(&stream));
        transport.shutdown();
        stream.readable().await.expect("readable");
        assert_eq!(transport.try_read(&mut [0; 16]).expect("end of stream"), 0);
    }
}
