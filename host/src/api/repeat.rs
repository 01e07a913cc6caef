//! Calls of the store that are made again when nobody knows whether they were done.

use std::time::Duration;

use crate::store::error::StoreError;

/// Rounds of reading, deciding and writing, when others change the same thing meanwhile.
pub const MAX_ROUNDS: usize = 5;
/// How often a call is repeated that may or may not have been done.
const REPEATS: u32 = 3;
/// The pause before that.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);

/// Makes the call; the same again when the store can't say whether it did it.
///
/// # Errors
///
/// What the store says.
pub async fn repeat<T, F>(mut call: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut repeats = 0;
    loop {
        match call().await {
            Err(StoreError::Unknown(_)) if repeats < REPEATS => {
                repeats += 1;
                tokio::time::sleep(REPEAT_PAUSE).await;
            }
            answer => return answer,
        }
    }
}
