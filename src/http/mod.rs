//! To come.

pub mod body;
pub mod conn;
pub mod head;
pub mod response;
