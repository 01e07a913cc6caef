//! Proof of [`super`].
