//! To come.

pub mod uri;
