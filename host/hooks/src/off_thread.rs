//! Work whose time grows with the mail: done where it may block, so that the threads that serve sessions go on.

/// Below this size the work is done in place: a thread would cost more.
const INLINE_OCTETS: usize = 32 << 10;

/// Does work on that many octets, in place or on a thread that may block, with a stack of its own. When it panics
/// there, the answer is the default: a decoder that fails on hostile mail costs its own result and nothing else.
pub(crate) async fn off_thread<T: Default + Send + 'static>(
    octets: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if octets <= INLINE_OCTETS {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(target: "hooks", %error, "a part of a message could not be read");
        T::default()
    })
}
