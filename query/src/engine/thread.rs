//! A thread with a large stack for each query.
//!
//! DataFusion recurses wherever it meets a plan: it plans, optimizes, formats, executes and drops trees by recursion, and its streams
//! poll each other to the depth of the plan. An expression of the greatest depth that the parser allows makes a plan several times as deep,
//! which the usual 2 MiB of a runtime's worker do not hold; an overflow would end the whole process. So a query lives on a thread
//! of its own, from its plan to the drop of its last operator. That also keeps its computations off the runtime's
//! workers, on which scrapes and requests wait for their turn; input and output stay with the caller's runtime.

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::{Error, Result};

/// Four times what the deepest expressions take without optimisation. These are addresses, not memory: pages that a query does not touch
/// cost nothing.
const STACK_BYTES: usize = 64 << 20;

/// Runs a future to its end on a thread whose stack is large enough for the deepest plan. The future is made, polled and dropped there.
/// Dropping what this function returns drops the future where it next awaits.
///
/// # Errors
/// Those of the future; [`Error::Internal`] if there is no thread to be had, or if it panicked.
pub(super) async fn on_large_stack<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let runtime = Handle::current();
    let (mut sender, receiver) = oneshot::channel();
    let body = move || {
        let result = runtime.block_on(async {
            tokio::select! {
                biased;
                () = sender.closed() => None,
                result = work() => Some(result),
            }
        });
        if let Some(result) = result {
            // Nobody waits for the result of a query that was cancelled just now.
            let _ = sender.send(result);
        }
    };
    std::thread::Builder::new()
        .name("varve-query".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(body)
        .map_err(|error| Error::Internal(format!("no thread for a query: {error}")))?;
    receiver.await.unwrap_or_else(|_| {
        let message = "a fault in Varve ended the query; its log says where, please report it";
        Err(Error::Internal(message.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    /// Reports that it was dropped.
    struct Guard(Option<oneshot::Sender<()>>);

    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(());
        }
    }

    #[tokio::test]
    async fn dropping_a_query_ends_its_work() {
        let (dropped, was_dropped) = oneshot::channel();
        let (started, has_started) = oneshot::channel();
        let query = on_large_stack(move || async move {
            let _guard = Guard(Some(dropped));
            started.send(()).unwrap();
            std::future::pending::<Result<()>>().await
        });
        tokio::select! {
            _ = query => panic!("it never ends"),
            started = has_started => started.unwrap(),
        }
        was_dropped.await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_query() {
        let result: Result<()> = on_large_stack(|| async { panic!("as a test") }).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Internal);
        assert!(error.to_string().contains("fault in Varve"), "{error}");
    }
}
