//! Protocol Buffers: the messages that other systems send, read in place, and those that are sent to them.
//!
//! [`wire`] walks the fields of an encoded message without building it: a request of 32 MiB then costs what is made of it, where structs
//! with a string per label would take twenty times its size from whoever sends many short ones.

pub mod encode;
pub mod histogram;
pub mod wire;
