//! Attempts that begin one after the other, each a moment after the one before, until one succeeds (RFC 8305 5): an address
//! that does not answer costs that moment, not the whole deadline.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

/// The attempts that are left. Those under way when one succeeds are given up, and left again.
pub(crate) struct Race<T> {
    left: VecDeque<T>,
    delay: Duration,
}

impl<T: Clone + Send> Race<T> {
    /// A race of attempts at these, in this order.
    pub(crate) fn new(attempts: impl IntoIterator<Item = T>, delay: Duration) -> Race<T> {
        Race { left: attempts.into_iter().collect(), delay }
    }

    /// The next attempt that comes to an end, if there is one. After a failure, the next one begins at once.
    pub(crate) async fn next<'a, R>(&mut self, attempt: impl Fn(T) -> BoxFuture<'a, R>) -> Option<(T, R)>
    where
        T: 'a,
        R: 'a,
    {
        let mut begun: VecDeque<(usize, T)> = VecDeque::new();
        let mut running = FuturesUnordered::new();
        let mut number = 0;
        loop {
            if let Some(next) = self.left.pop_front() {
                let (own, run) = (number, attempt(next.clone()));
                running.push(async move { (own, run.await) });
                begun.push_back((own, next));
                number += 1;
            }
            let until = Instant::now() + self.delay;
            let (own, result) = tokio::select! {
                biased;
                ended = running.next() => ended?,
                () = sleep_until(until), if !self.left.is_empty() => continue,
            };
            let at = begun.iter().position(|(other, _)| *other == own)?;
            let (_, ended) = begun.remove(at)?;
            // Whoever did not come to an end may be tried again, before those that did not begin.
            for (_, unfinished) in begun.into_iter().rev() {
                self.left.push_front(unfinished);
            }
            return Some((ended, result));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// An attempt at 0 never ends, at others it does at once.
    fn attempt(at: u32) -> BoxFuture<'static, u32> {
        async move {
            if at == 0 {
                std::future::pending::<()>().await;
            }
            at * 10
        }
        .boxed()
    }

    #[tokio::test]
    async fn who_does_not_answer_is_overtaken_and_tried_again_later() {
        let mut race = Race::new([0, 1, 2], Duration::from_millis(1));
        assert_eq!(race.next(attempt).await, Some((1, 10)));
        assert_eq!(race.left, [0, 2]);
        assert_eq!(race.next(attempt).await, Some((2, 20)));
        assert_eq!(race.left, [0]);
    }

    #[tokio::test]
    async fn it_ends_when_nobody_is_left() {
        let mut race = Race::new([1], Duration::from_secs(600));
        assert_eq!(race.next(attempt).await, Some((1, 10)));
        assert_eq!(race.next(attempt).await, None);
        assert_eq!(Race::new([], Duration::ZERO).next(attempt).await, None);
    }
}
